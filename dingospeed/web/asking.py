"""What a view needs of the request and of the app, typed."""

from __future__ import annotations

import re
import time
import uuid
from functools import lru_cache
from ipaddress import ip_address, ip_network
from typing import Any
from urllib.parse import quote

from flask import Flask, Request, current_app, request
from werkzeug.utils import cached_property

from dingospeed.errors import BadRequest
from dingospeed.mirror.together import PATIENCE_S
from dingospeed.model import Caller
from dingospeed.services import Services
from dingospeed.web.transfers import Transfers

_SERVICES = "dingospeed"
_TRANSFERS = "dingospeed-transfers"
_MAX_TOKEN = 1024
_HOST = re.compile(r"(?:[A-Za-z0-9._-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(?::[0-9]{1,5})?\Z", re.ASCII)
_PREFIX = re.compile(r"(?:/[A-Za-z0-9_~-][A-Za-z0-9._~-]*){1,8}\Z", re.ASCII)
_SENT_AS_IS = "%/:@!$&'()*+,;=~-._[]"


class ClientRequest(Request):
    """A request, and what follows from it alone, worked out once."""

    def __init__(self, environ: dict[str, Any], *args: Any, **kwargs: Any) -> None:
        super().__init__(environ, *args, **kwargs)
        # By the monotonic clock.
        self.began = time.monotonic()

    def header(self, name: str) -> str:
        """The header *name*, "" without one. `headers` says the same, after an exception for each miss."""
        found: str = self.environ.get(_environ_name(name), "")
        return found

    @cached_property
    def id(self) -> str:
        """The client's own id of its request, as the Hub echoes it, else one of ours."""
        sent = self.header("X-Amzn-Trace-Id")
        is_sane = 0 < len(sent) <= 128 and sent.isascii() and sent.isprintable()
        return sent if is_sane else str(uuid.uuid4())

    @cached_property
    def address(self) -> str:
        """Where it comes from, past all trusted proxies; "" when one of them tells nonsense."""
        trusted = services().ground.settings.server.trusted_proxies
        found = self.remote_addr or ""
        told = self.header("X-Forwarded-For")
        for hop in reversed(told.split(",") if told else []):
            if not _is_trusted(found, trusted):
                break
            found = hop.strip()
        return found if _is_address(found) else ""

    @cached_property
    def bearer(self) -> str:
        """The token in the Authorization header, "" when there is none."""
        scheme, _, token = self.header("Authorization").partition(" ")
        return token.strip() if scheme.lower() == "bearer" else ""

    @property
    def deadline(self) -> float:
        """When it is to be answered, by the monotonic clock; one for all questions that takes."""
        return self.began + PATIENCE_S


def install_services(app: Flask, parts: Services, watching: Transfers) -> None:
    """Put the mirror behind *app*."""
    app.request_class = ClientRequest
    app.extensions[_SERVICES] = parts
    app.extensions[_TRANSFERS] = watching


def services() -> Services:
    """The mirror behind this app."""
    found: Services = current_app.extensions[_SERVICES]
    return found


def transfers() -> Transfers:
    found: Transfers = current_app.extensions[_TRANSFERS]
    return found


def asked() -> ClientRequest:
    """The request itself: who reads more than one thing of it saves the way through Flask's proxy."""
    found: ClientRequest = request._get_current_object()  # type: ignore[attr-defined]
    return found


def caller() -> Caller:
    """Who asks, by the token they sent. Raises BadRequest for a token that can be none."""
    return named(asked().bearer)


def named(token: str) -> Caller:
    """Who asks and says that *token* is theirs, "" for nobody. Raises BadRequest for one that can be none."""
    if token and (len(token) > _MAX_TOKEN or not token.isascii() or not token.isprintable()):
        raise BadRequest("Not a token")
    now = asked()
    return Caller(token or None, now.address, now.deadline)


def is_from_trusted_proxy() -> bool:
    """Whether the connection itself comes from one of the configured proxies."""
    return _is_trusted(request.remote_addr or "", services().ground.settings.server.trusted_proxies)


def own_url() -> str:
    """The address the client used for us, without a slash at the end.

    Host and path are what it sent, or what a trusted proxy says that it sent; gunicorn sees to the scheme.
    """
    host = _told_by_proxy("X-Forwarded-Host") or request.headers.get("Host", "")
    if not _HOST.match(host):
        host = f"{request.environ['SERVER_NAME']}:{request.environ['SERVER_PORT']}"
    return f"{request.scheme}://{host}{own_prefix()}"


def own_prefix() -> str:
    """The path under which a trusted proxy says that it serves us, such as "/hf"; "" for its root."""
    prefix = _told_by_proxy("X-Forwarded-Prefix").rstrip("/")
    return prefix if _PREFIX.match(prefix) else ""


def _told_by_proxy(header: str) -> str:
    """What the nearest proxy says in *header*, "" when it is not a trusted one or says nothing."""
    is_told = is_from_trusted_proxy()
    return request.headers.get(header, "").rpartition(",")[2].strip() if is_told else ""


@lru_cache(maxsize=64)
def _environ_name(header: str) -> str:
    return "HTTP_" + header.upper().replace("-", "_")


@lru_cache(maxsize=1024)
def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


@lru_cache(maxsize=1024)
def _is_trusted(address: str, networks: tuple[str, ...]) -> bool:
    try:
        found = ip_address(address)
    except ValueError:
        return False
    return any(found in ip_network(network) for network in networks)


def sent_path(*, has_query: bool = True) -> str:
    """The path and query of the request as they were sent, with what no URL may hold encoded."""
    path = quote(request.environ["PATH_INFO"].encode("latin-1", "replace"), safe=_SENT_AS_IS)
    query = quote(request.query_string, safe=_SENT_AS_IS + "?") if has_query else ""
    return f"{path}?{query}" if query else path


def flag(name: str) -> bool:
    """A yes-or-no query parameter; Python clients say True, others true or 1."""
    return request.args.get(name, "").lower() in ("true", "1")
