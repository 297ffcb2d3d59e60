"""Cleaning beside a mirror that serves: what is read or filled stays, and nobody notices the rest."""

import contextlib
import hashlib
import os
import signal
import subprocess
import sys
import threading
import time

import psutil
import pytest

from dingospeed.testing import Generated
from tests.harness import PROGRAM, bare_environ, wait_until

pytestmark = pytest.mark.server

MIB = 1 << 20
FILES = {f"part-{index}.bin": Generated(size=2 * MIB, seed=100 + index) for index in range(12)}


@pytest.fixture
def repo(hub):
    repo = hub.add_repo("models", "org/model")
    repo.commit(dict(FILES))
    return repo


def path_of(name):
    return f"/org/model/resolve/main/{name}"


def clean(mirror, *arguments):
    """Run the command beside the mirror; its exit code."""
    command = [sys.executable, "-c", PROGRAM, "clean", "--repos", str(mirror.repos), *arguments]
    done = subprocess.run(command, env=bare_environ(), capture_output=True, check=False, timeout=60)
    return done.returncode


def test_clean__while_eight_clients_download__every_byte_is_right(repo, hub, make_mirror):
    """Cold and warm reads, again and again, while all that may go does."""
    mirror = make_mirror(hub)
    is_over, wrong, done = threading.Event(), [], []

    def client(number):
        names = list(FILES)[number:] + list(FILES)[:number]
        while not is_over.is_set():
            for name in names:
                status, _, body = mirror.get(path_of(name))
                if status != 200 or hashlib.sha256(body).hexdigest() != repo.sha256(name):
                    wrong.append(name)
                done.append(name)

    clients = [threading.Thread(target=client, args=(number,)) for number in range(8)]
    for each in clients:
        each.start()
    try:
        for _ in range(4):
            began = len(done)
            wait_until(lambda began=began: len(done) > began + 12, "clients got on")
            assert clean(mirror, "--limit", "0", "--yes") in (0, 1)
    finally:
        is_over.set()
        for each in clients:
            each.join()

    assert wrong == []
    assert hub.bytes_sent(host="cdn") > len(FILES) * 2 * MIB  # Something had gone, and came again.
    wait_until(lambda: clean(mirror, "--limit", "0", "--yes") == 0, "all could be cleaned")
    assert mirror.sealed() == set()


def test_clean__a_client_stops_in_the_middle__its_file_stays_until_it_has_ended(repo, hub, make_mirror):
    big = hub.add_repo("models", "org/big")
    big.commit({"big.bin": Generated(size=64 * MIB, seed=5)})
    mirror = make_mirror(hub)
    url = "/org/big/resolve/main/big.bin"
    mirror.get(url)
    wait_until(mirror.sealed, "it was sealed")
    connection = mirror.connect()
    with contextlib.closing(connection):
        connection.request("GET", url)
        answer = connection.getresponse()
        first = answer.read(MIB)

        assert clean(mirror, "--limit", "0", "--yes") == 1
        assert mirror.sealed() == {big.etag("big.bin")}
        assert first + answer.read() == big.content("big.bin")

    wait_until(lambda: clean(mirror, "--limit", "0", "--yes") == 0, "it could be cleaned")
    assert mirror.sealed() == set()


def test_clean__in_the_middle_of_a_fill__the_fill_goes_on(hub, make_mirror):
    big = hub.add_repo("models", "org/big")
    big.commit({"big.bin": Generated(size=64 * MIB, seed=6)})
    mirror = make_mirror(hub)
    # So slow that it would take more than a minute.
    hub.fault(where="cdn", kind="rate", bytes_per_s=MIB // 4)
    got = []
    client = threading.Thread(target=lambda: got.append(mirror.get("/org/big/resolve/main/big.bin")[2]))
    client.start()
    wait_until(lambda: hub.bytes_sent(host="cdn") > MIB, "the fill has begun")

    code = clean(mirror, "--limit", "0", "--yes")
    hub.clear_faults()
    client.join()

    assert code == 1
    assert got == [big.content("big.bin")]
    assert hub.bytes_sent(host="cdn") == 64 * MIB


def test_threshold__crossed_while_serving__comes_down_and_is_counted(repo, hub, make_mirror):
    mirror = make_mirror(hub, cleaning={"high_water": "20MiB", "low_water": "10MiB", "interval_s": 1})

    for name in FILES:
        assert mirror.get(path_of(name))[0] == 200

    wait_until(lambda: mirror.cached_bytes() <= 20 * MIB)
    wait_until(lambda: mirror.metric("dingospeed_cleaned_bytes_total") > 0, "it was counted")
    assert mirror.metric('dingospeed_cleanings_total{result="done"}') >= 1
    wait_until(lambda: 0 < mirror.metric("dingospeed_cache_bytes") <= 20 * MIB, "the gauge followed")
    token = (mirror.repos / "keys" / "admin").read_text().strip()
    disk = mirror.json("/-/status", token=token)[2]["disk"]
    assert 0 < disk["cache_bytes"] <= 20 * MIB
    assert disk["blobs"] > 0


def test_threshold__offline_and_crossed_before_the_start__comes_down_at_once(repo, hub, make_mirror):
    mirror = make_mirror(hub)
    for name in FILES:
        mirror.get(path_of(name))
    wait_until(lambda: len(mirror.sealed()) == len(FILES), "all were sealed")
    for age, name in enumerate(FILES):
        path = mirror.repos / "blobs" / repo.etag(name)[:2] / repo.etag(name)
        os.utime(path, (time.time() - 1000 - age, time.time() - 2000))

    mirror.stop()
    # An hour between two looks: what happens, happens at the start.
    mirror.settings = {"cleaning": {"high_water": "20MiB", "low_water": "10MiB", "interval_s": 3600}}
    mirror.start("--offline")

    wait_until(lambda: len(mirror.sealed()) <= 5, "it came down")
    assert mirror.sealed() <= {repo.etag(name) for name in list(FILES)[:5]}
    assert mirror.get(path_of("part-0.bin"))[2] == repo.content("part-0.bin")


def test_upkeep__its_worker_is_killed__another_cleans(repo, hub, make_mirror):
    mirror = make_mirror(hub, cleaning={"high_water": "20MiB", "low_water": "10MiB", "interval_s": 1})
    [held] = holders(mirror.repos / "run" / "upkeep")

    os.kill(held, signal.SIGKILL)
    wait_until(lambda: holders(mirror.repos / "run" / "upkeep") not in ([], [held]), "another took over")
    for name in FILES:
        assert mirror.get(path_of(name))[0] == 200

    wait_until(lambda: mirror.cached_bytes() <= 20 * MIB)


def holders(path):
    """The processes that have the file at *path* open."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if any(file.path == str(path) for file in process.open_files()):
                found.append(process.pid)
    return found
