"""The gunicorn worker: gevent's, and file spans go from the page cache to the socket.

A response whose iterable is a Body is sent here, headers by gunicorn, spans by sendfile(2).
Where the bytes can not go to the socket as they are (TLS, chunked) they go through
gunicorn's writer, and HTTP/2 iterates the Body itself.

What must stay true: no client holds up another, whether it reads fast, slowly or not at
all; and a response that lacks its tail ends with its connection, never quietly.
"""

from __future__ import annotations

import errno
import logging
import os
import socket
import ssl
import struct
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from http import HTTPStatus
from typing import Any

import gevent
from gevent.socket import wait_write
from gunicorn import util
from gunicorn.http.wsgi import Response
from gunicorn.workers.ggevent import GeventWorker

from dingospeed.errors import DingospeedError, StoreError
from dingospeed.model import FileSpan, Piece
from dingospeed.web.body import Body, chunks, cut_short

log = logging.getLogger(__name__)

# A client that takes nothing for so long is dropped. What waits for it meanwhile is a
# greenlet and an open file, no memory, so this can be long enough for a sleeping laptop's Wi-Fi.
CLIENT_STALL_S = 120.0

# How long who has connected is waited for when the worker is to stop: the request is on its way.
_FIRST_REQUEST_S = 2.0

_CALL_BYTES = 256 * 1024
_WRITE_BYTES = 64 * 1024
# How much may lie in the kernel unsent. Little: calls stay short, so others get their turn,
# and the pages are still in the CPU's cache when they leave. Unlike a small SO_SNDBUF this
# does not bound what is on its way, so a distant client keeps its speed.
_UNSENT_BYTES = 64 * 1024
_STREAM_BYTES = 64 * 1024
_SMALL_BYTES = 512
_TURN_BYTES = 512 * 1024

_CLIENT_LEFT = {
    errno.EPIPE,
    errno.ECONNRESET,
    errno.ECONNABORTED,
    errno.ENOTCONN,
    errno.ETIMEDOUT,
    errno.EHOSTUNREACH,
    errno.ENETUNREACH,
}
_NO_SENDFILE = {errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP}

WsgiApp = Callable[[dict[str, Any], Any], Iterable[bytes]]


class ClientStalled(TimeoutError):
    """The client took nothing for CLIENT_STALL_S."""


class Worker(GeventWorker):  # type: ignore[misc]  # gunicorn has no types
    """What ``worker_class`` names."""

    wsgi: WsgiApp

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # Until when each may take for its first request; those that had one have no such time.
        self._connections: dict[socket.socket, float] = {}

    def load_wsgi(self) -> None:
        super().load_wsgi()
        self.wsgi = deliver_bodies(self.wsgi)

    def handle(self, listener: Any, client: socket.socket, addr: Any) -> None:
        self._connections[client] = time.monotonic() + _FIRST_REQUEST_S
        try:
            super().handle(listener, client, addr)
        finally:
            self._connections.pop(client, None)

    def handle_request(self, listener_name: Any, req: Any, sock: socket.socket, addr: Any) -> Any:
        # A connection whose next request is in its buffer already would be served again
        # and again without anyone else getting a turn.
        gevent.sleep(0)
        if sock in self._connections:
            self._connections[sock] = 0.0
        sock.settimeout(CLIENT_STALL_S)
        try:
            return super().handle_request(listener_name, req, sock, addr)
        except TimeoutError as error:
            log.info("client %s stalled, dropped", addr)
            raise _connection_cut() from error
        finally:
            sock.settimeout(None)

    def notify(self) -> None:
        """Called every second; when stopping, lets go of the connections that wait for nothing.

        A request that is already here is still read and answered: only what would come later is not. Who has
        only just come has a moment for the first one.
        """
        super().notify()
        if self.alive:
            return
        now = time.monotonic()
        for client in [client for client, until in self._connections.items() if until < now]:
            del self._connections[client]
            # Shutting one side of TLS would end its encryption, too; those wait out their keep-alive.
            if not isinstance(client, ssl.SSLSocket):
                with suppress(OSError):
                    client.shutdown(socket.SHUT_RD)


