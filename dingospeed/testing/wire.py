"""HTTP/1.1 on a socket, small enough to break it on purpose.

A Listener answers every connection in a thread of its own. What is to be answered comes from
a callable, so that this file knows nothing of a Hub.
"""

from __future__ import annotations

import contextlib
import http.client
import logging
import socket
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from email.message import Message
from email.utils import formatdate
from io import BufferedReader
from threading import Lock, Thread
from urllib.parse import parse_qsl, unquote

from dingospeed.testing.payload import Payload, Plain

log = logging.getLogger(__name__)

LONGEST_LINE_BYTES = 65_536

Wrapper = Callable[[Iterator[memoryview]], Iterator[memoryview]]


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
    is_last: bool = False

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

    *declared* becomes Content-Length (None: the body is chunked), and may be made to lie.
    *wrappers* change the pieces on their way out; headers *dropped* (lower case) are left out.
    *on_sent* learns how many bytes of body are being sent; a negative number takes back what
    could not be. *on_end* is called when nothing more will be sent.
    """

    status: int
    headers: dict[str, str]
    payload: Payload = field(default_factory=lambda: Plain(b""))
    start: int = 0
    stop: int | None = None
    is_file: bool = False
    has_body: bool = True
    declared: int | None = field(init=False)
    wrappers: list[Wrapper] = field(default_factory=list)
    dropped: set[str] = field(default_factory=set)
    on_sent: Callable[[int], None] = field(default=lambda _: None)
    on_end: Callable[[], None] = field(default=lambda: None)

    def __post_init__(self) -> None:
        self.declared = self.length

    @property
    def length(self) -> int:
        """Bytes of the span."""
        return (self.payload.size if self.stop is None else self.stop) - self.start

    def pieces(self) -> Iterator[memoryview]:
        pieces = self.payload.pieces(self.start, self.start + self.length)
        for wrap in self.wrappers:
            pieces = wrap(pieces)
        return pieces


Application = Callable[[Request], Reply]


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
        if self._listening is not None:
            return
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
                try:
                    while (request := _read(stream)) and self._answer(connection, request):
                        pass
                except HangUp as wish:
                    _hang_up(connection, reset=wish.reset)
        except (OSError, ValueError, http.client.HTTPException):
            pass  # whoever asked has left, or does not speak HTTP
        finally:
            with self._lock:
                self._connections.discard(connection)

    def _answer(self, connection: socket.socket, request: Request) -> bool:
        """False when the connection is not to be used again."""
        try:
            reply = self._application(request)
        except (HangUp, OSError):
            raise
        except Exception:
            log.exception("the fake has a fault of its own: %s %s", request.method, request.target)
            reply = Reply(500, {"Content-Type": "text/plain"}, Plain(b"the fake has a fault of its own\n"))
        try:
            _send(connection, _head(reply, is_last=request.is_last), reply)
        finally:
            reply.on_end()
        return not request.is_last


def _read(stream: BufferedReader) -> Request | None:
    """The next request; None when there will be none."""
    line = stream.readline(LONGEST_LINE_BYTES).strip()
    words = line.decode("latin-1").split(" ")
    if len(words) != 3 or not words[2].startswith("HTTP/1."):
        return None
    headers = http.client.parse_headers(stream)
    target = words[1]
    if target.startswith("//"):
        target = "/" + target.lstrip("/")
    body = stream.read(int(headers.get("Content-Length") or 0))
    is_last = words[2] == "HTTP/1.0" or (headers.get("Connection") or "").lower() == "close"
    return Request(words[0], target, headers, body, is_last=is_last)


def _head(reply: Reply, *, is_last: bool) -> bytes:
    headers = {"Date": formatdate(usegmt=True), **reply.headers}
    if reply.declared is None:
        headers["Transfer-Encoding"] = "chunked"
    elif reply.status != 304:
        headers["Content-Length"] = str(reply.declared)
    headers["Connection"] = "close" if is_last else "keep-alive"
    lines = [f"HTTP/1.1 {reply.status} {http.client.responses.get(reply.status, 'Unknown')}"]
    lines += [f"{name}: {value}" for name, value in headers.items() if name.lower() not in reply.dropped]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1", "replace")


def _send(connection: socket.socket, head: bytes, reply: Reply) -> None:
    if not reply.has_body:
        connection.sendall(head)
        return
    # More follows: the kernel waits for it, but not for long, so the head is out even if a fault stalls.
    connection.sendall(head, socket.MSG_MORE if reply.length else 0)
    is_chunked = reply.declared is None
    sent = 0
    for piece in filter(None, reply.pieces()):
        if is_chunked:
            connection.sendall(b"%x\r\n" % len(piece), socket.MSG_MORE)
        _send_piece(connection, piece, reply)
        if is_chunked:
            connection.sendall(b"\r\n")
        sent += len(piece)
    if is_chunked:
        connection.sendall(b"0\r\n\r\n")
    elif sent != reply.declared or "content-length" in reply.dropped:
        raise HangUp


def _send_piece(connection: socket.socket, piece: memoryview, reply: Reply) -> None:
    # Told before it is sent: whoever has read a byte must find it counted.
    reply.on_sent(len(piece))
    left = len(piece)
    try:
        while left:
            left -= connection.send(piece[-left:])
    finally:
        if left:
            reply.on_sent(-left)


def _hang_up(connection: socket.socket, *, reset: bool) -> None:
    if reset:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    else:
        _shut(connection)


def _shut(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
