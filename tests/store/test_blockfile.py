from __future__ import annotations

import errno
import os
import random
import signal
from contextlib import suppress
from itertools import groupby
from pathlib import Path

import psutil
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from dingospeed.errors import BadBlockFile, StoreError, StoreFull
from dingospeed.model import Blob, Span
from dingospeed.store import blockfile
from dingospeed.store.blockfile import BlockFile, finish_sealing
from dingospeed.store.header import PAGE, Geometry, State, read_header

BLOCK = 4096
SEGMENT = 8 * BLOCK
BOOT = b"b" * 16
OTHER_BOOT = b"o" * 16


@pytest.fixture
def make(tmp_path):
    """A half-filled file of a blob, open; closed at the end."""
    opened = []

    def make(size, *, block_bytes=BLOCK, segment_blocks=8, boot_id=BOOT):
        blob = Blob("a" * 64, size)
        path = tmp_path / f"{size}.partial"
        BlockFile.create(path, blob, block_bytes=block_bytes, segment_blocks=segment_blocks, boot_id=boot_id)
        opened.append(BlockFile.open(path, blob, boot_id=boot_id))
        return opened[-1]

    yield make
    for file in opened:
        file.close()


def fill(file, content, span=None):
    """Write and mark whole blocks of *content*."""
    span = span or file.blob.whole
    file.write(content[span.start : span.stop], span.start)
    file.mark(span)


def count_reads(monkeypatch):
    """A list that grows with every read of a file."""
    reads, pread = [], os.pread

    def counted(*arguments):
        reads.append(arguments)
        return pread(*arguments)

    monkeypatch.setattr(os, "pread", counted)
    return reads


# --- which parts are held --------------------------------------------------------


