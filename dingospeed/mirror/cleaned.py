"""What the upstream said, made ready for our callers.

Only headers we know go on, no Xet, and no address of the upstream, in headers or in JSON.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote, urlsplit

from dingospeed.errors import Forbidden, NoLine
from dingospeed.mirror.xet import without_xet
from dingospeed.model import REPO_TYPES
from dingospeed.upstream.client import Answer

# No ETag: what we hand on is not the text it stands for.
_KNOWN_HEADERS = (
    "Content-Type",
    "Location",
    "Retry-After",
    "WWW-Authenticate",
    "X-Error-Code",
    "X-Error-Message",
    "X-Repo-Commit",
    "X-Total-Count",
)
_NEXT = re.compile(r'<([^>]*)>\s*;[^,]*\brel="?next"?')
# Tokens for Xet, with the address where the bytes are: what they are good for is to go past this mirror.
_XET_ROUTE = re.compile(r"/xet-|/buckets(?:/|\Z)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Told:
    """An answer of the upstream, not cleaned, with those of its headers that matter."""

    status: int
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Forwarded:
    """An answer of the upstream, cleaned."""

    status: int
    headers: dict[str, str]
    body: bytes


def told(answer: Answer) -> Told:
    """What matters of *answer*."""
    names = (*_KNOWN_HEADERS, "Link")
    return Told(
        answer.status, {name: answer.headers[name] for name in names if name in answer.headers}, answer.body
    )


def check_route(path: str) -> None:
    """Raises Forbidden for a question or change whose answer would lead past this mirror."""
    if _XET_ROUTE.search(unquote(path.partition("?")[0])):
        raise Forbidden("This mirror serves files over plain HTTP, not by Xet.")


class Cleaner:
    """Takes *addresses*, the base URLs of the upstream, and all else out that no answer may hold."""

    def __init__(self, *, addresses: Sequence[str]) -> None:
        hosts = {urlsplit(address).netloc for address in addresses} | {"huggingface.co"}
        names = "|".join(re.escape(host) for host in sorted(hosts, key=len, reverse=True))
        self._address = re.compile(rf"https?://(?:{names})(?::(?:80|443))?(?![\w-]|\.\w|:\d)", re.IGNORECASE)

    def cleaned(self, path: str, told: Told, *, own_url: str) -> Forwarded:
        """The answer to *path*; addresses of the upstream become *own_url*.

        Raises Forbidden for a redirect to elsewhere, NoLine for broken JSON.
        """
        headers = {
            name: self._in_header(told.headers[name], own_url)
            for name in _KNOWN_HEADERS
            if name in told.headers
        }
        if not _is_here(headers.get("Location", "/"), own_url):
            raise Forbidden("This answer lies outside of what is mirrored.")
        following = _next_path(told.headers.get("Link", ""))
        if following is not None:
            headers["Link"] = f'<{own_url}{following}>; rel="next"'
        if told.status == 401 and _is_of_repo(path) and _names_nothing(headers):
            # The Hub leaves it out; over http clients then can not tell that the repo is not there.
            headers["X-Error-Code"] = "RepoNotFound"
        body, kind = told.body, headers.get("Content-Type", "")
        # What was changed is told in a status alone, too.
        if "json" in kind and (body or told.status == 200):
            try:
                body = _compact(self._in_json(without_xet(json.loads(body)), own_url))
            except (ValueError, RecursionError) as error:
                raise NoLine("upstream answered with broken JSON") from error
        elif kind.startswith("text/"):
            body = self._address.sub(own_url, body.decode("utf-8", "replace")).encode()
        return Forwarded(told.status, headers, body)

    def _in_header(self, value: str, own_url: str) -> str:
        """Without addresses of the upstream, and without what would end the header early."""
        shown = "".join(char if " " <= char <= "~" else "?" for char in value)
        return self._address.sub(own_url, shown)

    def _in_json(self, value: Any, own_url: str) -> Any:
        if isinstance(value, str):
            return self._address.sub(own_url, value)
        if isinstance(value, Mapping):
            return {key: self._in_json(inner, own_url) for key, inner in value.items()}
        if isinstance(value, list):
            return [self._in_json(inner, own_url) for inner in value]
        return value


def _is_here(location: str, own_url: str) -> bool:
    """Whether a redirect stays with us; browsers take ``//host`` and ``/\\host`` for another host."""
    path = location.removeprefix(own_url)
    return path.startswith("/") and path[1:2] not in ("/", "\\")


def _next_path(link: str) -> str | None:
    """Path and query of the next page; None when a Link header names none on the API."""
    found = _NEXT.search(link)
    try:
        parts = urlsplit(found[1]) if found is not None else None
    except ValueError:
        return None
    if parts is None or not parts.path.startswith("/api/"):
        return None
    return f"{parts.path}?{parts.query}"


def _is_of_repo(path: str) -> bool:
    parts = path.partition("?")[0].split("/")
    return len(parts) > 3 and parts[2] in REPO_TYPES


def _names_nothing(headers: Mapping[str, str]) -> bool:
    is_of_token = "Invalid credentials" in headers.get("X-Error-Message", "")
    return "X-Error-Code" not in headers and not is_of_token


def _compact(value: Any) -> bytes:
    # Half of a surrogate pair is JSON, and no UTF-8.
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")
