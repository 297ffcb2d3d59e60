"""HTTP with one line of the upstream, and with the CDN it redirects to.

The caller's token goes to the Hub's own origin only, never to a CDN, and nothing of the
caller's goes anywhere but to the line itself.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from urllib3 import BaseHTTPResponse

from dingospeed.errors import LineFailed, RateLimited
from dingospeed.model import Span
from dingospeed.upstream import ratelimit, redirects
from dingospeed.upstream.ask import Ask, Scheme, check_token, passed_on
from dingospeed.upstream.exchange import Exchange
from dingospeed.upstream.locations import Location, Locations, lifetime_s
from dingospeed.upstream.ratelimit import Budget
from dingospeed.upstream.refusals import is_about_the_token
from dingospeed.upstream.stream import Stream, release
from dingospeed.upstream.verdicts import Verdict, verdict

log = logging.getLogger(__name__)

MAX_ANSWER_BYTES = 256 * 1024 * 1024
_MAX_LOCATIONS = 10_000
# How long a token of ours that the line refused is not shown again.
_REFUSED_S = 300
_DECODED = ("gzip", "x-gzip", "deflate")
# What a CDN says to an address whose signature has run out, or that is no more.
_STALE = (400, 401, 403, 404, 410)


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer. *headers* are case-insensitive; the body is decoded."""

    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)
    url: str = field(repr=False)


