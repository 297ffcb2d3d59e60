"""Browsers of any origin may read here, and are told so before they ask (Fetch standard, "CORS protocol").

Never with their cookies: those count on the dashboard's own pages only, so there is nothing that
another page could borrow.
"""

from __future__ import annotations

import re

from flask import Response, request

_METHODS = "GET, HEAD, POST, OPTIONS"
_HEADERS = "Accept, Authorization, Content-Type, If-None-Match, If-Range, Range, User-Agent"
_NAMES = re.compile(r"[\w-]+(?:, ?[\w-]+)*\Z", re.ASCII)
_MAX_HEADERS = 1000
# For administrators: pages of others have no business there. Xet is for all.
_OURS = re.compile(r"/-/(?!xet/)")
# The longest that browsers believe; the Hub says the same.
_MAX_AGE_S = 86400


def preflight() -> Response | None:
    """The answer to OPTIONS of any path but our own routes', None for other methods."""
    if request.method != "OPTIONS" or _OURS.match(request.path):
        return None
    # Clients send headers of their own, and more with every version: what is asked for is allowed.
    asked = request.headers.get("Access-Control-Request-Headers", "")
    is_sane = len(asked) <= _MAX_HEADERS and _NAMES.match(asked)
    headers = {
        "Allow": _METHODS,
        "Access-Control-Allow-Methods": _METHODS,
        "Access-Control-Allow-Headers": asked if is_sane else _HEADERS,
        "Access-Control-Max-Age": str(_MAX_AGE_S),
        "Vary": "Access-Control-Request-Headers",
    }
    return Response(status=204, headers=headers)
