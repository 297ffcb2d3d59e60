"""In and out: the admin token opens a session of the dashboard."""

from __future__ import annotations

import logging
import time
from ipaddress import IPv6Address, ip_address, ip_network

from flask import Blueprint, Response, request

from dingospeed.errors import Refusal
from dingospeed.web import auth, sessions
from dingospeed.web.asking import asked, services
from dingospeed.web.pages import go_to, page

log = logging.getLogger(__name__)

blueprint = Blueprint("login", __name__)

# One wrong token a second from one address, whatever the number of connections.
_WRONG_TOKEN_S = 1.0
_PATIENCE_S = 5.0


class TooManyAttempts(Refusal):
    """Others try tokens from this address, too."""

    status = 429
    retry_after_s = 10

    def __init__(self) -> None:
        super().__init__("Too many attempts to log in from your address. Try again in a while.")


@blueprint.get("/-/login")
def form() -> Response:
    """Where to enter the token."""
    return page("login.html", error="") if sessions.current() is None else go_to("/")


@blueprint.post("/-/login")
def enter() -> Response:
    """A session for whoever brings the token."""
    if not _is_right(request.form.get("token", "").strip()):
        log.warning(
            "login refused: wrong token from %s", asked().address or "an address that can not be told"
        )
        return page("login.html", status=403, error="That is not the admin token of this mirror.")
    response = go_to("/")
    sessions.begin(response)
    log.info("login from %s", asked().address or "an address that can not be told")
    return response


@blueprint.post("/-/logout")
def leave() -> Response:
    """The end of a session, in this browser."""
    if sessions.current() is not None:
        auth.check_admin()
    response = go_to("/")
    sessions.end(response)
    return response


def _is_right(token: str) -> bool:
    """Whether *token* is the admin token, told to one at a time. Raises TooManyAttempts."""
    lease = services().ground.leases.acquire(f"login-{_network()}", timeout_s=_PATIENCE_S)
    if lease is None:
        raise TooManyAttempts()
    with lease:
        is_right = auth.is_admin_token(token)
        if not is_right:
            time.sleep(_WRONG_TOKEN_S)
        return is_right


def _network() -> str:
    """Whose attempts are counted together: an address, or the 64 bits of IPv6 that one customer gets."""
    text = asked().address
    if text and isinstance(ip_address(text), IPv6Address):
        return str(ip_network((text.partition("%")[0], 64), strict=False).network_address)
    return text
