from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import threading

import psutil
import pytest

from dingospeed.errors import StoreError, StoreFull
from dingospeed.flight.leases import Leases

HOLDER = """
import sys
from pathlib import Path
from dingospeed.flight.leases import Leases
lease = Leases(path_of=lambda key: Path(sys.argv[1]) / key).try_acquire(sys.argv[2])
print("held" if lease else "refused", flush=True)
sys.stdin.readline()
if lease:
    lease.release()
print("released", flush=True)
sys.stdin.readline()
"""

CONTENDER = """
import os, sys, time
from pathlib import Path
from dingospeed.flight.leases import Leases
root, turns = Path(sys.argv[1]), int(sys.argv[2])
leases = Leases(path_of=lambda key: root / "run" / key)
for _ in range(turns):
    while (lease := leases.try_acquire("key")) is None:
        time.sleep(0)
    # Nobody else is here: this would fail.
    inside = os.open(root / "inside", os.O_CREAT | os.O_EXCL)
    os.close(inside)
    with open(root / "count", "r+") as count:
        number = int(count.read() or 0)
        count.seek(0)
        count.write(str(number + 1))
    os.unlink(root / "inside")
    lease.release()
"""


@pytest.fixture
def run(tmp_path):
    path = tmp_path / "run"
    path.mkdir()
    return path


@pytest.fixture
def leases(run):
    return Leases(path_of=lambda key: run / key)


def start(run, key):
    command = [sys.executable, "-c", HOLDER, run, key]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


class Holder:
    """Another process, which holds a lease, or tried to."""

    def __init__(self, run, key):
        self._process = start(run, key)
        self.answer = self._process.stdout.readline().strip()

    def releases(self):
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        assert self._process.stdout.readline() == "released\n"

    def is_killed(self):
        self._process.send_signal(signal.SIGKILL)
        self._process.wait(30)

    def ends(self):
        self._process.kill()
        self._process.wait(30)
        self._process.stdin.close()
        self._process.stdout.close()


@pytest.fixture
def holder(run):
    holders = []

    def start(key):
        holders.append(Holder(run, key))
        return holders[-1]

    yield start
    for each in holders:
        each.ends()


def test_try_acquire__held_by_another_thread_or_this__refused(leases):
    with leases.try_acquire("key"):
        found = []
        thread = threading.Thread(target=lambda: found.append(leases.try_acquire("key")))
        thread.start()
        thread.join(30)

        assert found == [None]
        assert leases.try_acquire("key") is None


def test_try_acquire__held_by_another_process__refused_until_released(leases, holder):
    other = holder("key")
    assert other.answer == "held"
    assert leases.try_acquire("key") is None

    other.releases()

    assert leases.try_acquire("key") is not None


def test_try_acquire__by_another_process_while_held_here__refused(leases, holder):
    with leases.try_acquire("key"):
        assert holder("key").answer == "refused"


def test_try_acquire__holder_killed__given(leases, holder):
    other = holder("key")

    other.is_killed()

    assert leases.try_acquire("key") is not None


def test_try_acquire__another_key__given(leases):
    with leases.try_acquire("key"):
        assert leases.try_acquire("other") is not None


def test_release__twice__no_harm_to_who_holds_it_now(leases):
    lease = leases.try_acquire("key")
    lease.release()
    with leases.try_acquire("key"):
        lease.release()

        assert leases.try_acquire("key") is None


def test_release__directory_was_emptied_under_it__next_holder_keeps_its_lease(leases, run):
    old = leases.try_acquire("key")
    (run / "key").unlink()
    new = leases.try_acquire("key")

    old.release()

    assert leases.try_acquire("key") is None
    new.release()
    assert leases.try_acquire("key") is not None


def test_release__always__leaves_no_file(leases, run):
    for _ in range(5):
        with leases.try_acquire("key"):
            pass

    assert list(run.iterdir()) == []


def test_acquire__time_is_up__none(leases):
    with leases.try_acquire("key"):
        assert leases.acquire("key", timeout_s=0.05) is None


def test_acquire__released_meanwhile__given(leases):
    lease = leases.try_acquire("key")
    found = []
    thread = threading.Thread(target=lambda: found.append(leases.acquire("key", timeout_s=60)))
    thread.start()

    lease.release()

    thread.join(60)
    assert found[0] is not None


def test_acquire__by_four_processes_again_and_again__one_at_a_time(tmp_path, run):
    (tmp_path / "count").write_text("")
    command = [sys.executable, "-c", CONTENDER, tmp_path, "100"]
    contenders = [subprocess.Popen(command) for _ in range(4)]

    assert [contender.wait(100) for contender in contenders] == [0] * 4

    assert (tmp_path / "count").read_text() == "400"
    assert list(run.iterdir()) == []


def test_try_acquire__refused_many_times__no_descriptor_stays_open(leases):
    with leases.try_acquire("key"):
        before = psutil.Process().num_fds()
        for _ in range(20):
            leases.try_acquire("key")

        assert psutil.Process().num_fds() == before


@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EMFILE])
def test_try_acquire__no_file_can_be_made__says_so_in_our_words(leases, monkeypatch, error):
    def fails(*_args):
        raise OSError(error, os.strerror(error))

    monkeypatch.setattr(os, "open", fails)

    with pytest.raises(StoreFull if error == errno.ENOSPC else StoreError):
        leases.try_acquire("key")
