"""Pacing: the bytes stay the same, and no faster than they may."""

import os

from hypothesis import given
from hypothesis import strategies as st

from dingospeed.model import FileSpan
from dingospeed.web.limits import paced


class Clock:
    """Time that passes by sleeping only."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now

    def sleep(self, seconds):
        self.now += seconds


def read(part):
    return part if isinstance(part, bytes) else os.pread(part.fd, len(part), part.start)


def test_paced__spans_and_bytes__the_same_bytes(tmp_path):
    content = os.urandom(300_000)
    (tmp_path / "file").write_bytes(content)
    clock = Clock()
    with (tmp_path / "file").open("rb") as file:
        pieces = iter([FileSpan(file.fileno(), 0, 200_001), b"", content[200_001:]])

        parts = list(paced(pieces_of(pieces), 100_000, clock=clock, sleep=clock.sleep))

        assert b"".join(read(part) for part in parts) == content
        assert len(parts) > 10


@given(rate=st.integers(1 << 16, 1 << 30), size=st.integers(1, 1 << 24))
def test_paced__any_rate__takes_as_long_as_that(rate, size):
    clock = Clock()

    parts = list(paced(pieces_of([FileSpan(0, 0, size)]), rate, clock=clock, sleep=clock.sleep))

    sent_before_the_last = size - len(parts[-1])
    assert abs(clock.now - sent_before_the_last / rate) < 1e-6


def test_paced__client_pauses__what_it_missed_is_not_made_up_for():
    clock = Clock()
    parts = paced(pieces_of([FileSpan(0, 0, 1 << 20)]), 1 << 17, clock=clock, sleep=clock.sleep)
    next(parts)
    clock.now += 1000
    began = clock.now

    rest = sum(len(part) for part in parts)

    assert clock.now - began >= (rest - (1 << 17)) / (1 << 17) - 1


def test_paced__closed_early__what_it_reads_from_is_closed():
    closed = []

    def pieces():
        try:
            yield b"x" * 100_000
        finally:
            closed.append(True)

    parts = paced(pieces(), 1 << 16, clock=Clock(), sleep=lambda seconds: None)
    next(parts)
    parts.close()  # type: ignore[attr-defined]

    assert closed == [True]


def pieces_of(pieces):
    yield from pieces
