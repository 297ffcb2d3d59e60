"""Every request counted, and one line a request in the log: who, what, how much, how fast, from where.

The line is written when the last byte has left. It tells the path without its query, and
of tokens only their pseudonyms.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from flask import Flask, Response, g

from dingospeed.errors import BadRequest
from dingospeed.metrics import Metrics
from dingospeed.web import git
from dingospeed.web.asking import ClientRequest, asked, sent_path, services
from dingospeed.web.body import Body, OnEnd, result_of

log = logging.getLogger("dingospeed.access")

# What is asked for, by the blueprint that answers; all else is OTHER.
OTHER = "other"
_KINDS = {
    "resolve": "file",
    "raw": "file",
    "hub_api": "api",
    "git": "git",
    "registry": "registry",
    "changes": "change",
    "cas": "xet",
}
# Combinations of their labels: few, unless upstream answers with statuses of its own making.
_METERS = 1024

Meter = Callable[[float], None]


def install(app: Flask, metrics: Metrics, *, is_logged: bool) -> None:
    """Watch the requests of *app*; *is_logged*: whether each gets a line."""

    @lru_cache(_METERS)
    def meters(kind: str, cache: str, status: int) -> tuple[Meter, Meter]:
        """Counts one more answer, with the time until its first byte; and the time until its last."""
        count = metrics.requests.labels(kind, str(status)).inc
        first_byte = metrics.first_byte_seconds.labels(kind, cache).observe

        def answered_in(seconds: float) -> None:
            count()
            first_byte(seconds)

        return answered_in, metrics.request_seconds.labels(kind, cache).observe

    def answered(response: Response) -> Response:
        request = asked()
        cache = response.headers.get("X-Cache", "")
        answered_in, sent_in = meters(kind_of(request.blueprint), cache, response.status_code)
        answered_in(time.monotonic() - request.began)
        tell = _teller(request, response, cache) if is_logged and log.isEnabledFor(logging.INFO) else None

        def end(sent: int, error: BaseException | None) -> None:
            took_s = time.monotonic() - request.began
            sent_in(took_s)
            if tell is not None:
                tell(sent, took_s, error)

        _at_end(request, response, end)
        return response

    app.after_request(answered)


def kind_of(blueprint: str | None) -> str:
    return _KINDS.get(blueprint or "", OTHER)


def _at_end(request: ClientRequest, response: Response, end: OnEnd) -> None:
    """Have *end* called when *response* has been sent; one that is in memory counts as sent."""
    if isinstance(response.response, Body):
        response.response.when_ended(end)
    elif response.is_streamed:
        response.call_on_close(lambda: end(0, None))
    else:
        end(response.content_length or 0 if request.method != "HEAD" else 0, None)


def _teller(
    request: ClientRequest, response: Response, cache: str
) -> Callable[[int, float, BaseException | None], None]:
    """What writes the line; all that it takes from the request is read now."""
    is_handed_over = "X-Accel-Redirect" in response.headers
    fields: dict[str, Any] = {
        "id": request.id,
        "address": request.address,
        "who": services().upkeep.watch.pseudonyms.of(_token()),
        "method": request.method,
        "path": sent_path(has_query=False),
        **_subject(request),
        "status": response.status_code,
        "cache": cache or "-",
    }

    def tell(sent: int, took_s: float, error: BaseException | None) -> None:
        result = "handed over" if is_handed_over else result_of(error)
        rate = sent / max(took_s, 1e-6)
        told = {**fields, "bytes": sent, "seconds": round(took_s, 6), "rate": round(rate), "result": result}
        log.info(
            "%s %s %s %s %d %s %d bytes in %.3f s, %.1f MB/s, %s %s",
            told["address"] or "-",
            told["who"],
            told["method"],
            told["path"],
            told["status"],
            told["cache"],
            sent,
            took_s,
            rate / 1e6,
            result,
            told["id"],
            extra={"fields": told},
        )

    return tell


def _token() -> str | None:
    """The token that was shown, in whichever way; None also for one that can be none."""
    try:
        return git.caller().token
    except BadRequest:
        return None


def _subject(request: ClientRequest) -> dict[str, str]:
    """The repo and the file that the request is about, as far as it is about one."""
    opened = g.get("opened")
    if opened is not None:
        meta = opened.meta
        return {"repo": str(meta.repo), "commit": meta.commit, "file": meta.path, "etag": meta.blob.etag}
    arguments = request.view_args or {}
    if "repo" in arguments:
        return {"repo": str(arguments["repo"])}
    if "id" in arguments:
        return {"repo": f"{arguments.get('kind', 'models')}/{arguments['id']}"}
    return {}
