"""Every request counted, and one line a request in the log: who, what, how much, how fast, from where.

The line is written when the last byte has left. It tells the path without its query, and
of tokens only their pseudonyms.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any

from flask import Flask, Response, g, request

from dingospeed.errors import BadRequest
from dingospeed.metrics import Metrics
from dingospeed.web import git
from dingospeed.web.asking import address, request_id, sent_path, services
from dingospeed.web.body import Body, OnEnd, result_of

log = logging.getLogger("dingospeed.access")

# What is asked for, by the blueprint that answers; all else is "other".
_KINDS = {
    "resolve": "file",
    "raw": "file",
    "hub_api": "api",
    "git": "git",
    "registry": "registry",
    "changes": "change",
    "cas": "xet",
}


def install(app: Flask, metrics: Metrics, *, is_logged: bool) -> None:
    """Watch the requests of *app*; *is_logged*: whether each gets a line."""

    def began() -> None:
        g.began = time.monotonic()

    def answered(response: Response) -> Response:
        kind, cache = kind_of(request.blueprint), response.headers.get("X-Cache", "")
        metrics.requests.labels(kind, str(response.status_code)).inc()
        is_handed_over = "X-Accel-Redirect" in response.headers
        since = g.get("began", 0.0) or time.monotonic()
        metrics.first_byte_seconds.labels(kind, cache).observe(time.monotonic() - since)
        tell = _teller(response, cache) if is_logged and log.isEnabledFor(logging.INFO) else None

        def end(sent: int, error: BaseException | None) -> None:
            took_s = time.monotonic() - since
            metrics.request_seconds.labels(kind, cache).observe(took_s)
            if tell is not None:
                tell(sent, took_s, "handed over" if is_handed_over else result_of(error))

        _at_end(response, end)
        return response

    app.before_request(began)
    app.after_request(answered)


def kind_of(blueprint: str | None) -> str:
    return _KINDS.get(blueprint or "", "other")


def _at_end(response: Response, end: OnEnd) -> None:
    """Have *end* called when *response* has been sent; one that is in memory counts as sent."""
    if isinstance(response.response, Body):
        response.response.when_ended(end)
    elif response.is_streamed:
        response.call_on_close(lambda: end(0, None))
    else:
        end(response.content_length or 0 if request.method != "HEAD" else 0, None)


def _teller(response: Response, cache: str) -> Callable[[int, float, str], None]:
    """What writes the line; all that it takes from the request is read now."""
    fields: dict[str, Any] = {
        "id": request_id(),
        "address": address(),
        "who": services().upkeep.watch.pseudonyms.of(_token()),
        "method": request.method,
        "path": sent_path(has_query=False),
        **_subject(),
        "status": response.status_code,
        "cache": cache or "-",
    }

    def tell(sent: int, took_s: float, result: str) -> None:
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


def _subject() -> dict[str, str]:
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
