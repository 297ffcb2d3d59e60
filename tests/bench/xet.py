"""The real client by plain HTTP and by Xet: what each gains, and what it costs on both sides."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

from dingospeed.testing import Generated
from tests.bench.case import Systems
from tests.bench.downloads import LIMITED_RATE, big, fill, slow_hub
from tests.bench.load import GB, LIMIT_S, Figures, LoadFailed, Server
from tests.bench.stage import GIB, Remote, Stage, forget_blobs
from tests.harness import Client, wait_until

PLAIN, XET = "plain", "Xet"
WAYS = {PLAIN: {"HF_HUB_DISABLE_XET": "1"}, XET: {}}
# What is measured is the download: not how long Python takes to load the library.
PROGRAM = """
import json, os, resource, sys, time
from huggingface_hub import hf_hub_download
began = time.monotonic()
path = hf_hub_download(*sys.argv[1:])
took_s = time.monotonic() - began
used = resource.getrusage(resource.RUSAGE_SELF)
told = {"seconds": took_s, "cpu_s": used.ru_utime + used.ru_stime, "bytes": os.path.getsize(path)}
print(json.dumps(told))
"""


@contextmanager
def warm(stage: Stage, is_quick: bool) -> Iterator[Systems]:
    """A cached file to one client, onto its disk."""
    file = big(stage, is_quick)
    with stage.mirror(xet={"mode": "on"}) as (mirror, server):
        fill(mirror, server, file)
        yield {way: partial(by_client, stage, server, file, way) for way in WAYS}


@contextmanager
def limited(stage: Stage, is_quick: bool) -> Iterator[Systems]:
    """A file nobody has asked for, over an upstream that gives 20 MB/s to a connection."""
    size = GIB // 4 if is_quick else GIB
    file = stage.add("bench/xet", {"weights.bin": Generated(size, seed=5)})["weights.bin"]
    with slow_hub(stage, bytes_per_s=LIMITED_RATE), stage.mirror(xet={"mode": "on"}) as (mirror, server):

        def measure(way: str) -> Figures:
            forget_blobs(mirror)
            found = by_client(stage, server, file, way)
            wait_until(lambda: file.etag in mirror.sealed())
            return found

        yield {way: partial(measure, way) for way in WAYS}


def by_client(stage: Stage, server: Server, file: Remote, way: str) -> Figures:
    """huggingface_hub with an empty cache downloads *file*. Raises LoadFailed."""
    home = stage.folder / "client"
    repo, _, path = file.path.lstrip("/").partition("/resolve/main/")
    environ = Client(home, server.url, **WAYS[way]).environ()
    before = server.processes.cpu_s()
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, repo, path],
        env=environ,
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
    server_cpu_s = server.processes.cpu_s() - before
    if done.returncode:
        raise LoadFailed(done.stderr.strip().splitlines()[-1])
    shutil.rmtree(home)
    told = json.loads(done.stdout)
    gb = told["bytes"] / GB
    return {
        "GB/s": gb / told["seconds"],
        "server CPU s/GB": server_cpu_s / gb,
        "client CPU s/GB": told["cpu_s"] / gb,
    }
