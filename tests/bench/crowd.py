"""A cache with a million files: a start, a small file, and a cleaning planned, while it serves."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from functools import partial
from itertools import repeat
from multiprocessing import get_context
from pathlib import Path

from tests.bench.case import US, Systems
from tests.bench.load import LIMIT_S, Figures, Server, ask, latencies, small_requests
from tests.bench.smalls import SMALL_BYTES
from tests.bench.stage import MIB, Stage
from tests.harness import Mirror, wait_until

FEW, MANY, IDLE = "10 blobs", US, "nothing planned"
DOCUMENTS, BLOBS = 100_000, 1_000_000
QUICK_DOCUMENTS, QUICK_BLOBS = 5_000, 50_000
FOLDERS = 256


@contextmanager
def scale(stage: Stage, is_quick: bool) -> Iterator[Systems]:
    """A start, and a small file, with a million others in the cache; beside a cache that holds only it."""
    path = _small_file(stage)
    with stage.mirror() as (few, other), stage.crowded(partial(crowd, is_quick=is_quick)) as many:
        ask(other.url + path)
        _wait_for_first_look(few)

        def in_a_crowd() -> Figures:
            many.stop()
            started_s = _start(many)
            server = _settled(stage, many, path)
            return {**small_requests(server, path, seconds=2), "start-up s": started_s}

        yield {FEW: lambda: small_requests(other, path, seconds=2), MANY: in_a_crowd}


@contextmanager
def cleaning(stage: Stage, is_quick: bool) -> Iterator[Systems]:
    """A plan to clean all of a million files away, and how quick a small file is meanwhile."""
    path = _small_file(stage)
    with stage.crowded(partial(crowd, is_quick=is_quick)) as mirror:
        _start(mirror)
        server = _settled(stage, mirror, path)

        def planned() -> Figures:
            is_over, took = threading.Event(), list[float]()

            def plan() -> None:
                try:
                    took.append(plan_cleaning(mirror, QUICK_BLOBS if is_quick else BLOBS))
                finally:
                    is_over.set()

            thread = threading.Thread(target=plan)
            thread.start()
            found = latencies(server, path, is_over=is_over.is_set)
            thread.join()
            return {**found, "plan s": took[0]}

        def idle() -> Figures:
            until = time.monotonic() + (1 if is_quick else 5)
            return latencies(server, path, is_over=lambda: time.monotonic() > until)

        yield {IDLE: idle, US: planned}


def plan_cleaning(mirror: Mirror, blobs: int) -> float:
    """Seconds that ``dingospeed clean --dry-run`` takes, which must find all *blobs*."""
    began = time.monotonic()
    told = mirror.command("clean", "--older-than", "1s", "--dry-run", patience_s=LIMIT_S)
    took_s = time.monotonic() - began
    [counted] = [line for line in told.splitlines() if " files, " in line]
    assert int(counted.split()[0]) >= blobs, counted
    return took_s


def crowd(repos: Path, *, is_quick: bool) -> None:
    """Fill a cache with documents, and with blobs that are sparse files of 1 MiB."""
    documents, blobs = (QUICK_DOCUMENTS, QUICK_BLOBS) if is_quick else (DOCUMENTS, BLOBS)
    # Not forked: this process has threads.
    with ProcessPoolExecutor(os.cpu_count(), get_context("spawn")) as pool:
        made = pool.map(_blobs, repeat(repos), range(FOLDERS), repeat(-(-blobs // FOLDERS)), chunksize=8)
        _documents(repos, documents)
        list(made)


def _blobs(repos: Path, number: int, count: int) -> None:
    folder = repos / f"blobs/{number:02x}"
    folder.mkdir(parents=True)
    for index in range(count):
        fd = os.open(f"{folder}/{number:02x}{index:062x}", os.O_WRONLY | os.O_CREAT, 0o640)
        os.ftruncate(fd, MIB)
        os.close(fd)


def _documents(repos: Path, count: int) -> None:
    for repo in range(count // 10):
        folder = repos / f"api/models/org{repo % 100}/repo{repo}/revisions"
        folder.mkdir(parents=True)
        for branch in range(10):
            (folder / f"branch{branch}.json").write_text(f'{{"revision":"main","commit":"{repo:040x}"}}')


def _small_file(stage: Stage) -> str:
    return stage.add("bench/small", {"small.bin": b"s" * SMALL_BYTES})["small.bin"].path


def _start(mirror: Mirror) -> float:
    """The seconds it took."""
    _counted(mirror).unlink(missing_ok=True)  # What was found the time before.
    began = time.monotonic()
    mirror.start()
    return time.monotonic() - began


def _settled(stage: Stage, mirror: Mirror, path: str) -> Server:
    """It has counted what lies there, which a start brings with it, and holds the file at *path*."""
    server = stage.server_of(mirror)
    _wait_for_first_look(mirror)
    ask(server.url + path)
    return server


def _wait_for_first_look(mirror: Mirror) -> None:
    wait_until(_counted(mirror).exists)


def _counted(mirror: Mirror) -> Path:
    return Path(mirror.repos) / "run/usage.json"
