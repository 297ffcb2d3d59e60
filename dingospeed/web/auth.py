"""Who may administer this node: who shows the admin token.

Without one in the settings it is a key of the cache, which only who may read the cache's files
knows: commands on the machine itself work, and from elsewhere nobody gets in.
"""

from __future__ import annotations

import hmac

from flask import request

from dingospeed.errors import Refusal
from dingospeed.web.asking import services


class AdminOnly(Refusal):
    """The route is for administrators, and the request shows no admin token, or another."""

    status = 401

    def __init__(self) -> None:
        super().__init__("This is for administrators: send the admin token (Authorization: Bearer ...)")


def check_admin() -> None:
    """Raises AdminOnly unless the request shows the admin token."""
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not is_admin_token(token.strip()):
        raise AdminOnly()


def is_admin_token(token: str) -> bool:
    """Compared in constant time."""
    return hmac.compare_digest(token.encode("utf-8", "replace"), services().admin_token.encode())
