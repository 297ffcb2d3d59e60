"""Large files: hot, cold, over a slow upstream, to slow clients."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager

from dingospeed.testing import Call, Generated
from tests.bench.case import ACCEL, CURL, NGINX, OLAH, US, Systems
from tests.bench.load import Figures, Server, ask, curl, download, streams
from tests.bench.stage import GIB, MIB, Hollow, Remote, Stage, forget_blobs
from tests.harness import Mirror, wait_until

ONE, UPSTREAM = "one connection", "upstream"
SLOW_CLIENTS, SLOW_RATE = 64, 1_000_000
LIMITED_RATE, LIMITED_LATENCY_S = 20e6, 0.05

Prepare = Callable[[Stage, bool], AbstractContextManager[Systems]]


def hot(clients: int, *, has_olah: bool = False) -> Prepare:
    """A file in the page cache to so many clients at once, each of which takes all of it."""

    @contextmanager
    def prepare(stage: Stage, is_quick: bool) -> Iterator[Systems]:
        file = big(stage, is_quick)
        behind = {"trusted_proxies": ["127.0.0.1"], "accel": "nginx"}
        with stage.mirror(server=behind) as (mirror, server), stage.nginx_before(mirror) as before:
            fill(mirror, server, file)
            with stage.linked(mirror, file) as same:
                systems = {
                    NGINX: lambda: streams(stage.nginx.server, [same] * clients),
                    US: lambda: streams(server, [file.path] * clients),
                    ACCEL: lambda: streams(before, [file.path] * clients),
                }
                if not has_olah:
                    yield systems
                    return
                with stage.olah() as olah:
                    streams(olah.server, [file.path])
                    yield {**systems, OLAH: lambda: streams(olah.server, [file.path] * clients)}

    return prepare


@contextmanager
def cold(stage: Stage, is_quick: bool) -> Iterator[Systems]:
    """A file nobody has asked for yet, to one client that receives it while it comes in."""
    file = big(stage, is_quick)
    with stage.mirror() as (mirror, server), stage.olah() as olah:
        fill(mirror, server, file)  # What is known of the repo stays from round to round.
        streams(olah.server, [file.path])

        def by_us() -> Figures:
            forget_blobs(mirror)
            found = streams(server, [file.path])
            wait_until(lambda: file.etag in mirror.sealed())
            return found

        def by_olah() -> Figures:
            olah.forget()
            return streams(olah.server, [file.path])

        yield {
            CURL: lambda: curl(stage.cdn.url + file.cdn_path, stage.folder / "curl"),
            US: by_us,
            OLAH: by_olah,
        }


@contextmanager
def limited(stage: Stage, is_quick: bool) -> Iterator[Systems]:
    """An upstream that gives 20 MB/s to a connection and thinks 50 ms before each answer."""
    size = GIB // 4 if is_quick else GIB
    file = stage.add("bench/limited", {"weights.bin": Generated(size, seed=3)})["weights.bin"]
    with slow_hub(stage, bytes_per_s=LIMITED_RATE), stage.mirror() as (mirror, server):

        def alone() -> Figures:
            # No more than it takes to see the rate: it does not change afterwards.
            [client] = download(ask(stage.hub.url + file.path).location, [""], most=64 * MIB)
            return {"GB/s": client["bytes"] / client["seconds"] / 1e9}

        def by_us() -> Figures:
            forget_blobs(mirror)
            seen = len(stage.hub.calls)
            found = streams(server, [file.path])
            wait_until(lambda: file.etag in mirror.sealed())
            return {**found, "connections busy": _busy(stage.hub.calls[seen:])}

        yield {ONE: alone, US: by_us}


def _busy(calls: Sequence[Call]) -> float:
    """How many connections the CDN was sending over, from its first byte to its last."""
    sent = [(call.time, call.ended) for call in calls if call.kind == "cdn" and call.ended is not None]
    took_s = max(ended for _, ended in sent) - min(began for began, _ in sent)
    return sum(ended - began for began, ended in sent) / took_s


@contextmanager
def first_byte(stage: Stage, is_quick: bool) -> Iterator[Systems]:
    """Until the first byte of a file in a repo nobody has asked for, over an upstream with 50 ms."""
    numbers = iter(range(1_000_000))
    with slow_hub(stage), stage.mirror() as (_, server):

        def fresh() -> Remote:
            name = f"bench/fresh{next(numbers)}"
            return stage.add(name, {"weights.bin": Generated(32 * MIB, seed=4)})["weights.bin"]

        def upstream() -> Figures:
            """What the Hub itself takes: two questions about the repo, one for the file, and its bytes."""
            file = fresh()
            repo = file.path.partition("/resolve/")[0]
            api = f"{stage.hub.url}/api/models{repo}"
            asked = (f"{api}/revision/main", f"{api}/tree/main", stage.hub.url + file.path)
            told = [ask(url) for url in asked]
            told.append(ask(told[-1].location))
            return {"first byte ms": 1e3 * sum(answer.first_byte_s for answer in told)}

        def by_us() -> Figures:
            return {"first byte ms": 1e3 * ask(server.url + fresh().path).first_byte_s}

        yield {UPSTREAM: upstream, US: by_us}


@contextmanager
def slow_clients(stage: Stage, is_quick: bool) -> Iterator[Systems]:
    """Many clients at 1 MB/s, each with another cold file of a GiB: what the mirror holds for them."""
    seconds = 8 if is_quick else 20
    contents = {f"{number}.bin": Hollow(GIB, seed=number) for number in range(1, SLOW_CLIENTS + 1)}
    files = stage.add("bench/slow", contents)
    paths = [remote.path for remote in files.values()]
    with stage.mirror() as (mirror, server):

        def measure() -> Figures:
            with _Watch(server, mirror) as watch:
                streams(server, paths, rate=SLOW_RATE, most=seconds * SLOW_RATE)
            return {"worker RSS MB": watch.most_rss / 1e6, "filled MiB a file": watch.most_filled / MIB}

        yield {US: measure}


@contextmanager
def slow_hub(stage: Stage, *, bytes_per_s: float | None = None) -> Iterator[None]:
    """The Hub answers 50 ms late, and so does its own CDN, which stands in for nginx."""
    faults = [stage.hub.fault("any", "latency", seconds=LIMITED_LATENCY_S)]
    if bytes_per_s is not None:
        faults.append(stage.hub.fault("cdn", "rate", bytes_per_s=bytes_per_s))
    stage.hub.nginx = None
    try:
        yield
    finally:
        stage.hub.nginx = stage.cdn
        for fault in faults:
            fault.remove()


class _Watch:
    """The most that was seen meanwhile: of memory in one process, and of bytes filled of one file."""

    def __init__(self, server: Server, mirror: Mirror) -> None:
        self.most_rss = self.most_filled = 0
        self._server = server
        self._mirror = mirror
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)

    def _look(self) -> None:
        while not self._is_over.wait(0.1):
            self.most_rss = max(self.most_rss, self._server.processes.rss())
            for path in (self._mirror.repos / "blobs").glob("??/*.partial"):
                self.most_filled = max(self.most_filled, path.stat().st_blocks * 512)

    def __enter__(self) -> _Watch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        self._thread.join()


def big(stage: Stage, is_quick: bool) -> Remote:
    """The large file of most cases, made once."""
    size = GIB // 4 if is_quick else GIB
    return stage.add("bench/big", {"weights.bin": Generated(size, seed=1)})["weights.bin"]


def fill(mirror: Mirror, server: Server, file: Remote) -> None:
    """Have the mirror hold all of *file*."""
    streams(server, [file.path])
    wait_until(lambda: file.etag in mirror.sealed())
