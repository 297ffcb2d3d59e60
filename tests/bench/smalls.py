"""Small requests: how many, and how quick beside large ones."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

from tests.bench.case import NGINX, OLAH, US, Systems
from tests.bench.downloads import big, fill
from tests.bench.load import Figures, ask, latencies, small_requests, streams
from tests.bench.stage import Stage

CONNECTIONS = 64
SMALL_BYTES = 4096

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
