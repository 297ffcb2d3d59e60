"""Faults that spoil an answer that was right: its body, or its head."""

from __future__ import annotations

import time
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from dingospeed.testing.mischief import FaultKind, ReplyKind, Wait
from dingospeed.testing.payload import PIECE_BYTES
from dingospeed.testing.wire import HangUp, Reply, Request

# --- the body --------------------------------------------------------------------


@dataclass(frozen=True)
class Rate(ReplyKind):
    """Send a body at no more than *bytes_per_s*, each connection by itself."""

    bytes_per_s: float

    def on_reply(self, reply: Reply, wait: Wait) -> None:
        def slowly(pieces: Iterator[memoryview]) -> Iterator[memoryview]:
            step = max(1, min(PIECE_BYTES, int(self.bytes_per_s / 20)))
            begun, sent = time.monotonic(), 0
            for piece in pieces:
                for at in range(0, len(piece), step):
                    yield piece[at : at + step]
                    sent += len(piece[at : at + step])
                    wait(max(0.0, sent / self.bytes_per_s - (time.monotonic() - begun)))

        reply.wrappers.append(slowly)


@dataclass(frozen=True)
class _AfterKind(ReplyKind):
    after: int = 0

    def spoils_reply(self, request: Request, reply: Reply) -> bool:
        return reply.has_body and reply.length > self.after

    def on_reply(self, reply: Reply, wait: Wait) -> None:
        def interrupted(pieces: Iterator[memoryview]) -> Iterator[memoryview]:
            left = self.after
            for piece in pieces:
                if 0 <= left < len(piece):
                    yield piece[:left]
                    self.strike(wait)
                    yield piece[left:]
                    left = -1
                else:
                    yield piece
                    left -= len(piece) if left >= 0 else 0

        reply.wrappers.append(interrupted)

    def strike(self, wait: Wait) -> None:
        raise NotImplementedError


@dataclass(frozen=True)
class Cut(_AfterKind):
    """Close the connection after *after* bytes of body; *reset*: with a RST, which may swallow some."""

    reset: bool = False

    def strike(self, wait: Wait) -> None:
        raise HangUp(reset=self.reset)


@dataclass(frozen=True)
class Stall(_AfterKind):
    """Be silent for *seconds* after *after* bytes of body, then go on."""

    seconds: float = 30.0

    def strike(self, wait: Wait) -> None:
        wait(self.seconds)


@dataclass(frozen=True)
class Short(ReplyKind):
    """Promise the right length, end *missing* bytes before it."""

    missing: int = 1

    def on_reply(self, reply: Reply, wait: Wait) -> None:
        length = max(0, reply.length - self.missing)

        def shortened(pieces: Iterator[memoryview]) -> Iterator[memoryview]:
            left = length
            for piece in pieces:
                yield piece[:left]
                left -= len(piece[:left])
                if not left:
                    return

        reply.wrappers.append(shortened)


@dataclass(frozen=True)
class ShortHonest(ReplyKind):
    """Send *missing* bytes less than asked, and say so in Content-Length and Content-Range."""

    missing: int = 1

    def spoils_reply(self, request: Request, reply: Reply) -> bool:
        return reply.has_body and reply.length > self.missing

    def on_reply(self, reply: Reply, wait: Wait) -> None:
        reply.stop = reply.start + reply.length - self.missing
        reply.declared = reply.length
        if "Content-Range" in reply.headers:
            _state_range(reply, reply.start)


@dataclass(frozen=True)
class Long(ReplyKind):
    """Send *extra* bytes too many: within Content-Length, or *chunked* without one."""

    extra: int = 1
    chunked: bool = False

    def on_reply(self, reply: Reply, wait: Wait) -> None:
        def lengthened(pieces: Iterator[memoryview]) -> Iterator[memoryview]:
            yield from pieces
            left = self.extra
            while left > 0:
                piece = memoryview(bytes(min(left, PIECE_BYTES)))
                left -= len(piece)
                yield piece

        reply.declared = None if self.chunked else reply.length + self.extra
        reply.wrappers.append(lengthened)