class Blocks:
    """The model: a set of blocks."""

    def __init__(self, size):
        self.size = size
        self.count = -(-size // BLOCK)
        self.held = set()

    def mark(self, span):
        for block in range(self.count):
            if span.start <= block * BLOCK and min((block + 1) * BLOCK, self.size) <= span.stop:
                self.held.add(block)

    def held_until(self, start):
        block = start // BLOCK
        while block in self.held:
            block += 1
        return max(start, min(block * BLOCK, self.size))

    def holes(self, span):
        touched = [block for block in span.cells(BLOCK) if block not in self.held]
        # Blocks in a row have the same distance from their rank.
        rows = groupby(enumerate(touched), key=lambda ranked: ranked[1] - ranked[0])
        for _, row in rows:
            blocks = [block for _, block in row]
            yield Span(blocks[0] * BLOCK, min((blocks[-1] + 1) * BLOCK, self.size))


@st.composite
def marked(draw):
    """A size, spans that were marked, and a span to ask for. Sometimes long enough for several scans."""
    blocks = draw(st.integers(1, 40) | st.integers(4090, 4300))
    size = (blocks - 1) * BLOCK + draw(st.integers(1, BLOCK))
    positions = st.integers(0, size) | st.integers(0, blocks - 1).map(lambda block: block * BLOCK)
    spans = st.tuples(positions, positions).map(lambda ends: Span(min(ends), max(ends)))
    return size, draw(st.lists(spans, max_size=8)), draw(spans)


@settings(deadline=None, max_examples=300)
@given(marked())
def test_held_and_holes__any_spans_marked__as_a_set_of_blocks_says(tmp_path_factory, case):
    size, spans, asked = case
    path = tmp_path_factory.mktemp("blob") / "x.partial"
    blob, model = Blob("a" * 64, size), Blocks(size)
    BlockFile.create(path, blob, block_bytes=BLOCK, segment_blocks=8, boot_id=BOOT)

    with BlockFile.open(path, blob, boot_id=BOOT) as file:
        for span in spans:
            file.mark(span)
            model.mark(span)

        assert list(file.holes(asked)) == list(model.holes(asked))
        assert file.held_until(asked.start) == model.held_until(asked.start)
        assert file.held_until(0) == model.held_until(0)  # once more, past what is known of the beginning
        assert file.is_complete == (model.held_until(0) == size)
        assert file.held_bytes() == sum(min(BLOCK, size - block * BLOCK) for block in model.held)
        bounded = file.held_until(asked.start, asked.stop)
        assert min(bounded, asked.stop) == min(model.held_until(asked.start), max(asked.start, asked.stop))


def test_holes__file_of_a_terabyte__few_reads(make, monkeypatch):
    file = make(1 << 40, block_bytes=1 << 20, segment_blocks=32)
    file.mark(Span(1 << 39, (1 << 39) + (1 << 20)))
    reads = count_reads(monkeypatch)

    holes = list(file.holes(file.blob.whole))

    assert holes == [Span(0, 1 << 39), Span((1 << 39) + (1 << 20), 1 << 40)]
    assert len(reads) < 300  # of 4096 blocks each


def test_is_complete__asked_again_and_again__does_not_start_at_the_beginning(make, monkeypatch):
    file = make(1 << 40, block_bytes=1 << 20, segment_blocks=32)
    file.mark(Span(0, 1 << 39))
    assert not file.is_complete
    reads = count_reads(monkeypatch)

    assert not file.is_complete

    assert len(reads) <= 2


def test_open__sizes_configured_otherwise__keeps_its_own(make):
    made = make(100_000, block_bytes=8192, segment_blocks=16)

    BlockFile.create(made.path, made.blob, block_bytes=4096, segment_blocks=8, boot_id=BOOT)

    with BlockFile.open(made.path, made.blob, boot_id=BOOT) as file:
        assert (file.block_bytes, file.segment_bytes) == (8192, 16 * 8192)


def test_write__past_the_end__refused(make):
    file = make(10_000)

    with pytest.raises(StoreError):
        file.write(b"xy", 9_999)

    assert os.pread(file.fd, 1, 10_000) == b"\0"


# --- followed byte by byte ---------------------------------------------------------


def test_available__block_half_written__to_its_last_byte(make):
    file = make(100_000)

    file.mark(Span(0, BLOCK + 5))

    assert file.available(0) == BLOCK + 5
    assert file.available(BLOCK + 4) == BLOCK + 5
    assert file.available(BLOCK + 5) == BLOCK + 5
    assert file.held_until(0) == BLOCK


def test_available__only_a_later_block_half_written__nothing_before_it(make):
    file = make(100_000)

    file.mark(Span(3 * BLOCK, 3 * BLOCK + 5))

    assert file.available(0) == 0
    assert file.available(2 * BLOCK) == 2 * BLOCK
    assert file.available(3 * BLOCK) == 3 * BLOCK + 5


def test_available__from_another_process__the_same(make, children):
    file = make(100_000)

    def write():
        with BlockFile.open(file.path, file.blob, boot_id=BOOT) as other:
            other.write(b"seven b", 0)
            other.mark(Span(0, 7))

    assert children.run(write) == 0
    assert file.available(0) == 7
    assert os.pread(file.fd, 7, 0) == b"seven b"


def test_available__word_caught_while_it_is_written__not_believed(make):
    file = make(100_000)
    file.mark(Span(0, 255))
    at = Geometry(100_000, BLOCK, 8).reached

    os.pwrite(file.fd, (256).to_bytes(8, "little"), at)  # and not yet its second half

    assert file.available(0) == 0


@given(st.integers(1, 3 * SEGMENT), st.data())
@settings(deadline=None)
def test_begun__fill_broken_off_anywhere__what_the_block_lacks(tmp_path_factory, size, data):
    stop = data.draw(st.integers(0, size))
    path = tmp_path_factory.mktemp("blob") / "x.partial"
    blob = Blob("a" * 64, size)
    BlockFile.create(path, blob, block_bytes=BLOCK, segment_blocks=8, boot_id=BOOT)

    with BlockFile.open(path, blob, boot_id=BOOT) as file:
        file.mark(Span(0, stop))

        begun = file.begun(stop // SEGMENT) if stop < size else None
        block_stop = min(-(-stop // BLOCK) * BLOCK, size)
        assert begun == (Span(stop, block_stop) if stop % BLOCK and stop < size else None)
        assert file.available(0) == stop


def test_progress__fill_gets_on_by_a_byte_or_a_block__differs(make):
    file = make(3 * SEGMENT)
    seen = [file.progress(1)]

    for stop in (SEGMENT + 1, SEGMENT + BLOCK, SEGMENT + BLOCK + 1):
        file.mark(Span(SEGMENT, stop))
        seen.append(file.progress(1))
    file.mark(Span(0, BLOCK))  # in another segment

    assert len(set(seen)) == 4
    assert file.progress(1) == seen[-1]


# --- many processes ------------------------------------------------------------------


def test_mark__segments_marked_by_four_processes_at_once__no_bit_lost(make, children):
    segments = 200
    file = make(segments * SEGMENT - 1)

    def mark_every_fourth(first):
        with BlockFile.open(file.path, file.blob, boot_id=BOOT) as mine:
            for segment in range(first, segments, 4):
                for block in range(8):
                    start = segment * SEGMENT + block * BLOCK
                    mine.mark(Span(start, min(start + BLOCK, file.blob.size)))

    running = [children.start(mark_every_fourth, first) for first in range(4)]

    assert [children.wait(pid) for pid in running] == [0] * 4
    assert file.is_complete


def test_create__by_four_processes_at_once__one_file(tmp_path, children):
    path, blob = tmp_path / "aa" / "x.partial", Blob("a" * 64, 100_000)

    def create_and_write(number):
        BlockFile.create(path, blob, block_bytes=BLOCK, segment_blocks=8, boot_id=BOOT)
        with BlockFile.open(path, blob, boot_id=BOOT) as file:
            file.mark(Span(number * SEGMENT, number * SEGMENT + BLOCK))

    running = [children.start(create_and_write, number) for number in range(3)]

    assert [children.wait(pid) for pid in running] == [0] * 3
    with BlockFile.open(path, blob, boot_id=BOOT) as file:
        assert file.held_bytes() == 3 * BLOCK
    assert list(path.parent.iterdir()) == [path]


# --- after a crash -----------------------------------------------------------------


def test_open__process_was_killed__what_it_wrote_is_held(make, children):
    file = make(100_000)

    def write_and_die():
        with BlockFile.open(file.path, file.blob, boot_id=BOOT) as mine:
            fill(mine, b"x" * 100_000, Span(0, 2 * BLOCK))
            os.kill(os.getpid(), signal.SIGKILL)

    assert children.run(write_and_die) != 0
    with BlockFile.open(file.path, file.blob, boot_id=BOOT) as again:
        assert again.held_until(0) == 2 * BLOCK


def test_open__machine_was_started_anew__only_what_was_synced_is_held(make):
    file = make(100_000)
    file.mark(Span(0, 3 * BLOCK))
    file.sync()
    file.mark(Span(3 * BLOCK, 5 * BLOCK + 7))

    with BlockFile.open(file.path, file.blob, boot_id=OTHER_BOOT) as again:
        assert again.available(0) == 3 * BLOCK
        assert again.begun(0) is None


def test_open__power_cut_twice_in_a_row__nothing_forgotten_comes_back(make):
    file = make(100_000)
    file.mark(Span(0, 2 * BLOCK))

    BlockFile.open(file.path, file.blob, boot_id=OTHER_BOOT).close()

    with BlockFile.open(file.path, file.blob, boot_id=BOOT) as again:
        assert again.held_bytes() == 0


def test_sync__block_marked_while_the_disk_is_busy__not_called_durable(make, monkeypatch):
    file = make(100_000)
    file.mark(Span(0, BLOCK))
    fdatasync = os.fdatasync

    def slow(fd):
        fdatasync(fd)
        file.mark(Span(BLOCK, 2 * BLOCK))  # arrives too late to be on the disk

    monkeypatch.setattr(os, "fdatasync", slow)
    file.sync()

    with BlockFile.open(file.path, file.blob, boot_id=OTHER_BOOT) as again:
        assert again.held_until(0) == BLOCK


def test_open__sealed_while_another_waits_to_forget__file_stays_as_it_is(make, monkeypatch, content_of_size):
    content, _ = content_of_size(10_000)
    file = make(10_000)
    fill(file, content)
    target = file.path.with_name("sealed")

    def read_then_sealed(*arguments):
        found = read_header(*arguments)
        if file.path.exists():
            file.seal(target)
        return found

    monkeypatch.setattr(blockfile, "read_header", read_then_sealed)
    with pytest.raises(FileNotFoundError):
        BlockFile.open(file.path, file.blob, boot_id=OTHER_BOOT)

    assert target.read_bytes() == content


class Machine(RuleBasedStateMachine):
    """A block file against plain bytes: whatever it claims to have is right, and it has what it should."""

    directory = Path()

    @initialize(size=st.integers(1, 6 * SEGMENT), seed=st.integers(0, 1000))
    def begin(self, size, seed):
        self.content = random.Random(seed).randbytes(size)
        self.blob = Blob("a" * 64, size)
        self.path = self.directory / f"{id(self)}.partial"
        self.boots = 0
        BlockFile.create(self.path, self.blob, block_bytes=BLOCK, segment_blocks=8, boot_id=self.boot)
        self.file = BlockFile.open(self.path, self.blob, boot_id=self.boot)
        self.written, self.durable = Blocks(size), Blocks(size)

    @property
    def boot(self):
        return self.boots.to_bytes(16, "little")

    @rule(data=st.data())
    def fill_a_hole_or_a_part_of_it(self, data):
        segment = data.draw(st.integers(0, (self.blob.size - 1) // SEGMENT))
        cell = Span(segment * SEGMENT, min((segment + 1) * SEGMENT, self.blob.size))
        begun = self.file.begun(segment)
        holes = [begun] if begun else list(self.file.holes(cell))
        if not holes:
            return
        hole = data.draw(st.sampled_from(holes))
        first = data.draw(st.integers(0, (len(hole) - 1) // BLOCK)) if not begun else 0
        position = hole.start + first * BLOCK
        stop = data.draw(st.integers(position, hole.stop))
        while position < stop:
            end = min(stop, position + data.draw(st.integers(1, 3 * BLOCK)))
            block = position - position % BLOCK
            self.file.write(self.content[position:end], position)
            self.file.mark(Span(block, end))
            self.written.mark(Span(block, end))
            position = end

    @rule()
    def sync(self):
        self.file.sync()
        self.durable.held = set(self.written.held)

    @rule()
    def kill_and_reopen(self):
        self.file.close()
        self.file = BlockFile.open(self.path, self.blob, boot_id=self.boot)

    @rule()
    def cut_the_power(self):
        # What was not synced comes back as anything at all.
        for block in range(self.written.count):
            if block not in self.durable.held:
                start = block * BLOCK
                os.pwrite(self.file.fd, b"?" * min(BLOCK, self.blob.size - start), start)
        self.file.close()
        self.boots += 1
        self.written.held = set(self.durable.held)
        self.file = BlockFile.open(self.path, self.blob, boot_id=self.boot)

    @precondition(lambda self: self.file.is_complete)
    @rule()
    def seal(self):
        target = self.path.with_name("sealed")

        self.file.seal(target)

        assert target.read_bytes() == self.content
        assert self.file.state is State.SEALED
        assert self.file.available(0) == self.blob.size
        self.teardown()
        self.begin(self.blob.size, 0)

    @invariant()
    def what_it_claims_is_right(self):
        if not hasattr(self, "file"):
            return
        position = 0
        while position < self.blob.size:
            stop = self.file.available(position)
            assert os.pread(self.file.fd, stop - position, position) == self.content[position:stop]
            position = max(stop, position - position % BLOCK + BLOCK)

    @invariant()
    def it_holds_what_it_should(self):
        if hasattr(self, "file"):
            assert list(self.file.holes(self.blob.whole)) == list(self.written.holes(self.blob.whole))

    def teardown(self):
        if hasattr(self, "file"):
            self.file.close()
            self.path.unlink(missing_ok=True)


def test_blockfile__any_course_of_events__claims_only_right_bytes(tmp_path):
    Machine.directory = tmp_path
    run_state_machine_as_test(
        Machine, settings=settings(deadline=None, max_examples=60, stateful_step_count=30)
    )


# --- sealing ---------------------------------------------------------------------


def test_seal__complete__plain_content_and_nothing_else(make, content_of_size):
    content, _ = content_of_size(70_001)
    file = make(70_001)
    fill(file, content)
    target = file.path.with_name("sealed")

    file.seal(target)

    assert target.read_bytes() == content
    assert not file.path.exists()


def test_seal__others_have_it_open__they_hold_all_and_write_nothing(make, content_of_size):
    content, _ = content_of_size(70_001)
    file = make(70_001)
    fill(file, content)
    target = file.path.with_name("sealed")
    with BlockFile.open(file.path, file.blob, boot_id=BOOT) as other:
        file.seal(target)

        assert other.state is State.SEALED
        assert (other.available(0), other.held_bytes(), list(other.holes(other.blob.whole))) == (
            70_001,
            70_001,
            [],
        )
        other.mark(Span(0, 70_001))
        other.sync()
        other.reject()
        assert target.read_bytes() == content


def test_holes__header_reads_as_zeros_while_it_is_cut_off__none(make, monkeypatch):
    """Truncating zeroes a page that is shared with the content before it shortens the file for readers."""
    file = make(70_001)
    fill(file, bytes(70_001))
    header = Geometry(70_001, BLOCK, 8).header
    pread = os.pread
    monkeypatch.setattr(
        os, "pread", lambda fd, count, at: bytes(count) if at >= header else pread(fd, count, at)
    )

    assert list(file.holes(file.blob.whole)) == []
    assert (file.held_until(0), file.held_bytes(), file.available(5)) == (70_001, 70_001, 70_001)
    monkeypatch.setattr(file, "held_until", lambda *_: 0)  # as it was a moment before
    assert list(file.holes(file.blob.whole)) == []


def test_seal__disk_fails_to_take_the_bytes__not_sealed(make, monkeypatch):
    file = make(10_000)
    fill(file, bytes(10_000))

    def broken(_fd):
        raise OSError(errno.EIO, "broken")

    monkeypatch.setattr(os, "fdatasync", broken)
    with pytest.raises(OSError, match="broken"):
        file.seal(file.path.with_name("sealed"))

    assert file.path.exists()
    assert not file.path.with_name("sealed").exists()


def test_seal__thrown_out_and_begun_anew_meanwhile__new_file_is_left_alone(make):
    old = make(10_000)
    fill(old, b"x" * 10_000)
    old.path.unlink()
    new = make(10_000)

    old.seal(old.path.with_name("sealed"))

    assert not old.path.with_name("sealed").exists()
    assert new.held_bytes() == 0
    assert old.state is State.SEALED  # its readers may finish


def test_reject__by_two_one_after_another__file_begun_meanwhile_is_left_alone(make):
    first = make(10_000)
    with BlockFile.open(first.path, first.blob, boot_id=BOOT) as second:
        first.reject()
        new = make(10_000)

        second.reject()

    assert first.state is State.REJECTED
    assert new.path.exists()
    assert new.state is State.FILLING


def test_open__header_of_another_blob__set_aside_with_all_its_bytes(make):
    file = make(10_000)
    fill(file, b"x" * 10_000)

    with pytest.raises(BadBlockFile, match="etag"):
        BlockFile.open(file.path, Blob("b" * 64, 10_000), boot_id=BOOT)

    (aside,) = file.path.parent.iterdir()
    assert aside.name.startswith(f"{file.path.name}.damaged-")
    assert aside.read_bytes()[:10_000] == b"x" * 10_000


@pytest.mark.parametrize("at", ["magic", "sizes", "locator", "cut", "empty", "longer"])
def test_open__header_damaged__set_aside(make, at):
    file = make(10_000)
    header, length = Geometry(10_000, BLOCK, 8).header, Geometry(10_000, BLOCK, 8).file_bytes
    damage = {
        "magic": lambda: os.pwrite(file.fd, b"?", header),
        "sizes": lambda: os.pwrite(file.fd, b"\xff" * 8, header + 12),
        "locator": lambda: os.pwrite(file.fd, b"\xff" * 8, length - 8),
        "cut": lambda: os.ftruncate(file.fd, length - 1),
        "empty": lambda: os.ftruncate(file.fd, 0),
        "longer": lambda: os.ftruncate(file.fd, length + PAGE),
    }
    damage[at]()

    with pytest.raises(BadBlockFile):
        BlockFile.open(file.path, file.blob, boot_id=BOOT)

    assert not file.path.exists()


def test_open__damaged_and_replaced_before_it_is_set_aside__new_file_is_left_alone(make, monkeypatch):
    file = make(10_000)

    def read_then_replaced(*arguments):
        monkeypatch.setattr(blockfile, "read_header", read_header)
        file.path.unlink()
        make(10_000)
        raise BadBlockFile("truncated by the one who sealed it")

    monkeypatch.setattr(blockfile, "read_header", read_then_replaced)
    with pytest.raises(BadBlockFile):
        BlockFile.open(file.path, file.blob, boot_id=BOOT)

    assert list(file.path.parent.iterdir()) == [file.path]


def test_finish_sealing__header_says_rejected__refused(make):
    file = make(10_000)
    target = file.path.with_name("sealed")
    os.link(file.path, target)
    file.reject()

    with pytest.raises(BadBlockFile):
        finish_sealing(file.fd, target, file.blob)


def test_open__fails__no_descriptor_stays_open(make):
    file = make(10_000)
    before = psutil.Process().num_fds()

    for etag in "bcdef":
        with pytest.raises((BadBlockFile, FileNotFoundError)):
            BlockFile.open(file.path, Blob(etag * 64, 10_000), boot_id=BOOT)

    assert psutil.Process().num_fds() == before


# --- no space ----------------------------------------------------------------------


@pytest.mark.parametrize("name", ["open", "pwrite", "link"])
@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_create__no_space__says_so_and_leaves_nothing(tmp_path, disk, name, error):
    path = tmp_path / "x.partial"
    disk.fails(name, error)

    with pytest.raises(StoreFull):
        BlockFile.create(path, Blob("a" * 64, 10_000), block_bytes=BLOCK, segment_blocks=8, boot_id=BOOT)

    disk.heals()
    assert list(tmp_path.iterdir()) == []


def test_write_mark_and_sync__no_space__say_so(make, disk):
    file = make(10_000)
    disk.fails("pwrite")

    for act in (
        lambda: file.write(b"x", 0),
        lambda: file.mark(Span(0, BLOCK)),
        lambda: file.mark(Span(0, 7)),
        file.sync,
        file.reject,
    ):
        with pytest.raises(StoreFull):
            act()


def test_mark__disk_filled_up_by_content__there_is_room_for_every_bit(tiny_disk):
    blob = Blob("a" * 64, 200 << 10)
    (tiny_disk / "other").write_bytes(bytes(100 << 10))
    path = tiny_disk / "x.partial"
    BlockFile.create(path, blob, block_bytes=BLOCK, segment_blocks=8, boot_id=BOOT)
    with BlockFile.open(path, blob, boot_id=BOOT) as file:
        position = 0
        with suppress(StoreFull):
            while position < blob.size:
                file.write(b"x" * BLOCK, position)
                position += BLOCK

        file.mark(Span(0, position))

        assert file.held_until(0) == position
