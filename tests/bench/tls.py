"""Cold files over TLS, and how many connections they take."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from dingospeed.testing import Generated
from tests.bench.case import CURL, US, Systems
from tests.bench.downloads import big, fill
from tests.bench.load import Figures, ask, curl, streams
from tests.bench.servers import Nginx
from tests.bench.stage import Stage, forget_blobs
from tests.harness import wait_until

FILES, FILE_BYTES, AT_ONCE = 100, 64 << 10, 8


@contextmanager
def cold(stage: Stage, is_quick: bool) -> Iterator[Systems]:
    """A file nobody has asked for yet, to one client that receives it while it comes in."""
    file = big(stage, is_quick)
    with stage.tls_cdn() as cdn, stage.mirror(upstream={"ca_bundle": str(cdn.ca)}) as (mirror, server):
        fill(mirror, server, file)  # What is known of the repo stays from round to round.

        def by_us() -> Figures:
            forget_blobs(mirror)
            seen = len(cdn.answered)
            found = streams(server, [file.path])
            wait_until(lambda: file.etag in mirror.sealed())
            return {**found, **_connections(cdn, seen)}

        yield {
            CURL: lambda: curl(cdn.url + file.cdn_path, stage.folder / "curl", "--cacert", str(cdn.ca)),
            US: by_us,
        }


@contextmanager
def small(stage: Stage, is_quick: bool) -> Iterator[Systems]:
    """A hundred small files nobody has asked for yet, eight at once as huggingface_hub asks for them."""
    contents = {f"{number}.bin": Generated(FILE_BYTES, seed=1000 + number) for number in range(FILES)}
    paths = [file.path for file in stage.add("bench/many", contents).values()]
    with stage.tls_cdn() as cdn, stage.mirror(upstream={"ca_bundle": str(cdn.ca)}) as (mirror, server):

        def by_us() -> Figures:
            forget_blobs(mirror)
            seen = len(cdn.answered)
            with ThreadPoolExecutor(AT_ONCE) as pool:
                waited_s = sum(
                    told.first_byte_s for told in pool.map(ask, [server.url + path for path in paths])
                )
            wait_until(lambda: len(mirror.sealed()) == FILES)
            return {"first byte ms": 1e3 * waited_s / FILES, **_connections(cdn, seen)}

        yield {US: by_us}


def _connections(cdn: Nginx, seen: int) -> Figures:
    """Over how many connections the requests came, of those after the first *seen*."""
    answered = cdn.answered[seen:]
    return {"requests": len(answered), "connections": len(set(answered))}