class Client:
    """One line of the upstream. Thread-safe; connections are opened when first needed.

    *token* is the line's own, sent on calls with ``own_token=True`` whose caller has none. When the
    line does not know it (any more), such calls go out without one for some minutes.
    *clock* gives Unix time. *proxy* (http, https, socks5, socks5h) serves the line's CDN too.
    *observe* is told of each request sent: the bucket it counts in, what came back (a Verdict's value),
    and the seconds until then.
    """

    def __init__(
        self,
        *,
        name: str,
        base_url: str,
        is_hub: bool,
        proxy: str | None = None,
        token: str | None = None,
        max_connections: int = 64,
        connect_s: float = 10.0,
        read_s: float = 30.0,
        ca_bundle: str | None = None,
        observe: Callable[[str, str, float], None] = lambda bucket, result, seconds: None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.name = name
        self.is_hub = is_hub
        self.base_url = base_url.rstrip("/")
        self.budgets: dict[str, Budget] = {}
        self._origin = redirects.origin(self.base_url)
        if self._origin is None:
            raise ValueError(f"not the URL of a line: {base_url[:200]!r}")
        self._own_token = token
        self._own_token_refused_at: float | None = None
        self._observe = observe
        self._clock = clock
        self._locations = Locations(limit=_MAX_LOCATIONS, clock=clock)
        self._exchange = Exchange(
            line=name,
            max_connections=max_connections,
            connect_s=connect_s,
            read_s=read_s,
            proxy=proxy,
            ca_bundle=ca_bundle,
        )

    @property
    def has_own_token(self) -> bool:
        """Whether there is a token of the line's own that it has not refused lately."""
        refused_at = self._own_token_refused_at
        is_refused = refused_at is not None and abs(self._clock() - refused_at) < _REFUSED_S
        return self._own_token is not None and not is_refused

    def request(
        self,
        method: str,
        url_or_path: str,
        *,
        token: str | None = None,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
        max_bytes: int = MAX_ANSWER_BYTES,
        follow: bool = False,
        own_token: bool = False,
        read_s: float | None = None,
    ) -> Answer:
        """Ask and read the whole answer; with *follow*, of the place it redirects to.

        *read_s* is how long to wait for each bit of it, if not as long as for everything else.
        Raises RateLimited for a 429 and LineFailed for everything that is no answer:
        408, 5xx, a broken connection, more than *max_bytes*, no end of redirects.
        """
        ask = replace(
            self._ask(method.upper(), url_or_path, token=token, headers=headers, own_token=own_token),
            body=body,
            read_s=read_s,
            # The length of a HEAD is the file's, so it must not be that of a packed one.
            encoding="identity" if method.upper() == "HEAD" else "gzip",
        )
        ask, raw = self._follow(ask, hops=redirects.MAX_REDIRECTS) if follow else (ask, self._send(ask))
        content = self._exchange.whole(raw, max_bytes)
        packed = raw.headers.get("Content-Encoding", "identity").strip().lower()
        answer_headers = raw.headers.copy()
        if ask.method != "HEAD" and packed in _DECODED:
            answer_headers.discard("Content-Encoding")
            answer_headers.discard("Content-Length")
        elif packed not in ("identity", ""):
            raise LineFailed(self.name, "packed its answer in an unknown way")
        return Answer(raw.status, answer_headers, content, ask.url)

    def open(
        self,
        url_or_path: str,
        *,
        token: str | None = None,
        headers: Mapping[str, str] | None = None,
        span: Span | None = None,
        own_token: bool = False,
        body: bytes | None = None,
        scheme: Scheme = "bearer",
        read_s: float | None = None,
    ) -> Stream:
        """GET, or POST when there is a *body*, answered as soon as the headers are there.

        A redirect is given back as it is. *scheme* is how the token is shown: git's is "basic".
        *read_s* is how long to wait for each bit of it, if not as long as for everything else.
        Raises RateLimited and LineFailed as `request` does.
        """
        method = "GET" if body is None else "POST"
        ask = self._ask(method, url_or_path, token=token, headers=headers, own_token=own_token)
        ask = replace(ask, span=span, body=body, scheme=scheme, read_s=read_s)
        return self._stream(ask, self._send(ask))

    def open_file(
        self, path: str, *, token: str | None = None, span: Span | None = None, own_token: bool = False
    ) -> Stream:
        """GET a file of the line, wherever it redirects to.

        Where it was found is remembered for a while, so *path* should name a commit, not a
        branch. The caller's right to the file must have been decided before.

        Raises RateLimited and LineFailed as `request` does.
        """
        first = self._ask("GET", path, token=token, headers=None, own_token=own_token)
        first = replace(first, span=span)
        with self._locations.search(path, wait_s=sum(self._exchange.timeout)) as known:
            if known is not None and (stream := self._reopen(path, first, known)) is not None:
                return stream
            ask, raw = self._follow(first, hops=redirects.MAX_REDIRECTS)
            if raw.status in (200, 206):
                now = ratelimit.http_date(raw.headers.get("Date", "")) or self._clock()
                found = Location(ask.url, is_own=ask.is_own)
                self._locations.keep(path, found, lifetime_s=lifetime_s(ask.url, now))
            return self._stream(ask, raw)

    def budgets_of(self, path: str, *, token: str | None, own_token: bool = False) -> tuple[str, ...]:
        """The names of the budgets that asking for *path* would cost, as RateLimited names them."""
        own = self._own_token if own_token and token is None and self.has_own_token else None
        return ratelimit.budget_of(path, token if self.is_hub and token else own), ratelimit.CDN

    def close(self) -> None:
        """Close the idle connections."""
        self._exchange.close()

    def _reopen(self, path: str, first: Ask, known: Location) -> Stream | None:
        """The file from where it was found before; None when it has to be looked for again."""
        ask = replace(first, url=known.url)
        if not known.is_own:
            ask = ask.stripped()
        try:
            ask, raw = self._follow(ask, hops=redirects.MAX_REDIRECTS)
        except LineFailed:
            self._locations.forget(path, known)
            raise
        if raw.status in _STALE:
            self._locations.forget(path, known)
            if known.url != first.url:
                release(raw)
                return None
        return self._stream(ask, raw)

    def _ask(
        self,
        method: str,
        url_or_path: str,
        *,
        token: str | None,
        headers: Mapping[str, str] | None,
        own_token: bool,
    ) -> Ask:
        """The request with what may be told to whom it goes: the one place of that rule."""
        url = self.base_url + url_or_path if url_or_path.startswith("/") else url_or_path
        given = passed_on(headers)
        check_token(token)
        if redirects.origin(url) != self._origin:
            return Ask(method, url, is_own=False)
        if own_token and token is None and self.has_own_token:
            own = self._own_token
            return Ask(method, url, is_own=True, token=own, is_with_own_token=True, headers=given)
        return Ask(method, url, is_own=True, token=token if self.is_hub else None, headers=given)

    def _follow(self, ask: Ask, *, hops: int) -> tuple[Ask, BaseHTTPResponse]:
        """Send, and send again to where the answer points, at most *hops* times."""
        for _ in range(hops + 1):
            raw = self._send(ask)
            location = redirects.location(raw.status, raw.headers)
            if location is None:
                return ask, raw
            release(raw)
            ask = ask.redirected(raw.status, location, line=self.name)
        raise LineFailed(self.name, "redirects without end")

    def _send(self, ask: Ask) -> BaseHTTPResponse:
        """The head of an answer; its body is still to come."""
        raw = self._observed(ask)
        now = self._clock()
        if ask.is_with_own_token and is_about_the_token(raw.status, raw.headers):
            # That is the operator's affair, and no answer to a caller.
            log.error("line %s does not take its own token: upstream.lines[].token", self.name)
            self._own_token_refused_at = now
            release(raw)
            return self._send(replace(ask, token=None, is_with_own_token=False))
        if ask.is_own and (seen := ratelimit.budgets(raw.headers, now)):
            self.budgets = {**self.budgets, **seen}
        says = verdict(raw.status)
        if says is Verdict.LIMITED:
            release(raw)
            raise RateLimited(self.name, ratelimit.wait_s(raw.headers, now), ask.budget)
        if says is Verdict.FAILED:
            release(raw)
            raise LineFailed(self.name, f"answered {raw.status}")
        return raw

    def _observed(self, ask: Ask) -> BaseHTTPResponse:
        bucket, began, result = ask.budget.partition(" ")[0], time.monotonic(), Verdict.FAILED
        try:
            raw = self._exchange.send(ask)
            result = verdict(raw.status)
        finally:
            self._observe(bucket, result.value, time.monotonic() - began)
        return raw

    def _stream(self, ask: Ask, raw: BaseHTTPResponse) -> Stream:
        if raw.headers.get("Content-Encoding", "identity").strip().lower() not in ("identity", ""):
            release(raw)
            raise LineFailed(self.name, "packed a body that was asked for as it is")
        return Stream(raw, line=self.name, url=ask.url)
