"""The body of an answer, read as it arrives.

A body that breaks off raises, whether its length was announced or it came in chunks; an
end without an error is the end. One thread reads; any thread may close.
"""

from __future__ import annotations

import fcntl
import re
import termios
import threading
from array import array
from collections.abc import Mapping
from http.client import HTTPException
from types import TracebackType

from urllib3 import BaseHTTPResponse, HTTPResponse
from urllib3.exceptions import HTTPError

from dingospeed.errors import LineFailed
from dingospeed.model import Span
from dingospeed.upstream.failures import why

# ValueError: a TLS socket closed under its reader says no more than that.
BROKEN = (HTTPError, HTTPException, OSError, ValueError)
_CONTENT_RANGE = re.compile(r"bytes ([0-9]{1,19})-([0-9]{1,19})/([0-9]{1,19}|\*)\Z")
_CLOSED = "the stream was closed"
_LENGTH = re.compile(r"[0-9]{1,19}\Z")


# The most that one record of TLS takes, RFC 8446 §5.2: of so many bytes one is complete.
_RECORD_BYTES = 5 + (1 << 14) + 256


class Stream:
    """An answer whose body has not been read yet. To be closed, best as a context manager."""

    def __init__(self, raw: BaseHTTPResponse, *, line: str, url: str) -> None:
        self.status = raw.status
        self.headers: Mapping[str, str] = raw.headers
        self.url = url
        self._raw = raw
        self._line = line
        self._lock = threading.Lock()
        self._is_closed = False
        self._is_reading = False
        self._tls_socket = _descriptor(raw) if url.startswith("https:") else None

    @property
    def span(self) -> Span | None:
        """The bytes of the file that the body says it holds; None when it does not say.

        From Content-Range of a 206, from Content-Length of a 200.
        """
        if self.status == 206:
            told = _CONTENT_RANGE.match(self.headers.get("Content-Range", ""))
            first, last = (int(told[1]), int(told[2])) if told else (0, -1)
            return Span(first, last + 1) if first <= last else None
        length = self.headers.get("Content-Length", "")
        return Span(0, int(length)) if self.status == 200 and _LENGTH.match(length) else None

    @property
    def size(self) -> int | None:
        """The size of the whole file, as told by a 200 or a 206; None when not told."""
        if self.status == 206:
            told = _CONTENT_RANGE.match(self.headers.get("Content-Range", ""))
            return int(told[3]) if told and told[3] != "*" else None
        return self.span.stop if self.span else None

    def read(self, max_bytes: int) -> bytes:
        """What has arrived, at least one byte; ``b""`` at the end of the whole body.

        Raises LineFailed when the body breaks off, nothing comes in time, or it was closed.
        """
        with self._lock:
            if self._is_closed:
                raise LineFailed(self._line, _CLOSED)
            self._is_reading = True
        broken = True
        try:
            data = self._read(max_bytes)
            broken = False
        except BROKEN as error:
            # Waking a reader looks like a failure to it, of another kind in each kind of thread.
            raise LineFailed(self._line, _CLOSED if self._is_closed else why(error)) from error
        finally:
            with self._lock:
                self._is_reading = False
                self._is_closed = was_closed = self._is_closed or broken
            if was_closed:
                self._drop()
        # What a socket gives after it was shut may be anything, ciphertext even.
        if was_closed:
            raise LineFailed(self._line, _CLOSED)
        return data

    def _read(self, max_bytes: int) -> bytes:
        """What has arrived: over TLS, too, where a read gives one record of it, 16 KiB at most."""
        data = self._raw.read1(max_bytes, decode_content=False) or b""
        if self._tls_socket is None:
            return data
        pieces, left = [data], max_bytes - len(data)
        for _ in range(_arrived_bytes(self._tls_socket) // _RECORD_BYTES):
            if not (data and left):
                break
            data = self._raw.read1(left, decode_content=False) or b""
            pieces.append(data)
            left -= len(data)
        return b"".join(pieces)

    def close(self) -> None:
        """Give the connection up unless the body was read to its end. Safe from any thread.

        A reader that waits for bytes meanwhile fails at once.
        """
        with self._lock:
            if self._is_closed:
                return
            self._is_closed = True
            reader_drops_it = self._is_reading
        if not reader_drops_it:
            self._drop()
        elif isinstance(self._raw, HTTPResponse):
            try:
                self._raw.shutdown()
            except (OSError, ValueError, RuntimeError):
                return  # the reader was at the end just now

    def _drop(self) -> None:
        try:
            self._raw.close()
        except BROKEN:
            return

    def __enter__(self) -> Stream:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _descriptor(raw: BaseHTTPResponse) -> int | None:
    """Of its socket; None when there is no body."""
    try:
        return raw.fileno() if isinstance(raw, HTTPResponse) else None
    except (OSError, ValueError, AttributeError):
        return None


def _arrived_bytes(fd: int) -> int:
    """How many wait in a socket; 0 when it was closed."""
    count = array("i", [0])
    try:
        fcntl.ioctl(fd, termios.FIONREAD, count)
    except OSError:
        return 0
    return count[0]


def release(raw: BaseHTTPResponse, *, at_most: int = 16_384) -> None:
    """Let go of an answer whose body nobody wants, keeping its connection if that is cheap."""
    length = raw.headers.get("Content-Length", "")
    try:
        if _LENGTH.match(length) and int(length) <= at_most:
            raw.drain_conn()
        raw.close()
    except BROKEN:
        return
