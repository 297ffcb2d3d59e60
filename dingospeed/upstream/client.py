"""HTTP with one line of the upstream, and with the CDN it redirects to.

The caller's token goes to the Hub's own origin only, never to a CDN, and nothing of the
caller's goes anywhere but to the line itself. All that the library can raise becomes an error of
ours here. No cookies, no netrc, no environment: two callers' requests can not touch.
"""

from __future__ import annotations

import hashlib
import logging
import re
import time
from base64 import b64encode
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from http.cookiejar import DefaultCookiePolicy
from typing import Literal
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter
from urllib3 import BaseHTTPResponse

from dingospeed import __version__
from dingospeed.errors import BadRequest, InvalidCredentials, LineFailed, RateLimited
from dingospeed.model import Span
from dingospeed.upstream import ratelimit, redirects
from dingospeed.upstream.failures import was_dropped, why
from dingospeed.upstream.locations import Location, Locations, lifetime_s
from dingospeed.upstream.ratelimit import Budget
from dingospeed.upstream.refusals import is_about_the_token
from dingospeed.upstream.stream import BROKEN, Stream, release
from dingospeed.upstream.verdicts import Verdict, verdict

log = logging.getLogger(__name__)

MAX_ANSWER_BYTES = 256 * 1024 * 1024
_CHUNK_BYTES = 64 * 1024
_MAX_HOSTS = 16
_CDN = "cdn"
_MAX_LOCATIONS = 10_000

Scheme = Literal["bearer", "basic"]

# How long a token of ours that the line refused is not shown again.
_REFUSED_S = 300

_TOKEN = re.compile(r"[\x21-\x7e]{1,4096}\Z")
_HEADER = re.compile(r"[\t\x20-\x7e\x80-\xff]*\Z")
# Of a caller's headers these are ours to set, or would say who the caller is.
_OURS = frozenset({
    "authorization", "cookie", "proxy-authorization", "host", "accept-encoding", "range",
    "connection", "content-length", "transfer-encoding", "te", "upgrade", "keep-alive",
    "proxy-connection", "trailer", "expect",
})  # fmt: skip
_DECODED = ("gzip", "x-gzip", "deflate")
_IDEMPOTENT = ("GET", "HEAD")
# What a CDN says to an address whose signature has run out, or that is no more.
_STALE = (400, 401, 403, 404, 410)


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer. *headers* are case-insensitive; the body is decoded."""

    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)
    url: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class _Ask:
    """One request as it will be sent. *is_own*: it never left the line's origin."""

    method: str
    url: str = field(repr=False)
    is_own: bool
    token: str | None = field(default=None, repr=False)
    is_with_own_token: bool = False
    scheme: Scheme = "bearer"
    read_s: float | None = None
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: bytes | None = field(default=None, repr=False)
    span: Span | None = None
    encoding: str = "identity"

    def sent_headers(self) -> dict[str, str]:
        # Another name only where the Hub's answer depends on it; never that of the caller's program.
        sent = {"User-Agent": f"dingospeed/{__version__}", **self.headers}
        sent["Accept-Encoding"] = self.encoding
        if self.span is not None:
            sent["Range"] = f"bytes={self.span.start}-{self.span.stop - 1}"
        if self.token is not None:
            sent["Authorization"] = _credentials(self.token, self.scheme)
        return sent

    def redirected(self, status: int, location: str, *, line: str) -> _Ask:
        """What to ask next. Once away from the line nothing of the caller's comes back."""
        url = redirects.target(self.url, location, line=line)
        ask = replace(self, url=url)
        if status == 303 and self.method != "HEAD":
            ask = replace(ask, method="GET", body=None)
        if redirects.origin(url) == redirects.origin(self.url):
            return ask
        if ask.body is not None:
            raise LineFailed(line, "redirects a request with a body elsewhere")
        return replace(ask, is_own=False, token=None, is_with_own_token=False, headers={})


