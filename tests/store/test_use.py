"""Who has a blob open keeps it; and to take one away harms nobody who comes in between."""

import os
import threading
import time

import pytest

from dingospeed.model import Blob
from dingospeed.store.use import share, take_away
from tests.harness import wait_until

FAR = 1e12


@pytest.fixture
def sealed(layout, content_of_size):
    content, blob = content_of_size(10_000)
    path = layout.sealed(blob.etag)
    path.parent.mkdir()
    path.write_bytes(content)
    return path, blob, content


def test_take_away__nobody_uses_it__frees_what_it_took(sealed):
    path, _, _ = sealed
    took = path.stat().st_blocks * 512

    assert take_away(path, used_until=FAR) == took > 0
    assert not path.exists()


def test_take_away__being_read__stays_until_it_is_closed(sealed, blobs):
    path, blob, content = sealed
    first, second = blobs.open_sealed(blob), blobs.open_sealed(blob)

    assert take_away(path, used_until=FAR) is None
    os.close(first)
    assert take_away(path, used_until=FAR) is None
    assert os.pread(second, 10_000, 0) == content
    os.close(second)
    assert take_away(path, used_until=FAR)


def test_take_away__reader_in_another_process_is_killed__goes(sealed, blobs, children, tmp_path):
    path, blob, _ = sealed

    def read():
        blobs.open_sealed(blob)
        (tmp_path / "reads").touch()
        time.sleep(60)

    pid = children.start(read)
    wait_until((tmp_path / "reads").exists)
    assert take_away(path, used_until=FAR) is None
    os.kill(pid, 9)
    children.wait(pid)

    assert take_away(path, used_until=FAR)


def test_take_away__being_filled__stays(layout, blobs):
    blob = Blob("a" * 64, 100_000)
    path = layout.partial(blob.etag)

    with blobs.open_partial(blob, segment_blocks=8):
        assert take_away(path, used_until=FAR) is None
    assert take_away(path, used_until=FAR)
    assert not path.exists()


def test_take_away__filled_and_sealed_while_open__stays(layout, blobs, content_of_size):
    content, blob = content_of_size(10_000)

    with blobs.open_partial(blob, segment_blocks=8) as file:
        file.write(content, 0)
        file.mark(blob.whole)
        blobs.seal(file)

        assert take_away(layout.sealed(blob.etag), used_until=FAR) is None
    assert take_away(layout.sealed(blob.etag), used_until=FAR)


def test_take_away__used_since__stays(sealed):
    path, _, _ = sealed

    assert take_away(path, used_until=path.stat().st_atime - 1) is None
    assert path.exists()


def test_take_away__linked_elsewhere__stays(sealed, tmp_path):
    path, _, _ = sealed
    os.link(path, tmp_path / "mounted")

    assert take_away(path, used_until=FAR) is None
    assert path.exists()


def test_take_away__gone_or_a_link__nothing_happens(tmp_path, sealed):
    path, _, _ = sealed
    link = tmp_path / "link"
    link.symlink_to(path)

    assert take_away(tmp_path / "nothing", used_until=FAR) is None
    with pytest.raises(OSError):
        take_away(link, used_until=FAR)
    assert path.exists()


def test_open_partial__taken_away_again_and_again__what_is_open_has_its_name(layout, blobs):
    blob = Blob("b" * 64, 100_000)
    path = layout.partial(blob.etag)
    is_over = threading.Event()

    def take():
        while not is_over.is_set():
            take_away(path, used_until=FAR)

    taker = threading.Thread(target=take)
    taker.start()
    opened = 0
    try:
        for _ in range(300):
            file = blobs.open_partial(blob, segment_blocks=8)
            if file is not None:  # It may be taken away as often as it is made.
                with file:
                    opened += 1
                    assert os.fstat(file.fd).st_ino == path.stat().st_ino
    finally:
        is_over.set()
        taker.join()

    assert opened


def test_share__twice_and_by_many__is_no_matter(sealed):
    path, _, _ = sealed
    fds = [os.open(path, os.O_RDONLY) for _ in range(3)]

    assert all(share(fd) for fd in fds for _ in range(2))
    for fd in fds:
        os.close(fd)
