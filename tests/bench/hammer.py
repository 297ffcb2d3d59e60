"""The same small request over many connections kept open, for some seconds: ``python -m tests.bench.hammer``.

One loop and no HTTP library, so that a request costs the client ten microseconds and the server has the
machine. Of each answer only is seen that it is a 200, and where it ends.
"""

from __future__ import annotations

import json
import re
import selectors
import socket
import sys
import time
from typing import Any

_LENGTH = re.compile(rb"\r\ncontent-length: *([0-9]+)\r\n", re.IGNORECASE)
_OK = b"HTTP/1.1 200 "


class Failed(Exception):
    """An answer that is not the one there should be."""


class _Connection:
    def __init__(self, address: tuple[str, int], request: bytes, *, has_body: bool) -> None:
        self.sock = socket.create_connection(address, timeout=30)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._request = request
        self._has_body = has_body
        self._received = b""
        self._began = 0.0

    def send(self) -> None:
        self._received = b""
        self._began = time.perf_counter()
        self.sock.sendall(self._request)

    def receive(self) -> float | None:
        """Seconds it took, once the whole answer is here. Raises Failed."""
        data = self.sock.recv(65536)
        if not data:
            raise Failed("the connection was closed")
        received = self._received = self._received + data
        end = received.find(b"\r\n\r\n")
        if end < 0:
            return None
        if not received.startswith(_OK):
            raise Failed(received.partition(b"\r\n")[0].decode("latin-1"))
        if self._has_body:
            length = _LENGTH.search(received, 0, end + 2)
            if length is None:
                raise Failed("an answer without a length")
            if len(received) < end + 4 + int(length[1]):
                return None
        return time.perf_counter() - self._began


def hammer(
    host: str, port: int, path: str, *, method: str, connections: int, seconds: float
) -> dict[str, Any]:
    """How many requests were answered in how many seconds, and latencies. Raises Failed, OSError."""
    request = f"{method} {path} HTTP/1.1\r\nHost: {host}:{port}\r\nUser-Agent: bench\r\nAccept: */*\r\n\r\n"
    selector = selectors.DefaultSelector()
    for _ in range(connections):
        made = _Connection((host, port), request.encode(), has_body=method != "HEAD")
        selector.register(made.sock, selectors.EVENT_READ, made)
        made.send()
    began = time.perf_counter()
    until = began + seconds
    took: list[float] = []
    while (now := time.perf_counter()) < until:
        for key, _events in selector.select(until - now):
            connection: _Connection = key.data
            answered_s = connection.receive()
            if answered_s is not None:
                took.append(answered_s)
                connection.send()
    # Who was never answered waited for longer than anybody.
    took.sort()
    count = len(took)
    return {
        "requests": count,
        "seconds": time.perf_counter() - began,
        **{f"p{part}_s": took[count * part // 100] if took else seconds for part in (50, 95, 99)},
    }


def main() -> None:
    json.dump(hammer(**json.load(sys.stdin)), sys.stdout)


if __name__ == "__main__":
    main()
