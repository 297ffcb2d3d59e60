from __future__ import annotations

import errno
import os
import threading
import time

import psutil
import pytest

from dingospeed.errors import StoreFull, WrongSize
from dingospeed.model import Blob, Span
from dingospeed.store.blobs import Blobs, this_boot
from dingospeed.store.blockfile import BlockFile
from dingospeed.store.header import State
from dingospeed.store.layout import Layout


def fill_all(blobs, content, blob):
    """Fill and seal; the file, closed."""
    with blobs.open_partial(blob, segment_blocks=8) as file:
        for hole in file.holes(blob.whole):
            file.write(content[hole.start : hole.stop], hole.start)
            file.mark(hole)
        blobs.seal(file)
        return file


def read_sealed(blobs, blob):
    """The sealed content, None when there is none."""
    fd = blobs.open_sealed(blob)
    if fd is None:
        return None
    with open(fd, "rb") as file:
        return file.read()


def names(layout):
    return sorted(path.name for path in layout.blobs.rglob("*") if path.is_file())


def test_open_sealed__filled_and_sealed__the_content(blobs, layout, content_of_size):
    content, blob = content_of_size(100_000)

    fill_all(blobs, content, blob)

    assert read_sealed(blobs, blob) == content
    assert names(layout) == [blob.etag]
    assert blobs.open_partial(blob, segment_blocks=8) is None
    assert blobs.held_bytes(blob) == blob.size


def test_open_partial__none_to_be_made__none(blobs, layout, content_of_size):
    _, blob = content_of_size(100_000)

    assert blobs.open_partial(blob) is None
    assert blobs.open_sealed(blob) is None
    assert blobs.held_bytes(blob) == 0
    assert names(layout) == []


def test_held_bytes__half_filled__what_is_there(blobs, content_of_size):
    _, blob = content_of_size(10_000)
    with blobs.open_partial(blob, segment_blocks=8) as file:
        file.mark(Span(4096, 10_000))

    assert blobs.held_bytes(blob) == 10_000 - 4096


# --- kill -9 at every point ---------------------------------------------------------


def test_fill_and_seal__killed_before_any_call__the_next_one_completes_it(
    blobs, layout, children, content_of_size
):
    content, blob = content_of_size(20_000)
    number, was_killed = 0, True
    while was_killed:
        was_killed = children.run_until_call(number, fill_all, blobs, content, blob)

        found = read_sealed(blobs, blob)
        if found is None:
            with blobs.open_partial(blob, segment_blocks=8) as file:
                held = file.available(0)
                assert os.pread(file.fd, held, 0) == content[:held]
            fill_all(blobs, content, blob)
            found = read_sealed(blobs, blob)

        assert found == content
        left = [name for name in names(layout) if not name.endswith(".new")]
        assert left == [blob.etag]
        layout.sealed(blob.etag).unlink()
        number += 1
    assert number > 10  # or the calls were not the ones that are made


def test_reject__killed_before_any_call__nothing_of_it_is_kept(blobs, layout, children, content_of_size):
    _, blob = content_of_size(20_000)

    def fill_wrongly_and_reject():
        with blobs.open_partial(blob, segment_blocks=8) as file:
            file.write(bytes(20_000), 0)
            file.mark(blob.whole)
            began.append(file)
            file.reject()

    began: list[BlockFile] = []
    number, was_killed = 0, True
    while was_killed:
        was_killed = children.run_until_call(number, fill_wrongly_and_reject)
        number += 1

        assert blobs.open_sealed(blob) is None
    with blobs.open_partial(blob, segment_blocks=8) as file:
        assert file.held_bytes() == 0


def test_open_partial__rejected_but_its_name_still_there__begins_anew(blobs, content_of_size, layout):
    _, blob = content_of_size(20_000)
    with blobs.open_partial(blob, segment_blocks=8) as file:
        file.mark(blob.whole)
        kept = layout.root / "kept"
        os.link(file.path, kept)
        file.reject()
        os.link(kept, file.path)

    with blobs.open_partial(blob, segment_blocks=8) as again:
        assert again.state is State.FILLING
        assert again.held_bytes() == 0


