"""What a view needs of the request and of the app, typed."""

from __future__ import annotations

import uuid

from flask import Flask, current_app, g, request

from dingospeed.errors import BadRequest
from dingospeed.model import Caller
from dingospeed.services import Services
from dingospeed.web.transfers import Transfers

_SERVICES = "dingospeed"
_TRANSFERS = "dingospeed-transfers"
_MAX_TOKEN = 1024


def install_services(app: Flask, parts: Services, watching: Transfers) -> None:
    """Put the mirror behind *app*."""
    app.extensions[_SERVICES] = parts
    app.extensions[_TRANSFERS] = watching


def services() -> Services:
    """The mirror behind this app."""
    found: Services = current_app.extensions[_SERVICES]
    return found


def transfers() -> Transfers:
    found: Transfers = current_app.extensions[_TRANSFERS]
    return found


def caller() -> Caller:
    """Who asks, by the token they sent. Raises BadRequest for a token that can be none."""
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    token = token.strip()
    if scheme.lower() != "bearer" or not token:
        return Caller(None, request.remote_addr or "")
    if len(token) > _MAX_TOKEN or not token.isascii() or not token.isprintable():
        raise BadRequest("Not a token")
    return Caller(token, request.remote_addr or "")


def request_id() -> str:
    """The client's own id of its request, as the Hub echoes it, else one of ours."""
    if "request_id" not in g:
        sent = request.headers.get("X-Amzn-Trace-Id", "")
        is_sane = 0 < len(sent) <= 128 and sent.isascii() and sent.isprintable()
        g.request_id = sent if is_sane else str(uuid.uuid4())
    found: str = g.request_id
    return found


def own_url() -> str:
    """The address the client used for us, without a slash at the end."""
    return request.host_url.rstrip("/")


def flag(name: str) -> bool:
    """A yes-or-no query parameter; Python clients say True, others true or 1."""
    return request.args.get(name, "").lower() in ("true", "1")
