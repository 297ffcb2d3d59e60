"""Lists in pages, with the address of the next one in Link.

A cursor is base64 of (base64 of ``{"file_name":"<last>"}`` + ``:50``), so that clients who make up
cursors of that form themselves go on after that file.
"""

from __future__ import annotations

import base64
import binascii
import json
from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from urllib.parse import quote, urlencode

from dingospeed.testing.answers import Refusal


def page(
    items: Sequence[str], cursor: str | None, limit: int, key: Callable[[str], str] = str
) -> tuple[Sequence[str], str | None]:
    """At most *limit* items behind the cursor, and the cursor behind those if there are more.

    *items* must be in the order of *key*. Raises Refusal for a cursor that is none.
    """
    first = bisect_right(items, key(_last_of(cursor)), key=key) if cursor else 0
    found = items[first : first + limit]
    is_end = first + limit >= len(items)
    return found, None if is_end or not found else _cursor_behind(found[-1])


def limit_of(arguments: Mapping[str, str], most: int) -> int:
    """The ``limit`` asked for, no more than *most*. Raises Refusal when it is no number above zero."""
    text = arguments.get("limit", str(most))
    if not text.isdecimal() or int(text) < 1:
        raise Refusal(400, f'Invalid limit: "{text}"')
    return min(int(text), most)


def next_link(address: str, arguments: Mapping[str, str]) -> dict[str, str]:
    return {"Link": f'<{address}?{urlencode(arguments, quote_via=quote)}>; rel="next"'}


def _cursor_behind(name: str) -> str:
    inner = base64.b64encode(json.dumps({"file_name": name}, separators=(",", ":")).encode())
    return base64.b64encode(inner + b":50").decode()


def _last_of(cursor: str) -> str:
    try:
        inner = base64.b64decode(cursor).partition(b":")[0]
        return str(json.loads(base64.b64decode(inner))["file_name"])
    except (binascii.Error, ValueError, KeyError, TypeError):
        raise Refusal(400, "Invalid cursor") from None