def deliver_bodies(app: WsgiApp) -> WsgiApp:
    """*app*, with every Body it returns sent by us and all else left to gunicorn."""

    def application(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        result = app(environ, start_response)
        response = getattr(start_response, "__self__", None)
        # HTTP/2 frames what it sends; its writer is another class, or reads "HTTP/2.0" here.
        if (
            not isinstance(result, Body)
            or type(response) is not Response
            or environ["SERVER_PROTOCOL"] not in ("HTTP/1.0", "HTTP/1.1")
        ):
            return result
        _Delivery(result, response, environ).run()
        return ()

    return application


class _Delivery:
    """One Body on its way to one client."""

    def __init__(self, body: Body, response: Any, environ: dict[str, Any]) -> None:
        self._body = body
        self._response = response
        self._sock: Any = environ["gunicorn.socket"]
        self._who = f"{environ.get('REMOTE_ADDR', '-')} {environ['REQUEST_METHOD']} {environ['PATH_INFO']!r}"
        self._has_body = environ["REQUEST_METHOD"] != "HEAD" and response.status_code not in (204, 304)
        self._length: int | None = response.response_length
        self._is_raw = self._length is not None and not isinstance(self._sock, ssl.SSLSocket)
        self._since_turn = 0

    def run(self) -> None:
        """Send it all, or raise such that the connection ends here. The body is closed either way."""
        failure: BaseException | None = None
        try:
            if self._has_body:
                self._send_all()
        except (DingospeedError, OSError) as error:
            failure = error
            raise self._cut(error) from error
        except BaseException as error:
            failure = error
            raise
        finally:
            self._body.close(failure)

    def _send_all(self) -> None:
        if self._is_raw and self._length is not None and self._length >= _STREAM_BYTES:
            self._bound_buffer()
        for piece in self._body.pieces():
            fitting = piece if self._length is None else _clip(piece, self._length - self._body.sent)
            self._send(fitting)
            if len(fitting) < len(piece):
                log.error("response longer than its %s bytes: %s", self._length, self._who)
                break
        if self._length is not None and self._body.sent < self._length:
            raise StoreError("the body ended early")

    def _send(self, piece: Piece) -> None:
        if not len(piece):
            return
        if not self._is_raw:
            self._write(piece)
            return
        self._send_head()
        if isinstance(piece, FileSpan):
            self._send_span(piece)
        else:
            self._send_bytes(piece)

    def _send_head(self) -> None:
        """As the response's own send_headers, but to leave together with what comes next: one packet less."""
        response = self._response
        if response.headers_sent:
            return
        lines = [*response.default_headers(), *(f"{name}: {value}\r\n" for name, value in response.headers)]
        response.headers_sent = True
        self._sock.sendall("".join([*lines, "\r\n"]).encode("latin-1"), socket.MSG_MORE)

    def _send_span(self, span: FileSpan) -> None:
        position = span.start
        to, timed_out = self._sock.fileno(), ClientStalled("the client stalled")
        while position < span.stop:
            try:
                count = os.sendfile(to, span.fd, position, min(_CALL_BYTES, span.stop - position))
            except BlockingIOError:
                wait_write(to, CLIENT_STALL_S, timed_out)
                self._since_turn = 0
                continue
            except OSError as error:
                if error.errno not in _NO_SENDFILE:
                    raise
                for chunk in chunks(FileSpan(span.fd, position, span.stop)):
                    self._send_bytes(chunk)
                return
            if not count:
                raise cut_short(span, position)
            position += count
            self._count(count)

    def _send_bytes(self, data: bytes) -> None:
        rest = memoryview(data)
        # A few bytes between spans, such as heads of chunks, leave with what follows: one packet less.
        flags = socket.MSG_MORE if len(rest) < _SMALL_BYTES and self._is_to_follow(len(rest)) else 0
        while rest:
            try:
                # Not sendall: its timeout is for the whole, ours for a client that takes nothing.
                count = self._sock.send(rest[:_CALL_BYTES], flags)
            except TimeoutError as error:
                raise ClientStalled("the client stalled") from error
            rest = rest[count:]
            self._count(count)

    def _is_to_follow(self, count: int) -> bool:
        """Whether *count* bytes more are not all that is to be sent."""
        return self._length is not None and self._body.sent + count < self._length

    def _write(self, piece: Piece) -> None:
        """Send *piece* by gunicorn's writer, which adds the chunks' frames and knows TLS."""
        for chunk in chunks(piece):
            for start in range(0, len(chunk), _WRITE_BYTES):
                part = chunk[start : start + _WRITE_BYTES]
                try:
                    self._response.write(part)
                except TimeoutError as error:
                    raise ClientStalled("the client stalled") from error
                self._body.sent += len(part)
                self._take_turns(len(part))

    def _count(self, count: int) -> None:
        self._body.sent += count
        self._response.sent += count  # gunicorn's own access log reads it
        self._take_turns(count)

    def _take_turns(self, count: int) -> None:
        # A client as fast as we are never blocks, and would keep the worker to itself.
        self._since_turn += count
        if self._since_turn >= _TURN_BYTES:
            self._since_turn = 0
            gevent.sleep(0)

    def _bound_buffer(self) -> None:
        if self._sock.family in (socket.AF_INET, socket.AF_INET6) and hasattr(socket, "TCP_NOTSENT_LOWAT"):
            with suppress(OSError):
                self._sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, _UNSENT_BYTES)

    def _cut(self, error: Exception) -> OSError:
        """Log *error* once and make sure that the client can tell; returns what to raise."""
        sent, length = self._body.sent, self._length
        if isinstance(error, ClientStalled):
            log.info("client stalled, dropped at %d of %s bytes: %s", sent, length, self._who)
            self._reset_at_close()
        elif isinstance(error, OSError) and error.errno in _CLIENT_LEFT:
            log.debug("client left at %d of %s bytes: %s", sent, length, self._who)
        else:
            log.warning("response cut at %d of %s bytes: %s: %s", sent, length, self._who, error)
            if not self._response.headers_sent:
                self._refuse(error)
            elif length is None and not self._response.chunked:
                self._reset_at_close()  # a mere close would say: that was all
        return _connection_cut()

    def _refuse(self, error: Exception) -> None:
        status = HTTPStatus(error.status if isinstance(error, DingospeedError) else 500)
        with suppress(OSError):
            util.write_error(self._sock, status.value, status.phrase, "")

    def _reset_at_close(self) -> None:
        with suppress(OSError):
            self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def _clip(piece: Piece, allowed: int) -> Piece:
    """The first *allowed* bytes of *piece*."""
    if len(piece) <= allowed:
        return piece
    if isinstance(piece, FileSpan):
        return FileSpan(piece.fd, piece.start, piece.start + allowed)
    return piece[:allowed]


def _connection_cut() -> OSError:
    # The one error that makes gunicorn close a connection without a word or another byte.
    return BrokenPipeError(errno.EPIPE, "response cut short")
