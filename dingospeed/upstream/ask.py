"""One request of a line as it will be sent, with what may be told to whom it goes.

Once a redirect has led away from the line nothing of the caller's comes back: no token, no header.
"""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal
from urllib.parse import urlsplit

from dingospeed import __version__
from dingospeed.errors import BadRequest, InvalidCredentials, LineFailed
from dingospeed.model import Span
from dingospeed.upstream import ratelimit, redirects

Scheme = Literal["bearer", "basic"]

_TOKEN = re.compile(r"[\x21-\x7e]{1,4096}\Z")
_HEADER = re.compile(r"[\t\x20-\x7e\x80-\xff]*\Z")
# Of a caller's headers these are ours to set, or would say who the caller is.
_OURS = frozenset({
    "authorization", "cookie", "proxy-authorization", "host", "accept-encoding", "range",
    "connection", "content-length", "transfer-encoding", "te", "upgrade", "keep-alive",
    "proxy-connection", "trailer", "expect",
})  # fmt: skip


@dataclass(frozen=True, slots=True)
class Ask:
    """*is_own*: it never left the line's origin. *scheme* is how the *token* is shown."""

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

    def __post_init__(self) -> None:
        if self.span is not None and not len(self.span):
            raise ValueError("an empty span can not be asked for")

    @property
    def budget(self) -> str:
        """The name of the budget it costs."""
        return ratelimit.budget_of(urlsplit(self.url).path, self.token) if self.is_own else ratelimit.CDN

    def sent_headers(self) -> dict[str, str]:
        # Another name only where the Hub's answer depends on it; never that of the caller's program.
        sent = {"User-Agent": f"dingospeed/{__version__}", **self.headers}
        sent["Accept-Encoding"] = self.encoding
        if self.span is not None:
            sent["Range"] = f"bytes={self.span.start}-{self.span.stop - 1}"
        if self.token is not None:
            sent["Authorization"] = _credentials(self.token, self.scheme)
        return sent

    def redirected(self, status: int, location: str, *, line: str) -> Ask:
        """What to ask next. Raises LineFailed where *location* leads nowhere it may."""
        url = redirects.target(self.url, location, line=line)
        ask = replace(self, url=url)
        if status == 303 and self.method != "HEAD":
            ask = replace(ask, method="GET", body=None)
        if redirects.origin(url) == redirects.origin(self.url):
            return ask
        if ask.body is not None:
            raise LineFailed(line, "redirects a request with a body elsewhere")
        return replace(ask.stripped(), headers={})

    def stripped(self) -> Ask:
        """As it may be sent to anybody: without any token."""
        return replace(self, is_own=False, token=None, is_with_own_token=False)


def passed_on(headers: Mapping[str, str] | None) -> dict[str, str]:
    """Those of a caller's *headers* that may go to the line. Raises BadRequest for what can be none."""
    given = {name: value for name, value in (headers or {}).items() if name.lower() not in _OURS}
    if any(not _HEADER.match(value) for value in given.values()):
        raise BadRequest("A header holds characters that no header can")
    return given


def check_token(token: str | None) -> None:
    """Raises InvalidCredentials for what can be no token."""
    if token is not None and not _TOKEN.match(token):
        raise InvalidCredentials()


def _credentials(token: str, scheme: Scheme) -> str:
    """The value of Authorization. The Hub does not look at the user name (hub: git over HTTPS)."""
    if scheme == "basic":
        return "Basic " + b64encode(f"user:{token}".encode()).decode()
    return f"Bearer {token}"
