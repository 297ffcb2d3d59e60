"""Bodies of files being sent, watched: a metric while they run, a line in the log when they end."""

from __future__ import annotations

import logging
import time

from dingospeed.errors import DingospeedError
from dingospeed.metrics import Metrics
from dingospeed.mirror.files import OpenFile
from dingospeed.web.body import OnEnd

log = logging.getLogger("dingospeed.access")


class Transfers:
    """Watches the bodies of one app. *is_logged*: whether each gets a line."""

    def __init__(self, metrics: Metrics, *, is_logged: bool) -> None:
        self._metrics = metrics
        self._is_logged = is_logged

    def begin(self, opened: OpenFile, status: int, *, address: str, request_id: str) -> OnEnd:
        """Call when a body is about to be sent; the result, when it has ended."""
        began, metrics = time.monotonic(), self._metrics
        metrics.live_transfers.inc()

        def end(sent: int, error: BaseException | None) -> None:
            result = _result(error)
            metrics.live_transfers.dec()
            metrics.served_bytes.labels(opened.cache).inc(sent)
            metrics.file_requests.labels(opened.cache, result).inc()
            if self._is_logged:
                took_s = time.monotonic() - began
                meta = opened.meta
                log.info(
                    "%s GET %s %s %s@%s %d %s %d bytes in %.3f s, %.1f MB/s, %s",
                    address,
                    meta.repo,
                    meta.path,
                    meta.blob.etag[:12],
                    meta.commit[:12],
                    status,
                    opened.cache,
                    sent,
                    took_s,
                    sent / 1e6 / max(took_s, 1e-6),
                    f"{result} {request_id}",
                )

        return end

    def begin_passing(self, what: str, *, address: str, request_id: str) -> OnEnd:
        """The same for a body that is passed through and kept nowhere; *what* names it in the log."""
        began, metrics = time.monotonic(), self._metrics
        metrics.live_transfers.inc()

        def end(sent: int, error: BaseException | None) -> None:
            metrics.live_transfers.dec()
            if self._is_logged:
                took_s = time.monotonic() - began
                result = f"{_result(error)} {request_id}"
                log.info("%s %s %d bytes in %.3f s, %s", address, what, sent, took_s, result)

        return end


def _result(error: BaseException | None) -> str:
    if error is None:
        return "complete"
    return "failed" if isinstance(error, DingospeedError) else "left"