@dataclass(frozen=True)
class Corrupt(FaultKind):
    """Turn over every bit of the byte at *offset* of the file; only answers that cover it are hit."""

    offset: int = 0

    def spoils_reply(self, request: Request, reply: Reply) -> bool:
        return reply.has_body and reply.is_file and reply.start <= self.offset < reply.start + reply.length

    def on_reply(self, reply: Reply, wait: Wait) -> None:
        position = self.offset - reply.start

        def flipped(pieces: Iterator[memoryview]) -> Iterator[memoryview]:
            at = 0
            for piece in pieces:
                if at <= position < at + len(piece):
                    changed = bytearray(piece)
                    changed[position - at] ^= 0xFF
                    yield memoryview(changed)
                else:
                    yield piece
                at += len(piece)

        reply.wrappers.append(flipped)


@dataclass(frozen=True)
class Gzip(ReplyKind):
    """Compress the body, whatever Accept-Encoding said."""

    def on_reply(self, reply: Reply, wait: Wait) -> None:
        def compressed(pieces: Iterator[memoryview]) -> Iterator[memoryview]:
            squeeze = zlib.compressobj(level=1, wbits=31)
            for piece in pieces:
                yield memoryview(squeeze.compress(piece))
            yield memoryview(squeeze.flush())

        reply.headers["Content-Encoding"] = "gzip"
        reply.declared = None
        reply.wrappers.append(compressed)


# --- the head --------------------------------------------------------------------


@dataclass(frozen=True)
class WrongContentRange(FaultKind):
    """Answer 206 with a Content-Range *shift* bytes off; *matching*: the bytes are those it states.

    Near the end of the file the shift goes the other way.
    """

    shift: int = 1
    matching: bool = False

    def spoils_reply(self, request: Request, reply: Reply) -> bool:
        return reply.status == 206 and self._stated(reply) is not None

    def on_reply(self, reply: Reply, wait: Wait) -> None:
        stated, length = self._stated(reply), reply.length
        assert stated is not None
        if self.matching:
            reply.start, reply.stop = stated, stated + length
        _state_range(reply, stated)

    def _stated(self, reply: Reply) -> int | None:
        places = (reply.start + self.shift, reply.start - self.shift)
        return next((at for at in places if 0 <= at <= reply.payload.size - reply.length), None)


@dataclass(frozen=True)
class WrongTotal(FaultKind):
    """State a size of the file that is *by* bytes off, in Content-Range and X-Linked-Size."""

    by: int = 1

    def spoils_reply(self, request: Request, reply: Reply) -> bool:
        return reply.status == 206 or "X-Linked-Size" in reply.headers

    def on_reply(self, reply: Reply, wait: Wait) -> None:
        if "X-Linked-Size" in reply.headers:
            reply.headers["X-Linked-Size"] = str(int(reply.headers["X-Linked-Size"]) + self.by)
        if reply.status == 206:
            span, _, total = reply.headers["Content-Range"].partition("/")
            reply.headers["Content-Range"] = f"{span}/{int(total) + self.by}"


@dataclass(frozen=True)
class DropHeaders(FaultKind):
    """Leave out the headers *names*. Without Content-Length the body ends with the connection."""

    names: Sequence[str]

    def __post_init__(self) -> None:
        if isinstance(self.names, str):
            raise TypeError("names is a list of names of headers")

    def spoils_reply(self, request: Request, reply: Reply) -> bool:
        return True

    def on_reply(self, reply: Reply, wait: Wait) -> None:
        reply.dropped.update(name.lower() for name in self.names)


@dataclass(frozen=True)
class SetHeaders(FaultKind):
    """Add *headers*, in place of those of the same name."""

    headers: Mapping[str, str]

    def spoils_reply(self, request: Request, reply: Reply) -> bool:
        return True

    def on_reply(self, reply: Reply, wait: Wait) -> None:
        given = {name.lower() for name in self.headers}
        for name in [name for name in reply.headers if name.lower() in given]:
            del reply.headers[name]
        reply.headers.update(self.headers)


def _state_range(reply: Reply, first: int) -> None:
    last = first + reply.length - 1
    reply.headers["Content-Range"] = f"bytes {first}-{last}/{reply.payload.size}"
