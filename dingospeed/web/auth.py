"""Who may administer this node: who shows the admin token, or a session that began with it.

Without one in the settings it is a key of the cache, which only who may read the cache's files
knows: commands on the machine itself work, and from elsewhere nobody gets in.
"""

from __future__ import annotations

import hmac
from urllib.parse import urlsplit

from flask import request

from dingospeed.errors import Refusal
from dingospeed.web import sessions
from dingospeed.web.asking import services

_ADMINISTRATION = ("/-/", "/metrics")
# What probes, clients and the nodes of a group ask for.
_FOR_ALL = ("/-/healthz", "/-/readyz", "/-/xet/", "/-/peers/", "/-/assets/")
_READING = ("GET", "HEAD", "OPTIONS")


class AdminOnly(Refusal):
    """The route is for administrators, and the request shows no admin token, or another."""

    status = 401

    def __init__(self) -> None:
        super().__init__("This is for administrators: send the admin token (Authorization: Bearer ...)")


class NotMeant(Refusal):
    """An action that a browser sent with a session, and that none of our pages asked for."""

    def __init__(self) -> None:
        super().__init__(
            f"The page is out of date: load it again ({sessions.WORD_HEADER} is not this session's)"
        )


class Elsewhere(Refusal):
    """What is asked for is not answered at this address."""

    status = 404

    def __init__(self) -> None:
        super().__init__("There is nothing here.")


def check_listener() -> None:
    """Where administration has an address of its own: raises Elsewhere at all others."""
    if not request.path.startswith(_ADMINISTRATION) or request.path.startswith(_FOR_ALL):
        return
    if not is_administered_here():
        raise Elsewhere()


def is_administered_here() -> bool:
    """Whether administration is answered at the address that the request came to."""
    bind = services().ground.settings.admin.bind
    if bind is None:
        return True
    connection = request.environ.get("gunicorn.socket")
    return connection is not None and connection.getsockname()[1] == urlsplit(f"//{bind}").port


def session() -> sessions.Session | None:
    """The session of the request; None without a valid one, and where administration is not answered."""
    return sessions.current() if is_administered_here() else None


def check_admin() -> None:
    """Raises AdminOnly unless the request shows the admin token or a session, NotMeant if it is forged."""
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    if scheme:
        if scheme.lower() != "bearer" or not is_admin_token(token.strip()):
            raise AdminOnly()
        return
    current = session()
    if current is None:
        raise AdminOnly()
    # Browsers send cookies along whoever made the page; only ours can repeat the word.
    if request.method not in _READING and not current.is_meant():
        raise NotMeant()


def is_admin_token(token: str) -> bool:
    """Compared in constant time."""
    return hmac.compare_digest(token.encode("utf-8", "replace"), services().admission.admin_token.encode())
