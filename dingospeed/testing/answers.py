"""The shapes of the Hub's answers: headers that are always there, JSON, errors, redirects.

Names and values are those of recorded answers; only what identifies one request is made up.
"""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
import time
from collections.abc import Mapping
from http.client import responses
from urllib.parse import quote

from dingospeed.testing.payload import Plain
from dingospeed.testing.ranges import matches
from dingospeed.testing.wire import Reply, Request

TEXT = "text/plain; charset=utf-8"
JSON = "application/json; charset=utf-8"

_ALWAYS = {
    "Access-Control-Allow-Origin": "https://huggingface.co",
    "Access-Control-Expose-Headers": (
        "X-Repo-Commit,X-Request-Id,X-Error-Code,X-Error-Message,X-Total-Count,ETag,Link,"
        "Accept-Ranges,Content-Range,X-Linked-Size,X-Linked-ETag,X-Xet-Hash"
    ),
    "Access-Control-Max-Age": "86400",
    "Alt-Svc": 'h3=":443"; ma=86400',
    "Cross-Origin-Opener-Policy": "same-origin",
    "Referrer-Policy": "strict-origin-when-cross-origin",
    "Strict-Transport-Security": "max-age=31536000",
    "Vary": "Origin",
    "Via": "1.1 0123456789abcdef0123456789abcdef.cloudfront.net (CloudFront)",
    "X-Powered-By": "huggingface-moon",
}


class Refusal(Exception):
    """The Hub says no. *code* becomes X-Error-Code where the Hub sends one."""

    def __init__(
        self, status: int, message: str, code: str | None = None, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.code = code
        self.headers = dict(headers or {})


class Moved(Exception):
    """The repo has another name; *location* is a path on this host."""

    def __init__(self, location: str) -> None:
        super().__init__(location)
        self.location = location


def authentication_required(message: str = "Invalid username or password.") -> Refusal:
    """What the anonymous get for a repo that is private or does not exist: no code at all."""
    challenge = 'Bearer realm="Authentication required", charset="UTF-8"'
    return Refusal(401, message, headers={"Www-Authenticate": challenge})


def repo_not_found() -> Refusal:
    return Refusal(404, "Repository not found", "RepoNotFound")


def revision_not_found(revision: str) -> Refusal:
    return Refusal(404, f"Invalid rev id: {revision}", "RevisionNotFound")


def entry_not_found(commit: str, message: str = "Entry not found") -> Refusal:
    headers = {"Accept-Ranges": "bytes", "X-Repo-Commit": commit, "X-Hub-Cache": "MISS"}
    return Refusal(404, message, "EntryNotFound", headers)


def too_many_requests(wait_s: int) -> Refusal:
    message = f"We had to rate limit you. Retry after {wait_s} seconds."
    return Refusal(429, message, headers={"Retry-After": str(wait_s)})


def with_hub_headers(reply: Reply, request: Request) -> Reply:
    """Add what the Hub says with every answer; what *reply* says itself stays."""
    root = f"Root=1-{int(time.time()):08x}-{secrets.token_hex(12)}"
    trace = request.header("X-Amzn-Trace-Id")
    made_up = {
        "X-Cache": "Error from cloudfront" if reply.status >= 400 else "Miss from cloudfront",
        "X-Request-Id": f"{root};{trace}" if trace else root,
    }
    reply.headers = {**_ALWAYS, **made_up, **reply.headers}
    return reply


def send_text(text: str, status: int = 200, headers: Mapping[str, str] | None = None) -> Reply:
    body = text.encode()
    return Reply(status, {"Content-Type": TEXT, "Etag": weak_etag(body), **(headers or {})}, Plain(body))


def send_json(
    value: object,
    status: int = 200,
    headers: Mapping[str, str] | None = None,
    *,
    request: Request | None = None,
) -> Reply:
    """Compact JSON; 304 when *request* names the ETag it would have."""
    body = json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()
    etag = weak_etag(body)
    if status == 200 and request is not None and matches(request.header("If-None-Match"), etag):
        return Reply(304, {"Etag": etag, **(headers or {})})
    return Reply(status, {"Content-Type": JSON, "Etag": etag, **(headers or {})}, Plain(body))


def send_refusal(refusal: Refusal, *, as_json: bool) -> Reply:
    headers = {"X-Error-Message": _one_line(refusal.message), **refusal.headers}
    if refusal.code:
        headers["X-Error-Code"] = refusal.code
    if as_json:
        return send_json({"error": refusal.message}, refusal.status, headers)
    return send_text(refusal.message, refusal.status, headers)


def send_redirect(status: int, location: str, headers: Mapping[str, str] | None = None) -> Reply:
    body = f"{responses[status]}. Redirecting to {location}".encode()
    return Reply(
        status,
        {"Content-Type": TEXT, "Vary": "Origin, Accept", "Location": location, **(headers or {})},
        Plain(body),
    )


def disposition(path: str, kind: str = "inline") -> str:
    """Content-Disposition for a file: its base name, in UTF-8 and as far as ASCII goes."""
    name = path.rpartition("/")[2]
    plain = name.encode("ascii", "replace").decode().replace("\\", "\\\\").replace('"', '\\"')
    return f"{kind}; filename*=UTF-8''{quote(name, safe='')}; filename=\"{plain}\";"


def weak_etag(body: bytes) -> str:
    digest = base64.b64encode(hashlib.sha1(body, usedforsecurity=False).digest()).decode().rstrip("=")
    return f'W/"{len(body):x}-{digest}"'


def _one_line(text: str) -> str:
    return text.replace("\r", " ").replace("\n", " ").encode("ascii", "replace").decode()
