"""HTTP/1.1 on a socket, small enough to break it on purpose.

A Listener answers every connection in a thread of its own. What is to be answered comes from
a callable, so that this file knows nothing of a Hub.
"""

from __future__ import annotations

import http.client
import logging
import socket
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from email.message import Message
from email.utils import formatdate
from http import HTTPStatus
from io import BufferedReader
from threading import Lock, Thread
from urllib.parse import parse_qsl, unquote

from dingospeed.testing.payload import Payload, Plain

log = logging.getLogger(__name__)

LONGEST_LINE_BYTES = 65_536
SMALL_BODY_BYTES = 65_536


class HangUp(Exception):
    """Close the connection now. With *reset* the other side sees an error, else an end."""

    def __init__(self, *, reset: bool = False) -> None:
        self.reset = reset


@dataclass(slots=True)
class Request:
    """What was asked: *target* is path and query as they stood on the request line."""

    method: str
    target: str
    headers: Message
    body: bytes = b""

    @property
    def raw_path(self) -> str:
        """Still percent-encoded."""
        return self.target.partition("?")[0]

    @property
    def path(self) -> str:
        return unquote(self.raw_path)

    @property
    def query(self) -> str:
        return self.target.partition("?")[2]

    @property
    def arguments(self) -> dict[str, str]:
        """Of the query; the last one where a name is repeated."""
        return dict(parse_qsl(self.query, keep_blank_values=True))

    def header(self, name: str) -> str | None:
        return self.headers.get(name)


@dataclass
class Reply:
    """What to answer: the span [start, stop) of a payload, under a head.

    Content-Length is what *declared* says (None: chunked); it may be made to lie. Pieces are
    wrapped by those who want to change what is sent.
    """

    status: int
    headers: dict[str, str]
    payload: Payload = field(default_factory=lambda: Plain(b""))
    start: int = 0
    stop: int = -1
    declared: int | None = 0
    is_file: bool = False
    has_body: bool = True
    wrappers: list[Callable[[Iterator[memoryview]], Iterator[memoryview]]] = field(default_factory=list)

    def __post_init__(self) -> None:
        if self.stop < 0:
            self.stop = self.payload.size
        self.declared = self.stop - self.start

    @property
    def length(self) -> int:
        """Bytes of body that will be sent if nobody interferes; 0 for an answer without one."""
        return self.stop - self.start if self.has_body else 0

    def pieces(self) -> Iterator[memoryview]:
        pieces = self.payload.pieces(self.start, self.stop)
        for wrap in self.wrappers:
            pieces = wrap(pieces)
        return pieces


class Exchange:
    """One request and its answer, as an application sees it. *on_sent* learns of bytes of body."""

    def __init__(self, request: Request, on_sent: Callable[[int], None]) -> None:
        self.request = request
        self.on_sent = on_sent


# Answers a request; gives what is to be told of bytes of body going out (negative: it was less after all).
Application = Callable[[Request], tuple[Reply, Callable[[int], None]]]


class Listener:
    """A port and the connections made to it. start() after stop() takes the same port again."""

    def __init__(self, application: Application, *, host: str = "127.0.0.1", port: int = 0) -> None:
        self.host = host
        self.port = port
        self._application = application
        self._listening: socket.socket | None = None
        self._connections: set[socket.socket] = set()
        self._lock = Lock()

    def start(self) -> None:
        self._listening = socket.create_server((self.host, self.port), backlog=512)
        self.port = self._listening.getsockname()[1]
        Thread(target=self._accept, args=(self._listening,), name=f"accept:{self.port}", daemon=True).start()

    def stop(self) -> None:
        """Refuse new connections, break the present ones. Does nothing when stopped already."""
        listening, self._listening = self._listening, None
        if listening is None:
            return
        _shut(listening)
        listening.close()
        with self._lock:
            connections = list(self._connections)
        for connection in connections:
            _shut(connection)

    def _accept(self, listening: socket.socket) -> None:
        while True:
            try:
                connection, _ = listening.accept()
            except OSError:
                return
            with self._lock:
                self._connections.add(connection)
            if self._listening is not listening:
                _shut(connection)
            Thread(target=self._serve, args=(connection,), name=f"serve:{self.port}", daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        try:
            with connection, connection.makefile("rb") as stream:
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                while self._answer_one(connection, stream):
                    pass
        except HangUp as wish:
            _hang_up(connection, reset=wish.reset)
        except OSError:
            pass  # whoever asked has left
        finally:
            with self._lock:
                self._connections.discard(connection)

    def _answer_one(self, connection: socket.socket, stream: BufferedReader) -> bool:
        """False when the connection is to be closed."""
