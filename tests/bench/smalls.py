"""Small requests: how many, how quick beside large ones, and in a cache with a million files."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

from tests.bench.case import NGINX, OLAH, US, Systems
from tests.bench.downloads import big, fill
from tests.bench.load import Figures, ask, latencies, small_requests, streams
from tests.bench.stage import Stage
from tests.harness import Mirror

CONNECTIONS = 64
SMALL_BYTES = 4096
FEW, MANY = "10 blobs", US
DOCUMENTS, BLOBS = 100_000, 1_000_000
QUICK_DOCUMENTS, QUICK_BLOBS = 5_000, 50_000

Prepare = Callable[[Stage, bool], AbstractContextManager[Systems]]


def small(method: str, what: str) -> Prepare:
    """*what*: "file", of 4 KB, or "info", the JSON of a revision."""

    @contextmanager
    def prepare(stage: Stage, is_quick: bool) -> Iterator[Systems]:
        content = bytes(range(256)) * (SMALL_BYTES // 256)
        file = stage.add("bench/small", {"small.bin": content})["small.bin"]
        path = file.path if what == "file" else "/api/models/bench/small/revision/main"
        seconds = 2 if is_quick else 3
        with stage.mirror() as (_, server), stage.olah() as olah:
            systems = {
                US: lambda: small_requests(
                    server, path, method=method, connections=CONNECTIONS, seconds=seconds
                ),
                OLAH: lambda: small_requests(
                    olah.server, path, method=method, connections=CONNECTIONS, seconds=seconds
                ),
            }
            if what == "file":
                at_nginx = "/" + file.cdn_path.rpartition("/")[2]
                systems[NGINX] = lambda: small_requests(
                    stage.nginx.server, at_nginx, method=method, connections=CONNECTIONS, seconds=seconds
                )
            for each in (server, olah.server):
                ask(each.url + path)
            yield systems

    return prepare


@contextmanager
def fairness(stage: Stage, is_quick: bool) -> Iterator[Systems]:
    """A small file, again and again, from the one worker that sends a large one to four clients."""
    file = big(stage, is_quick)
    other = stage.add("bench/small", {"beside.bin": b"x" * SMALL_BYTES})["beside.bin"]
    with stage.mirror(server={"workers": 1}) as (mirror, server):
        fill(mirror, server, file)
        ask(server.url + other.path)

        def measure() -> Figures:
            until = time.monotonic() + (2 if is_quick else 6)

            def flat_out() -> None:
                while time.monotonic() < until:
                    streams(server, [file.path] * 4)

            thread = threading.Thread(target=flat_out)
            thread.start()
            found = latencies(server, other.path, is_over=lambda: time.monotonic() > until)
            thread.join()
            return found

        yield {US: measure}


@contextmanager
def scale(stage: Stage, is_quick: bool) -> Iterator[Systems]:
    """A start, and a small file, with a million others in the cache; beside a cache that holds only it."""
    file = stage.add("bench/small", {"small.bin": b"s" * SMALL_BYTES})["small.bin"]
    with stage.mirror() as (_, few), stage.mirror() as (many, _):
        ask(few.url + file.path)
        _crowd(many, QUICK_DOCUMENTS if is_quick else DOCUMENTS, QUICK_BLOBS if is_quick else BLOBS)

        def in_a_crowd() -> Figures:
            many.stop()
            began = time.monotonic()
            many.start()
            started_s = time.monotonic() - began
            server = stage.server_of(many)
            ask(server.url + file.path)
            return {**small_requests(server, file.path, seconds=2), "start-up s": started_s}

        yield {FEW: lambda: small_requests(few, file.path, seconds=2), MANY: in_a_crowd}


def _crowd(mirror: Mirror, documents: int, blobs: int) -> None:
    """Fill the cache with *documents* and with *blobs*, sparse files of 1 MiB."""
    for number in range(blobs):
        etag = f"{number * 2_654_435_761 % (1 << 32):08x}{number:056x}"
        folder = mirror.repos / "blobs" / etag[:2]
        if number < 100_000:
            folder.mkdir(exist_ok=True)
        fd = os.open(folder / etag, os.O_WRONLY | os.O_CREAT, 0o640)
        os.ftruncate(fd, 1 << 20)
        os.close(fd)
    for number in range(documents):
        folder = mirror.repos / f"api/models/org{number % 100}/repo{number // 10}/revisions"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"branch{number % 10}.json").write_text(f'{{"revision":"main","commit":"{number:040x}"}}')
