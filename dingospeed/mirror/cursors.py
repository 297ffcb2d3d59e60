"""Cursors of listings: ours, the Hub's, and those that clients make up in its form.

One holds the last path of the page before: it is base64 of (base64 of ``{"file_name":"<path>"}`` +
``:50``), as on the Hub; some clients count on that form. A listing that has changed meanwhile goes on
where the path would be.
"""

from __future__ import annotations

import base64
import json
import re
from typing import Any

from dingospeed.errors import BadRequest
from dingospeed.mirror.tree import Entry

_NAMES = ("file_name", "path")
_COUNT = re.compile(rb":[0-9]{1,9}\Z")


def cursor_after(entry: Entry) -> str:
    """What asks for the page behind *entry*."""
    inner = base64.b64encode(json.dumps({"file_name": entry["path"]}, separators=(",", ":")).encode())
    return base64.b64encode(inner + b":50").decode()


def start_of(cursor: str, entries: list[Entry]) -> int:
    """Where among *entries* the page begins that *cursor* asks for. Raises BadRequest for none of ours."""
    after = _path_in(cursor)
    for index, entry in enumerate(entries):
        if entry["path"] == after:
            return index + 1
    return next((index for index, entry in enumerate(entries) if _order(entry) > after), len(entries))


def _path_in(cursor: str) -> str:
    try:
        text = _decoded(cursor.encode())
        told: Any = json.loads(text if text.startswith(b"{") else _decoded(_COUNT.sub(b"", text)))
    except (ValueError, RecursionError) as error:
        raise BadRequest("Not a cursor of this mirror") from error
    for name in _NAMES:
        if isinstance(told, dict) and isinstance(told.get(name), str):
            return str(told[name])
    raise BadRequest("Not a cursor of this mirror")


def _decoded(text: bytes) -> bytes:
    """Of base64 in either alphabet, with or without padding. A plus sign in a query may come as a space."""
    standard = text.replace(b" ", b"+").translate(bytes.maketrans(b"-_", b"+/")).rstrip(b"=")
    return base64.b64decode(standard + b"=" * (-len(standard) % 4), validate=True)


def _order(entry: Entry) -> str:
    """What git sorts by: a folder as if its name ended in a slash."""
    path = str(entry["path"])
    return path + "/" if entry.get("type") == "directory" else path
