"""Load on a server, and what it cost the server: throughput, processor time, latencies."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

import psutil

PROJECT = Path(__file__).resolve().parents[2]
LIMIT_S = 600
GB = 1e9

# Of one measurement: what was measured, by name, in the units the names say.
Figures = dict[str, float]
T = TypeVar("T")


class LoadFailed(Exception):
    """The clients did not get what they asked for, so their time means nothing."""


@dataclass(frozen=True, slots=True)
class Processes:
    """The processes of a server, of one or more programs; found anew each time: workers come and go."""

    pids: tuple[int, ...]

    def cpu_s(self) -> float:
        """Seconds of processor all of them have used so far, and those that have ended."""
        return sum(self._each(lambda process: sum(process.cpu_times()[:4])))

    def rss(self) -> int:
        """Bytes in memory of the largest."""
        return max(self._each(lambda process: process.memory_info().rss))

    def _each(self, read: Callable[[psutil.Process], T]) -> list[T]:
        """What is read of each; those that end in this moment are left out."""
        found = []
        for root in map(psutil.Process, self.pids):
            for process in (root, *root.children(recursive=True)):
                with suppress(psutil.NoSuchProcess):
                    found.append(read(process))
        return found


@dataclass(frozen=True, slots=True)
class Server:
    """What is measured: where it is, and which processes are its own."""

    url: str
    processes: Processes


def streams(
    server: Server,
    paths: Sequence[str],
    *,
    rate: float | None = None,
    most: int | None = None,
) -> Figures:
    """One client for each of *paths*, all at once, as tests/bench/streams.py has them."""
    before = server.processes.cpu_s()
    clients = download(server.url, paths, rate=rate, most=most)
    cpu_s = server.processes.cpu_s() - before
    gb = sum(client["bytes"] for client in clients) / GB
    return {"GB/s": gb / max(client["seconds"] for client in clients), "CPU s/GB": cpu_s / gb}


def download(
    url: str, paths: Sequence[str], *, rate: float | None = None, most: int | None = None
) -> list[dict[str, Any]]:
    """What the clients of *paths* saw, each as streams.download gives it. Raises LoadFailed."""
    job = {"urls": [url + path for path in paths], "rate": rate, "most": most}
    clients: list[dict[str, Any]] = _run("streams", job)
    for client in clients:
        if "error" in client or client["status"] not in (200, 206) or not client["is_whole"]:
            raise LoadFailed(f"{url}: {client}")
    return clients


def _run(program: str, job: dict[str, Any]) -> Any:
    """What one of the programs beside this file answers to *job*, in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-m", f"tests.bench.{program}"],
        input=json.dumps(job),
        capture_output=True,
        text=True,
        cwd=PROJECT,
        timeout=LIMIT_S,
        check=False,
    )
    if done.returncode:
        raise LoadFailed(done.stderr.strip().splitlines()[-1])
    return json.loads(done.stdout)


@dataclass(frozen=True, slots=True)
class Told:
    """What one request brought: seconds until the first byte of the body, and where it leads."""

    first_byte_s: float
    location: str


def ask(url: str) -> Told:
    """One GET over a connection of its own; the body is not waited for."""
    where = urlsplit(url)
    began = time.monotonic()
    with closing(HTTPConnection(str(where.hostname), where.port, timeout=LIMIT_S)) as connection:
        connection.request("GET", where.path + (f"?{where.query}" if where.query else ""))
        answer = connection.getresponse()
        if answer.status >= 400:
            raise LoadFailed(f"{url}: answered {answer.status}")
        answer.read(1)
        return Told(time.monotonic() - began, answer.headers.get("Location", ""))


def curl(url: str, target: Path, *flags: str) -> Figures:
    """``curl -o``: what one pays for a download to the disk with nothing between."""
    program = shutil.which("curl")
    assert program is not None
    began = time.monotonic()
    before = os.times()
    subprocess.run([program, "-sfL", *flags, "-o", str(target), url], check=True, timeout=LIMIT_S)
    took_s, after = time.monotonic() - began, os.times()
    size = target.stat().st_size
    target.unlink()
    cpu_s = after.children_user + after.children_system - before.children_user - before.children_system
    return {"GB/s": size / took_s / GB, "CPU s/GB": cpu_s / size * GB}


def small_requests(
    server: Server, path: str, *, method: str = "GET", connections: int = 64, seconds: float = 4
) -> Figures:
    """As many requests as *connections* kept open can make, one after the other on each."""
    where = urlsplit(server.url)
    job = {"host": where.hostname, "port": where.port, "path": path, "method": method}
    before = server.processes.cpu_s()
    told = _run("hammer", {**job, "connections": connections, "seconds": seconds})
    cpu_s = server.processes.cpu_s() - before
    return {
        "requests/s": told["requests"] / told["seconds"],
        "CPU µs/request": 1e6 * cpu_s / max(1, told["requests"]),
        "p50 ms": 1e3 * told["p50_s"],
        "p99 ms": 1e3 * told["p99_s"],
    }


def latencies(server: Server, path: str, *, is_over: Callable[[], bool], pause_s: float = 0.005) -> Figures:
    """One small request after the other over one connection, until *is_over*."""
    where = urlsplit(server.url)
    connection = HTTPConnection(str(where.hostname), where.port, timeout=LIMIT_S)
    seen: list[float] = []
    while not is_over():
        began = time.monotonic()
        connection.request("GET", path)
        connection.getresponse().read()
        seen.append(time.monotonic() - began)
        time.sleep(pause_s)
    connection.close()
    seen.sort()
    return {"p50 ms": 1e3 * seen[len(seen) // 2], "p95 ms": 1e3 * seen[int(len(seen) * 0.95)]}
