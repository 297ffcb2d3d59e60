"""A day in the life of a mirror, from the first byte to the last look, on one cache."""

import hashlib
import http.client
import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from dingospeed.testing import Generated
from tests.harness import PROGRAM, Client, expected, hashes, wait_until
from tests.hooks import hook_running

pytestmark = pytest.mark.server

MIB = 1 << 20
HIGH, LOW = 24 * MIB, 12 * MIB
REPOS = [f"org/model{number}" for number in range(8)]


class Day:
    """The mirror, and what people do with it."""

    def __init__(self, mirror, hub):
        self.mirror = mirror
        self.hub = hub
        self.wrong: list[str] = []
        self.downloads = 0
        self._is_over = threading.Event()
        self._threads = [threading.Thread(target=self._download, args=(n,), daemon=True) for n in range(3)]

    def begin_load(self):
        for thread in self._threads:
            thread.start()

    def end_load(self):
        self._is_over.set()
        for thread in self._threads:
            thread.join(60)

    def _download(self, first):
        turn = first
        while not self._is_over.is_set():
            name = REPOS[turn % len(REPOS)]
            repo = self.hub.content.repo("models", name)
            try:
                status, _, body = self.mirror.get(f"/{name}/resolve/main/big.bin")
            except (ConnectionError, http.client.IncompleteRead):
                continue  # Its worker was killed; the connection broke, as it should.
            if status == 200 and hashlib.sha256(body).hexdigest() != repo.sha256("big.bin"):
                self.wrong.append(name)
            self.downloads += status == 200
            turn += 1

    def run(self, *arguments):
        config = str(self.mirror.folder / "mirror.yaml")
        command = [sys.executable, "-c", PROGRAM, *arguments, "--config", config]
        return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


@pytest.fixture
def day(hub, make_mirror):
    for bucket in ("api", "resolvers"):
        hub.rate_limits.set(bucket, 1_000_000)
    for number, name in enumerate(REPOS):
        hub.add_repo("models", name).commit(
            {"big.bin": Generated(4 * MIB, seed=number), "config.json": b'{"model_type": "bert"}'}
        )
    with hook_running() as hook:
        mirror = make_mirror(
            hub,
            cleaning={"high_water": "24MiB", "low_water": "12MiB", "interval_s": 1},
            alerts={
                "webhooks": [{"kind": "json", "url": f"{hook.url}/robot"}],
                "check_s": 1,
                "settle_s": 0,
                "disk_percent": 100,
                "hub_blocked_s": 60,
                "rate_budget_percent": 0,
            },
        )
        day = Day(mirror, hub)
        yield day, hook
        day.end_load()


def test_day__fill_clean_kill_break_mount_verify(day, hub, tmp_path):
    day, hook = day
    mirror = day.mirror

    # Morning: everybody comes at once, and more is fetched than there is room for.
    day.begin_load()
    wait_until(lambda: mirror.metric("dingospeed_cleaned_bytes_total") > 0, "cleaning under load")

    # The worker that cleans dies; another goes on with it.
    killed = mirror.upkeep()
    os.kill(killed, signal.SIGKILL)
    wait_until(lambda: mirror.upkeep() not in (None, killed), "another to take over")
    cleaned, served = mirror.metric("dingospeed_cleaned_bytes_total"), day.downloads
    wait_until(lambda: mirror.metric("dingospeed_cleaned_bytes_total") > cleaned, "more cleaning")
    wait_until(lambda: day.downloads > served + len(REPOS), "more downloads")
    day.end_load()
    assert day.wrong == []
    wait_until(lambda: mirror.cached_bytes() <= HIGH, "room")

    # Noon: the outside is away for a while. An alert when it goes, and one when it is back.
    asked = iter(range(1_000_000))

    def ask():
        return mirror.get(f"/api/models/org/none{next(asked)}")[0]

    def told(state):
        return {alert for said, alert, _ in hook.texts() if said == state}

    hub.fault(where="any", kind="status", code=500)
    wait_until(lambda: ask() and told("broken"), "the alert")
    hub.clear_faults()
    wait_until(lambda: ask() and told("broken") == told("healed"), "its end")
    assert len(hook.texts()) == len(set(hook.texts())), "told twice"
    # With the only line down all are.
    assert told("broken") <= {"line_down", "all_lines_down"}

    # Afternoon: one model for those who work without a mirror.
    mounted = day.run("mount", REPOS[0], "--server", mirror.url)
    assert mounted.returncode == 0, mounted.stderr
    public = mirror.folder / "public"
    wait_until(lambda: list(public.glob("models--org--model0/snapshots/*/big.bin")), "the mount")
    offline = Client(tmp_path, mirror.url, HF_HUB_CACHE=str(public), HF_HUB_OFFLINE="1")
    found = offline.run(f"print(json.dumps(snapshot_download({REPOS[0]!r})))")
    assert hashes(Path(found)) == expected(hub.content.repo("models", REPOS[0]))

    # Evening: is all of it right, and does it add up?
    verified = day.run("verify")
    assert verified.returncode == 0, verified.stdout + verified.stderr
    assert mirror.metric("dingospeed_content_mismatches_total") == 0
    assert mirror.metric("dingospeed_sealed_blobs_total") >= len(REPOS)
    shown = json.loads(day.run("status", "--server", mirror.url, "--json").stdout)
    # A worker that is killed takes its last seconds with it.
    assert shown["traffic"]["requests"] > len(REPOS)
    assert 0 < shown["traffic"]["hit_rate"] < 1
    assert "of them from the cache" in day.run("status", "--server", mirror.url).stdout
