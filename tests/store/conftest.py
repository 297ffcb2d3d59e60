from __future__ import annotations

import errno
import hashlib
import os
import random
import signal
from functools import partial

import pytest

from dingospeed.model import Blob
from dingospeed.store.blobs import Blobs
from dingospeed.store.layout import Layout
from tests.harness import small_disk


def content_of(size, seed=0):
    """Random bytes, and the blob that they are."""
    content = random.Random(seed).randbytes(size)
    return content, Blob(hashlib.sha256(content).hexdigest(), size)


@pytest.fixture
def content_of_size():
    return content_of


@pytest.fixture
def layout(tmp_path):
    layout = Layout(tmp_path / "repos")
    layout.prepare()
    return layout


@pytest.fixture
def make_blobs(layout):
    return partial(Blobs, layout=layout, block_bytes=4096)


@pytest.fixture
def blobs(make_blobs):
    return make_blobs()


class Children:
    """Runs functions in processes of their own."""

    def run(self, function, *arguments):
        """Run to the end; the exit code, or minus the signal that ended it."""
        return self.wait(self.start(function, *arguments))

    def start(self, function, *arguments):
        pid = os.fork()
        if pid:
            return pid
        code = 1
        try:
            function(*arguments)
            code = 0
        finally:
            os._exit(code)

    def wait(self, pid):
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

    def run_until_call(self, number, function, *arguments):
        """Run, and kill -9 before the call with this *number* of all that change the disk.

        True when it was killed, False when it came to its end before.
        """

        def limited():
            left = number

            def dying(call):
                def counted(*args, **kwargs):
                    nonlocal left
                    left -= 1
                    if left < 0:
                        os.kill(os.getpid(), signal.SIGKILL)
                    return call(*args, **kwargs)

                return counted

            for name in (
                "open",
                "pwrite",
                "ftruncate",
                "link",
                "rename",
                "unlink",
                "fdatasync",
                "utime",
                "close",
            ):
                setattr(os, name, dying(getattr(os, name)))
            function(*arguments)

        code = self.run(limited)
        assert code in (0, -signal.SIGKILL)
        return code != 0


@pytest.fixture
def children():
    return Children()


class Disk:
    def __init__(self, monkeypatch):
        self._monkeypatch = monkeypatch

    def fails(self, name, error=errno.ENOSPC):
        """Every call of os.*name* fails from now on, by default for want of space."""

        def failing(*_args, **_kwargs):
            raise OSError(error, os.strerror(error))

        self._monkeypatch.setattr(os, name, failing)

    def heals(self):
        self._monkeypatch.undo()


@pytest.fixture
def disk(monkeypatch):
    return Disk(monkeypatch)


@pytest.fixture
def tiny_disk(tmp_path):
    path = tmp_path / "tiny"
    path.mkdir()
    with small_disk(path, size_bytes=256 << 10):
        yield path