@pytest.mark.parametrize("boot_id", [None, b"another boot id."])
def test_open_sealed__sealing_broke_off_after_the_rename__finished(
    blobs, make_blobs, layout, content_of_size, boot_id
):
    content, blob = content_of_size(20_000)
    with blobs.open_partial(blob, segment_blocks=8) as file:
        file.write(content, 0)
        file.mark(blob.whole)
        file.path.rename(layout.sealed(blob.etag))

    assert read_sealed(make_blobs(boot_id=boot_id), blob) == content


# --- damage --------------------------------------------------------------------------


@pytest.mark.parametrize("length", [0, 19_999, 20_001, 30_000])
def test_open_sealed__of_the_wrong_length__set_aside(blobs, layout, content_of_size, length):
    _, blob = content_of_size(20_000)
    path = layout.sealed(blob.etag)
    path.parent.mkdir()
    path.write_bytes(b"x" * length)

    assert blobs.open_sealed(blob) is None

    (aside,) = names(layout)
    assert aside.startswith(f"{blob.etag}.damaged-")
    assert not blobs.is_sealed(blob)


@pytest.mark.parametrize("told", [0, 19_999, 30_000])
def test_open_sealed__wrong_size_told__raises_and_leaves_the_good_blob_alone(
    blobs, layout, content_of_size, told
):
    content, blob = content_of_size(20_000)
    path = layout.sealed(blob.etag)
    path.parent.mkdir()
    path.write_bytes(content)

    for _ in range(2):
        with pytest.raises(WrongSize, match=f"{told} bytes, its content has 20000"):
            blobs.open_sealed(Blob(blob.etag, told))

    assert names(layout) == [path.name]
    assert read_sealed(blobs, blob) == content


def test_open_partial__damaged__set_aside_and_begun_anew(blobs, layout, content_of_size):
    _, blob = content_of_size(20_000)
    path = layout.partial(blob.etag)
    path.parent.mkdir()
    path.write_bytes(b"no block file")

    with blobs.open_partial(blob, segment_blocks=8) as file:
        assert file.held_bytes() == 0

    aside, fresh = sorted(names(layout), key=len, reverse=True)
    assert (path.parent / aside).read_bytes() == b"no block file"
    assert fresh == path.name


def test_open_sealed__damaged_again_and_again__no_descriptor_stays_open(blobs, layout, content_of_size):
    _, blob = content_of_size(20_000)
    path = layout.sealed(blob.etag)
    path.parent.mkdir()
    before = psutil.Process().num_fds()

    for _ in range(10):
        path.write_bytes(b"x")
        assert blobs.open_sealed(blob) is None

    assert psutil.Process().num_fds() == before


# --- last use --------------------------------------------------------------------------


def test_open_sealed__long_unused__last_use_is_now_and_arrival_stays(blobs, layout, content_of_size):
    content, blob = content_of_size(5_000)
    fill_all(blobs, content, blob)
    path = layout.sealed(blob.etag)
    os.utime(path, (1000, 2000))

    os.close(blobs.open_sealed(blob))

    assert path.stat().st_mtime == 2000
    assert path.stat().st_atime > time.time() - 3600


def test_open_sealed__used_a_moment_ago__not_written_again(blobs, layout, content_of_size):
    content, blob = content_of_size(5_000)
    fill_all(blobs, content, blob)
    path = layout.sealed(blob.etag)
    a_moment_ago = time.time() - 20
    os.utime(path, (a_moment_ago, 2000))

    os.close(blobs.open_sealed(blob))

    assert path.stat().st_atime == pytest.approx(a_moment_ago, abs=0.001)


@pytest.mark.parametrize("error", [errno.EPERM, errno.EROFS])
def test_open_sealed__last_use_can_not_be_written__served_all_the_same(
    blobs, layout, disk, content_of_size, error
):
    content, blob = content_of_size(5_000)
    fill_all(blobs, content, blob)
    os.utime(layout.sealed(blob.etag), (1000, 2000))
    disk.fails("utime", error)

    assert read_sealed(blobs, blob) == content


# --- many at once --------------------------------------------------------------------


def test_open_partial__by_many_threads_at_once__one_file(blobs, layout, content_of_size):
    _, blob = content_of_size(100_000)
    together = threading.Barrier(8)
    inodes = []

    def open_it():
        together.wait()
        with blobs.open_partial(blob, segment_blocks=8) as file:
            inodes.append(os.fstat(file.fd).st_ino)

    threads = [threading.Thread(target=open_it) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)

    assert len(inodes) == 8
    assert len(set(inodes)) == 1
    assert len(names(layout)) == 1


