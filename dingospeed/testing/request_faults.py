"""Faults that strike before there is an answer, and may answer in the Hub's place."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from http.client import responses

from dingospeed.testing.mischief import FaultKind, RequestKind, Wait
from dingospeed.testing.payload import Plain
from dingospeed.testing.signing import SIGNED_AT, denied
from dingospeed.testing.wire import HangUp, Reply, Request


@dataclass(frozen=True)
class Latency(RequestKind):
    """Be silent for *seconds* before answering."""

    seconds: float

    def on_request(self, request: Request, wait: Wait) -> Request | Reply:
        wait(self.seconds)
        return request


@dataclass(frozen=True)
class Refuse(RequestKind):
    """Take the request and close without an answer; *reset*: with a RST. (No port at all: hub.stop().)"""

    reset: bool = True

    def on_request(self, request: Request, wait: Wait) -> Request | Reply:
        raise HangUp(reset=self.reset)


@dataclass(frozen=True)
class Status(RequestKind):
    """Answer *code*, e.g. 429, 500, 502, 503 or 504, with Retry-After if *retry_after* (seconds) is given."""

    code: int = 500
    retry_after: int | None = None
    message: str = ""

    def on_request(self, request: Request, wait: Wait) -> Request | Reply:
        text = self.message or f"{self.code} {responses.get(self.code, 'Unknown')}"
        headers = {"Content-Type": "text/plain; charset=utf-8"}
        if self.retry_after is not None:
            headers["Retry-After"] = str(self.retry_after)
        return Reply(self.code, headers, Plain(text.encode()))


@dataclass(frozen=True)
class Html200(RequestKind):
    """Answer 200 with a web page, as portals and proxies do."""

    def on_request(self, request: Request, wait: Wait) -> Request | Reply:
        page = (
            b"<!DOCTYPE html>\n<html><head><title>Welcome</title></head><body>Please log in.</body></html>\n"
        )
        return Reply(200, {"Content-Type": "text/html; charset=utf-8"}, Plain(page))


@dataclass(frozen=True)
class RedirectLoop(RequestKind):
    """Answer 302 to the very same address."""

    def on_request(self, request: Request, wait: Wait) -> Request | Reply:
        return Reply(302, {"Content-Type": "text/plain; charset=utf-8", "Location": request.target})


@dataclass(frozen=True)
class IgnoreRange(FaultKind):
    """Answer a Range request with 200 and everything."""

    def spoils_request(self, request: Request) -> bool:
        return request.header("Range") is not None

    def on_request(self, request: Request, wait: Wait) -> Request | Reply:
        del request.headers["Range"]
        return request


@dataclass(frozen=True)
class ExpireSignatures(FaultKind):
    """Answer 403 to addresses signed before this fault was set; newer ones are good."""

    since: float = field(init=False, default_factory=time.time)

    def spoils_request(self, request: Request) -> bool:
        signed_at = request.arguments.get(SIGNED_AT, "")
        return signed_at.replace(".", "", 1).isdecimal() and float(signed_at) < self.since

    def on_request(self, request: Request, wait: Wait) -> Request | Reply:
        return denied(message="Request has expired")