class _Session(requests.Session):
    def get_redirect_target(self, resp: requests.Response) -> str | None:
        """Always None: even when told not to follow, the library reads a redirect's body."""
        return None


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
        self._timeout = (connect_s, read_s)
        self._observe = observe
        self._clock = clock
        self._locations = Locations(limit=_MAX_LOCATIONS, clock=clock)
        self._session = _session(max_connections, proxy=proxy, ca_bundle=ca_bundle)

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
        content = self._whole(raw, max_bytes)
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
        ask = replace(ask, span=_checked_span(span), body=body, scheme=scheme, read_s=read_s)
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
        first = replace(first, span=_checked_span(span))
        with self._locations.search(path, wait_s=sum(self._timeout)) as known:
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
        return _budget(path, token if self.is_hub and token else own), _CDN

    def close(self) -> None:
        """Close the idle connections."""
        self._session.close()

    def _reopen(self, path: str, first: _Ask, known: Location) -> Stream | None:
        """The file from where it was found before; None when it has to be looked for again."""
        ask = replace(first, url=known.url)
        if not known.is_own:
            ask = replace(ask, is_own=False, token=None, is_with_own_token=False)
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
    ) -> _Ask:
        """The request with what may be told to whom it goes: the one place of that rule."""
        url = self.base_url + url_or_path if url_or_path.startswith("/") else url_or_path
        given = {name: value for name, value in (headers or {}).items() if name.lower() not in _OURS}
        if any(not _HEADER.match(value) for value in given.values()):
            raise BadRequest("A header holds characters that no header can")
        if token is not None and not _TOKEN.match(token):
            raise InvalidCredentials()
        if redirects.origin(url) != self._origin:
            return _Ask(method, url, is_own=False)
        if own_token and token is None and self.has_own_token:
            own = self._own_token
            return _Ask(method, url, is_own=True, token=own, is_with_own_token=True, headers=given)
        return _Ask(method, url, is_own=True, token=token if self.is_hub else None, headers=given)

    def _follow(self, ask: _Ask, *, hops: int) -> tuple[_Ask, BaseHTTPResponse]:
        """Send, and send again to where the answer points, at most *hops* times."""
        for _ in range(hops + 1):
            raw = self._send(ask)
            location = redirects.location(raw.status, raw.headers)
            if location is None:
                return ask, raw
            release(raw)
            ask = ask.redirected(raw.status, location, line=self.name)
        raise LineFailed(self.name, "redirects without end")

    def _send(self, ask: _Ask) -> BaseHTTPResponse:
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
            raise RateLimited(self.name, ratelimit.wait_s(raw.headers, now), _budget_of(ask))
        if says is Verdict.FAILED:
            release(raw)
            raise LineFailed(self.name, f"answered {raw.status}")
        return raw

    def _observed(self, ask: _Ask) -> BaseHTTPResponse:
        bucket, began, result = _budget_of(ask).partition(" ")[0], time.monotonic(), Verdict.FAILED
        try:
            raw = self._exchange(ask)
            result = verdict(raw.status)
        finally:
            self._observe(bucket, result.value, time.monotonic() - began)
        return raw

    def _exchange(self, ask: _Ask) -> BaseHTTPResponse:
        request = requests.Request(ask.method, ask.url, headers=ask.sent_headers(), data=ask.body)
        try:
            prepared = self._session.prepare_request(request)
        except (requests.RequestException, ValueError) as error:
            if ask.is_own:
                raise BadRequest("No request can be made of this") from error
            raise LineFailed(self.name, "redirects to something that is no URL") from error
        try:
            return self._sent(prepared, ask.read_s)
        except (requests.RequestException, *BROKEN) as error:
            # A kept connection may have been closed by the other side while it was idle.
            if ask.method not in _IDEMPOTENT or not was_dropped(error):
                raise LineFailed(self.name, why(error)) from error
        try:
            return self._sent(prepared, ask.read_s)
        except (requests.RequestException, *BROKEN) as error:
            raise LineFailed(self.name, why(error)) from error

    def _sent(self, prepared: requests.PreparedRequest, read_s: float | None) -> BaseHTTPResponse:
        timeout = (self._timeout[0], read_s or self._timeout[1])
        response = self._session.send(prepared, stream=True, timeout=timeout, allow_redirects=False)
        raw: BaseHTTPResponse = response.raw
        return raw

    def _stream(self, ask: _Ask, raw: BaseHTTPResponse) -> Stream:
        if raw.headers.get("Content-Encoding", "identity").strip().lower() not in ("identity", ""):
            release(raw)
            raise LineFailed(self.name, "packed a body that was asked for as it is")
        return Stream(raw, line=self.name, url=ask.url)

    def _whole(self, raw: BaseHTTPResponse, max_bytes: int) -> bytes:
        content = bytearray()
        try:
            while chunk := raw.read(_CHUNK_BYTES, decode_content=True):
                content += chunk
                if len(content) > max_bytes:
                    raise LineFailed(self.name, f"its answer is longer than {max_bytes} bytes")
        except BROKEN as error:
            raise LineFailed(self.name, why(error)) from error
        finally:
            raw.close()
        return bytes(content)


def _budget_of(ask: _Ask) -> str:
    return _budget(urlsplit(ask.url).path, ask.token) if ask.is_own else _CDN


def _budget(path: str, token: str | None) -> str:
    """A bucket and an account of it: the Hub counts API calls and files apart, and by token or address."""
    is_file = "/resolve/" in path or path.startswith("/api/resolve-cache/")
    account = hashlib.sha256(token.encode()).hexdigest()[:16] if token else "anonymous"
    return f"{'resolvers' if is_file else 'api'} {account}"


def _session(max_connections: int, *, proxy: str | None, ca_bundle: str | None) -> requests.Session:
    session = _Session()
    session.trust_env = False
    session.headers.clear()
    session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
    session.verify = ca_bundle or True
    if proxy:
        session.proxies = {"http": proxy, "https": proxy}
    adapter = HTTPAdapter(pool_connections=_MAX_HOSTS, pool_maxsize=max_connections, max_retries=0)
    session.mount("https://", adapter)
    session.mount("http://", adapter)
    return session


def _credentials(token: str, scheme: Scheme) -> str:
    """The value of Authorization. The Hub does not look at the user name (hub: git over HTTPS)."""
    if scheme == "basic":
        return "Basic " + b64encode(f"user:{token}".encode()).decode()
    return f"Bearer {token}"


def _checked_span(span: Span | None) -> Span | None:
    if span is not None and not len(span):
        raise ValueError("an empty span can not be asked for")
    return span