def test_open_partial__after_another_boot_by_many_processes_at_once__all_believe_the_same(
    blobs, make_blobs, children, content_of_size
):
    content, blob = content_of_size(200_000)
    with blobs.open_partial(blob, segment_blocks=8) as file:
        file.write(content[:40_960], 0)
        file.mark(Span(0, 40_960))
        file.sync()
        file.mark(Span(40_960, 81_920))
    after_boot = make_blobs(boot_id=b"another boot id.")

    def look():
        with after_boot.open_partial(blob) as file:
            assert file.held_until(0) == 40_960

    running = [children.start(look) for _ in range(6)]

    assert [children.wait(pid) for pid in running] == [0] * 6


def test_this_boot__asked_twice__the_same_sixteen_bytes():
    assert this_boot() == this_boot()
    assert len(this_boot()) == 16


# --- wrong content and full disks -------------------------------------------------------


def test_reject__twice__counted_for_every_process(blobs, layout, children, content_of_size):
    _, blob = content_of_size(5_000)

    def reject():
        with blobs.open_partial(blob, segment_blocks=8) as file:
            blobs.reject(file)

    assert children.run(reject) == 0
    assert children.run(reject) == 0

    assert blobs.rejections(blob) == 2
    assert blobs.rejections(Blob("f" * 64, 1)) == 0


def test_rejections__the_last_was_long_ago__are_forgotten_and_counted_anew(blobs, layout, content_of_size):
    _, blob = content_of_size(5_000)
    blobs.count_rejection(blob)
    [counted] = layout.run.glob("rejected-*")
    os.utime(counted, (time.time() - 4000,) * 2)

    forgotten = blobs.rejections(blob)

    assert forgotten == 0
    assert blobs.count_rejection(blob) == 1
    assert blobs.rejections(blob) == 1


def test_reject__seen_by_readers__is_counted_already(blobs, content_of_size):
    _, blob = content_of_size(5_000)

    class File(BlockFile):
        def reject(self):
            counted.append(blobs.rejections(blob))

    counted: list[int] = []
    with blobs.open_partial(blob, segment_blocks=8) as file:
        file.__class__ = File
        blobs.reject(file)

    assert counted == [1]


def test_open_partial__no_space__says_so(blobs, disk, content_of_size):
    _, blob = content_of_size(5_000)
    disk.fails("pwrite")

    with pytest.raises(StoreFull):
        blobs.open_partial(blob, segment_blocks=8)


def test_open_partial__disk_too_small_for_the_header__says_so(tiny_disk):
    layout = Layout(tiny_disk)
    layout.prepare()
    blobs = Blobs(layout=layout, block_bytes=1 << 20)

    with pytest.raises(StoreFull):
        blobs.open_partial(Blob("a" * 64, 1 << 40), segment_blocks=32)

    assert names(layout) == []


def test_count_rejection__can_not_be_written__counted_for_now(blobs, layout, content_of_size):
    _, blob = content_of_size(5_000)
    layout.run.rmdir()

    assert blobs.count_rejection(blob) == 1


def test_open_sealed__empty_content__sealed_empty(blobs, layout):
    blob = Blob("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855", 0)

    fill_all(blobs, b"", blob)

    assert read_sealed(blobs, blob) == b""


def test_peek__sealed_half_filled_and_damaged__tells_and_leaves_all(layout, blobs, content_of_size):
    content, blob = content_of_size(100_000)
    with blobs.open_partial(blob, segment_blocks=8) as file:
        file.write(content[:8192], 0)
        file.mark(Span(0, 8192))
    path = layout.partial(blob.etag)

    assert blobs.peek(blob) == 8192
    path.write_bytes(b"no block file")
    assert blobs.peek(blob) == 0
    assert path.read_bytes() == b"no block file"
    layout.sealed(blob.etag).write_bytes(content)
    assert blobs.peek(blob) == blob.size


def test_peek__after_another_boot__only_what_is_durable_counts(make_blobs, content_of_size):
    content, blob = content_of_size(100_000)
    before, after = make_blobs(boot_id=b"a" * 16), make_blobs(boot_id=b"b" * 16)
    with before.open_partial(blob, segment_blocks=8) as file:
        file.write(content[:8192], 0)
        file.mark(Span(0, 4096))
        file.sync()
        file.mark(Span(4096, 8192))

    assert (before.peek(blob), after.peek(blob)) == (8192, 4096)
