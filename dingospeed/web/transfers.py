"""Bodies of files being sent, watched: counted, and shown on the board while they run."""

from __future__ import annotations

from dingospeed.metrics import Metrics
from dingospeed.mirror.files import OpenFile
from dingospeed.model import Caller
from dingospeed.services.watch import Watch
from dingospeed.upkeep.board import Transfer
from dingospeed.web.body import Body, OnEnd, result_of


class Transfers:
    """Watches the bodies of one app."""

    def __init__(self, metrics: Metrics, watch: Watch) -> None:
        self._metrics = metrics
        self._watch = watch

    def begin(self, opened: OpenFile, body: Body, size: int, *, who: Caller, request_id: str) -> OnEnd:
        """Call when *size* bytes of a file are about to be sent; the result, when they have ended."""
        metrics, board = self._metrics, self._watch.board
        transfer = Transfer(
            id=request_id,
            address=who.address,
            who=self._watch.pseudonyms.of(who.token),
            repo=str(opened.meta.repo),
            revision=opened.meta.commit,
            path=opened.meta.path,
            size=size,
            cache=opened.cache,
            progress=body,
        )
        metrics.live_transfers.inc()
        board.begin(transfer)

        def end(sent: int, error: BaseException | None) -> None:
            result = result_of(error)
            metrics.live_transfers.dec()
            metrics.served_bytes.labels(opened.cache).inc(sent)
            metrics.file_requests.labels(opened.cache, result).inc()
            board.end(transfer, result)

        return end

    def hand_over(self, opened: OpenFile) -> None:
        """Call when nginx is told to send the body: how that goes we never hear."""
        self._metrics.file_requests.labels(opened.cache, "handed over").inc()

    def begin_passing(self) -> OnEnd:
        """The same for a body that is passed through and kept nowhere."""
        self._metrics.live_transfers.inc()
        return lambda sent, error: self._metrics.live_transfers.dec()
