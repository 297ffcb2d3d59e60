import hashlib

import pytest

from dingospeed.testing.payload import PERIOD_BYTES, STAMP_BYTES, Generated, Plain


def read(payload, start, stop):
    return b"".join(payload.pieces(start, stop))


@pytest.mark.parametrize(
    "span",
    [
        (0, 0),
        (0, 1),
        (STAMP_BYTES - 1, STAMP_BYTES + 1),
        (PERIOD_BYTES - 3, PERIOD_BYTES + 3),
        (PERIOD_BYTES + STAMP_BYTES, 2 * PERIOD_BYTES + 1),
        (0, 2_500_000),
        (2_499_999, 2_500_000),
    ],
)
def test_pieces__any_span_of_generated__equals_that_of_the_whole(span):
    payload = Generated(2_500_000, seed=3)
    whole = bytes(payload)

    part = read(payload, *span)

    assert part == whole[slice(*span)]


def test_generated__same_seed__same_bytes():
    assert bytes(Generated(3_000_000, seed=1)) == bytes(Generated(3_000_000, seed=1))


def test_generated__another_seed__other_bytes():
    parts = [read(Generated(1000, seed), STAMP_BYTES, 1000) for seed in (1, 2)]

    assert parts[0] != parts[1]


@pytest.mark.parametrize("off", [1 << 20, 4 << 20, 8 << 20, 10_000_000, PERIOD_BYTES])
def test_generated__read_at_the_wrong_place__is_noticed(off):
    payload = Generated(100_000_000, seed=1)

    assert read(payload, 0, 4096) != read(payload, off, off + 4096)


@pytest.mark.parametrize("payload", [Generated(2_000_000, seed=9), Plain(b"some bytes" * 50_000)])
def test_sha256__of_a_payload__is_that_of_its_bytes(payload):
    assert payload.sha256() == hashlib.sha256(read(payload, 0, payload.size)).hexdigest()
