"""What one client may take at once, where the operator has set a limit.

Bytes and questions have gates of their own: a client whose downloads fill their gate can still ask.
A client is an address; who waits at a gate for too long is told to come back (429, Retry-After).
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator

from flask import g, request

from dingospeed.errors import Refusal, StoreError
from dingospeed.flight.leases import Lease
from dingospeed.flight.places import Places
from dingospeed.model import FileSpan, Piece
from dingospeed.web.asking import asked, services

log = logging.getLogger(__name__)

# Clients give up after ten seconds of silence.
_WAIT_S = 5.0
_OURS = ("/-/", "/metrics")
# Of a paced body so much leaves at once: a tenth of a second's worth, within these bounds.
_LEAST_BYTES, _MOST_BYTES = 16 << 10, 1 << 20


class TooManyAtOnce(Refusal):
    """This client has as much under way as one may."""

    status = 429
    retry_after_s = 5

    def __init__(self) -> None:
        super().__init__("You have too many requests under way at this mirror; try again.")


def open_gate() -> None:
    """Before each request but those for us alone. Raises TooManyAtOnce."""
    places = services().admission.question_places
    if places is not None and not request.path.startswith(_OURS):
        g.question_place = _place(places)


def close_gate(error: BaseException | None) -> None:
    """After each request, however it ended."""
    place: Lease | None = g.pop("question_place", None)
    if place is not None:
        place.release()


def transfer_place() -> Lease | None:
    """The right to send a body to this client, to be released; None where there is no limit.

    Raises TooManyAtOnce.
    """
    return _place(services().admission.transfer_places)


def _place(places: Places | None) -> Lease | None:
    if places is None:
        return None
    try:
        place = places.take(asked().address, wait_s=_WAIT_S)
    except StoreError as error:
        # A full disk is no reason to serve nobody.
        log.warning("no limit for a client for now: %s", error)
        return None
    if place is None:
        raise TooManyAtOnce()
    return place


def paced(
    pieces: Iterator[Piece],
    bytes_per_s: int,
    *,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Iterator[Piece]:
    """The same bytes, no faster than *bytes_per_s*. A pause of the client's own is not made up for."""
    step = min(max(bytes_per_s // 10, _LEAST_BYTES), _MOST_BYTES)
    due = clock()
    try:
        for piece in pieces:
            for part in _parts(piece, step):
                now = clock()
                if now < due:
                    sleep(due - now)
                due = max(due, now) + len(part) / bytes_per_s
                yield part
    finally:
        pieces.close()  # type: ignore[attr-defined]


def _parts(piece: Piece, most: int) -> Iterator[Piece]:
    if isinstance(piece, bytes):
        yield from (piece[start : start + most] for start in range(0, len(piece), most))
        return
    for start in range(piece.start, piece.stop, most):
        yield FileSpan(piece.fd, start, min(start + most, piece.stop))
