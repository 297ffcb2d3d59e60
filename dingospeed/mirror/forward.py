"""Everything else the Hub's API knows: asked on the caller's behalf, handed on, never kept.

What comes back is cleaned: only headers we know go on, no Xet, and no address of the
upstream, in headers or in JSON.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from dingospeed.errors import Forbidden
from dingospeed.mirror.xet import without_xet
from dingospeed.model import Caller
from dingospeed.upstream.lines import Lines

_KEPT_HEADERS = (
    "Content-Type",
    "ETag",
    "Link",
    "Location",
    "Retry-After",
    "WWW-Authenticate",
    "X-Error-Code",
    "X-Error-Message",
    "X-Repo-Commit",
    "X-Total-Count",
)


@dataclass(frozen=True, slots=True)
class Forwarded:
    """An answer of the upstream, cleaned."""

    status: int
    headers: dict[str, str]
    body: bytes


class Forward:
    """Asks *lines* what nobody here knows. *addresses*: the base URLs that no answer may name."""

    def __init__(self, *, lines: Lines, addresses: Sequence[str]) -> None:
        self._lines = lines
        hosts = {urlsplit(address).netloc for address in addresses} | {"huggingface.co"}
        names = "|".join(re.escape(host) for host in sorted(hosts, key=len, reverse=True))
        self._address = re.compile(rf"https?://(?:{names})(?![\w.-])")

    def get(self, path: str, caller: Caller, *, accept: str, own_url: str) -> Forwarded:
        """The answer to ``GET path``; addresses of the upstream become *own_url*. Raises UpstreamError."""
        _, answer = self._lines.ask("GET", path, token=caller.token, headers={"Accept": accept})
        headers = {
            name: self._address.sub(own_url, answer.headers[name])
            for name in _KEPT_HEADERS
            if name in answer.headers
        }
        location = headers.get("Location")
        if location is not None and not location.startswith(("/", own_url)):
            raise Forbidden("This answer lies outside of what is mirrored.")
        body = answer.body
        if "json" in headers.get("Content-Type", ""):
            try:
                body = _compact(self._without_addresses(without_xet(json.loads(body)), own_url))
            except ValueError:
                body = b""
        elif headers.get("Content-Type", "").startswith("text/"):
            body = self._address.sub(own_url, body.decode("utf-8", "replace")).encode()
        return Forwarded(answer.status, headers, body)

    def _without_addresses(self, value: Any, own_url: str) -> Any:
        if isinstance(value, str):
            return self._address.sub(own_url, value)
        if isinstance(value, Mapping):
            return {key: self._without_addresses(inner, own_url) for key, inner in value.items()}
        if isinstance(value, list):
            return [self._without_addresses(inner, own_url) for inner in value]
        return value


def _compact(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
