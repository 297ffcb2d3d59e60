"""Clients that download, one process each, begun together: ``python -m tests.bench.streams``.

Reads a job as JSON from standard input and writes what each client saw as JSON. A client receives into
one buffer and throws the bytes away, so that it costs as little as a client can.
"""

from __future__ import annotations

import json
import os
import socket
import sys
import time
from typing import Any
from urllib.parse import urlsplit

BUFFER_BYTES = 1 << 20
TIMEOUT_S = 120


def download(url: str, *, rate: float | None, most: int | None) -> dict[str, Any]:
    """GET *url*; seconds until the first byte of the body and until the last, and how many there were.

    *rate*: bytes a second to take at most; *most*: bytes after which to leave.
    """
    where = urlsplit(url)
    assert where.hostname is not None
    began = time.monotonic()
    with socket.create_connection((where.hostname, where.port or 80), timeout=TIMEOUT_S) as sock:
        if rate is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 128 << 10)
        path = where.path + (f"?{where.query}" if where.query else "")
        sent = {"Host": where.netloc, "Connection": "close"}
        lines = [f"GET {path} HTTP/1.1", *(f"{name}: {value}" for name, value in sent.items()), "", ""]
        sock.sendall("\r\n".join(lines).encode())
        status, announced, got = _read_head(sock)
        first_byte_s = time.monotonic() - began
        buffer = bytearray(BUFFER_BYTES if rate is None else 64 << 10)
        while (most is None or got < most) and (count := sock.recv_into(buffer)):
            got += count
            if rate is not None:
                time.sleep(max(0.0, got / rate - (time.monotonic() - began - first_byte_s)))
    took_s = time.monotonic() - began
    is_whole = got == announced or (most is not None and got >= most)
    return {
        "status": status,
        "bytes": got,
        "is_whole": is_whole,
        "first_byte_s": first_byte_s,
        "seconds": took_s,
    }


def _read_head(sock: socket.socket) -> tuple[int, int, int]:
    """Status, Content-Length and how many bytes of the body came along; at least one, if there is a body."""
    received = b""
    while b"\r\n\r\n" not in received:
        data = sock.recv(65536)
        if not data:
            raise ConnectionError("no answer")
        received += data
    head, _, body = received.partition(b"\r\n\r\n")
    lines = head.decode("latin-1").split("\r\n")
    headers = dict(line.lower().split(": ", 1) for line in lines[1:] if ": " in line)
    length = int(headers.get("content-length", "0"))
    if length and not body:
        body = sock.recv(65536)
    return int(lines[0].split(" ")[1]), length, len(body)


def main() -> None:
    job = json.load(sys.stdin)
    urls = job["urls"]
    gate_read, gate_write = os.pipe()
    children = []
    for url in urls:
        results_read, results_write = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.close(gate_write)
            os.read(gate_read, 1)  # Returns when all writers are gone: begin together.
            try:
                result = download(url, rate=job["rate"], most=job["most"])
            except (OSError, ValueError) as error:
                result = {"error": f"{type(error).__name__}: {error}"}
            os.write(results_write, json.dumps(result).encode())
            os._exit(0)
        os.close(results_write)
        children.append((pid, results_read))
    time.sleep(0.05 + 0.005 * len(urls))  # They wait at the gate by now.
    os.close(gate_write)
    results = []
    for pid, results_read in children:
        with open(results_read, "rb") as stream:
            results.append(json.loads(stream.read()))
        os.waitpid(pid, 0)
    print(json.dumps(results))


if __name__ == "__main__":
    main()
