"""A response body of file spans and bytes, for any WSGI server.

Iterated it yields bytes, read from the files as the server asks for them. A server
that can do better, such as ours with sendfile(2), takes the pieces themselves.
Whoever sends it closes it: that ends the iterator the pieces come from.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator

from dingospeed.errors import DingospeedError, StoreError
from dingospeed.model import FileSpan, Piece

READ_BYTES = 256 * 1024

# Called once, with the bytes handed to the socket and what broke the body, if anything did.
OnEnd = Callable[[int, BaseException | None], None]


class Body:
    """A body sent once. *on_end* hears of its end, whether or not all of it was sent.

    ``sent`` counts the bytes handed to the socket; whoever takes pieces() keeps it.
    """

    def __init__(self, pieces: Iterator[Piece], *, on_end: OnEnd | None = None) -> None:
        self.sent = 0
        self._pieces = pieces
        self._on_end = [on_end] if on_end is not None else []
        self._error: BaseException | None = None
        self._is_closed = False

    def when_ended(self, on_end: OnEnd) -> None:
        """One more who is to hear of the end."""
        self._on_end.append(on_end)

    def pieces(self) -> Iterator[Piece]:
        """The pieces themselves, in order; a file span is valid until the next is asked for."""
        return self._pieces

    def __iter__(self) -> Iterator[bytes]:
        """The same as bytes. Raises StoreError when a file ends before its span does."""
        try:
            for piece in self._pieces:
                for chunk in chunks(piece):
                    yield chunk
                    self.sent += len(chunk)
        except Exception as error:
            self._error = error
            raise

    def close(self, error: BaseException | None = None) -> None:
        """End the body; safe to repeat. *error* is what kept it from being sent in full."""
        if self._is_closed:
            return
        self._is_closed = True
        try:
            # A generator hears of it as GeneratorExit; other iterators may have no end to hear of.
            close = getattr(self._pieces, "close", None)
            if close is not None:
                close()
        finally:
            for on_end in self._on_end:
                on_end(self.sent, error or self._error)


def result_of(error: BaseException | None) -> str:
    """How a body ended, in a word: complete, failed, or left by its client."""
    if error is None:
        return "complete"
    return "failed" if isinstance(error, DingospeedError) else "left"


def chunks(piece: Piece) -> Iterator[bytes]:
    """*piece* as bytes, at most READ_BYTES of a file at a time. Raises StoreError on a short file."""
    if isinstance(piece, bytes):
        if piece:  # nothing to send, and some servers take b"" for the end
            yield piece
        return
    position = piece.start
    while position < piece.stop:
        chunk = os.pread(piece.fd, min(READ_BYTES, piece.stop - position), position)
        if not chunk:
            raise cut_short(piece, position)
        yield chunk
        position += len(chunk)


def cut_short(span: FileSpan, position: int) -> StoreError:
    """The error for a file that ended at *position*, inside *span*."""
    return StoreError(f"a cached file ended at byte {position}, {span.stop} were promised")
