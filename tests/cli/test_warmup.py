"""`dingospeed warmup` and `dingospeed jobs`, against a mirror that runs and without one."""

import os
import pty
import signal
import subprocess
import sys
import time

import pytest

from dingospeed.testing import Generated
from tests.harness import PROGRAM, wait_until

pytestmark = pytest.mark.server

BIG = 30_000_000


@pytest.fixture(scope="module", autouse=True)
def plenty(hub):
    for bucket in ("api", "resolvers"):
        hub.rate_limits.set(bucket, 1_000_000)


@pytest.fixture
def at(mirror):
    """The options that lead to the mirror."""
    return ("--server", mirror.url, "--repos", str(mirror.repos))


def test_warmup__repos_by_name_and_list__are_held_and_said_to_be(hub, mirror, run_command, at, tmp_path):
    one = hub.add_repo("models", "org/one")
    one.commit({"a.txt": b"a", "big.bin": Generated(size=3_000_000, seed=61)})
    two = hub.add_repo("datasets", "org/two")
    old = two.commit({"old.txt": b"old"})
    two.tag("v1", old)
    two.commit({"new.txt": b"new"})
    listed = tmp_path / "list"
    listed.write_text("# what we train on\n\ndatasets/org/two@v1   # not the new one\n")

    ran = run_command("warmup", "org/one", "--file", listed, *at)

    assert ran.code == 0, ran
    assert "org/one done, 3.0 MB of 3.0 MB" in ran.err
    assert {one.etag("a.txt"), one.etag("big.bin"), two.etag("old.txt", "v1")} <= mirror.sealed()
    assert two.etag("new.txt") not in mirror.sealed()


def test_warmup__one_is_refused__the_others_are_fetched_and_the_exit_code_tells(hub, mirror, run_command, at):
    repo = hub.add_repo("models", "org/there")
    repo.commit({"a.txt": b"there"})

    ran = run_command("warmup", "org/not-there", "org/there", *at)

    assert ran.code == 1, ran
    assert "org/not-there: " in ran.err
    assert "org/there done" in ran.err


def test_warmup__dry_run__shows_and_fetches_nothing(hub, mirror, run_command, at):
    repo = hub.add_repo("models", "org/dry")
    repo.commit({"a.txt": b"dry", "b.bin": Generated(size=1_000_000, seed=62)})

    ran = run_command("warmup", "org/dry", "--exclude", "*.txt", "--dry-run", *at)

    assert ran.code == 0, ran
    assert "1 files, 1.0 MB, 1.0 MB to fetch" in ran.out
    assert "b.bin" in ran.out
    assert "a.txt" not in ran.out
    assert repo.etag("b.bin") not in mirror.sealed()


def test_warmup__local__needs_no_mirror(hub, run_command, tmp_path):
    repo = hub.add_repo("models", "org/local")
    repo.commit({"a.txt": b"local", "big.bin": Generated(size=3_000_000, seed=63)})
    config = tmp_path / "local.yaml"
    config.write_text(
        f"cache: {{repos: {tmp_path}/repos, public: {tmp_path}/public}}\nupstream: {{lines: [{hub.url}]}}\n"
    )

    ran = run_command("warmup", "org/local", "--local", "--config", config)

    assert ran.code == 0, ran
    etag = repo.etag("big.bin")
    assert (tmp_path / "repos" / "blobs" / etag[:2] / etag).stat().st_size == 3_000_000


def test_warmup__a_name_that_can_be_none__is_wrong_use(run_command, at):
    ran = run_command("warmup", "org/a b", *at)

    assert ran.code == 2
    assert "expected org/name" in ran.err


def test_jobs__listed_paused_resumed_cancelled__by_the_end_of_their_id(hub, run_command, at):
    hub.add_repo("models", "org/handled").commit({"big.bin": Generated(size=BIG, seed=64)})
    fault = hub.fault(where="cdn", kind="rate", bytes_per_s=500_000)
    id = run_command("warmup", "org/handled", "--detach", *at).out.split()[0]

    assert "paused" in run_command("jobs", "pause", id[-6:], *at).out
    assert "org/handled" in run_command("jobs", *at).out
    assert run_command("jobs", "show", id, "--json", *at).json["state"] == "paused"
    assert run_command("jobs", "follow", id, *at).code == 1
    assert "queued" in run_command("jobs", "resume", id, *at).out
    assert "cancelled" in run_command("jobs", "cancel", id, *at).out
    assert run_command("jobs", "resume", id, *at).code == 5
    assert run_command("jobs", "show", "nothing-like-it", *at).code == 2
    fault.remove()


def on_a_terminal(*arguments):
    """A command on a terminal of its own, and the terminal's other end."""
    ours, theirs = pty.openpty()
    environ = {name: value for name, value in os.environ.items() if not name.startswith("DINGO")}
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, *map(str, arguments)],
        env={**environ, "TERM": "xterm", "COLUMNS": "160", "LINES": "40"},
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
    )
    os.close(theirs)
    os.set_blocking(ours, False)
    return process, ours


def test_warmup__on_a_terminal__bars_and_ctrl_c_leaves_the_job_running(hub, run_command, at):
    hub.add_repo("models", "org/watched").commit({"weights.bin": Generated(size=BIG, seed=65)})
    fault = hub.fault(where="cdn", kind="rate", bytes_per_s=500_000)
    process, terminal = on_a_terminal("warmup", "org/watched", *at)
    text = ""

    def shows(*words):
        nonlocal text
        try:
            text += os.read(terminal, 1 << 16).decode(errors="replace")
        except BlockingIOError:
            pass
        except OSError:  # The other end is closed.
            return all(word in text for word in words) or pytest.fail(text)
        return all(word in text for word in words)

    wait_until(lambda: shows("org/watched", "weights.bin", "MB/s", "0/1 files"), "bars")
    press_at = time.monotonic()

    def goes_on():
        nonlocal press_at
        # Again after a while, as anybody does: Python loses an interrupt while it finalizes a file.
        if time.monotonic() >= press_at and process.poll() is None:
            press_at = time.monotonic() + 5
            process.send_signal(signal.SIGINT)
        return shows("goes on without you", "jobs follow", "jobs cancel")

    wait_until(goes_on, "how it goes on")
    assert process.wait(30) == 130
    os.close(terminal)

    id = run_command("jobs", "--json", *at).json["jobs"][0]["id"]
    assert run_command("jobs", "show", id, "--json", *at).json["state"] == "running"
    fault.remove()
    assert run_command("jobs", "follow", id, *at).code == 0
