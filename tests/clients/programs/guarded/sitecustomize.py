"""Loaded by every Python of the grid: notes each connection to anywhere but the mirror and the guard.

The proxy sees who asks it; this sees who does not.
"""

import os
import sys
from pathlib import Path

_NOTES = os.environ.get("GRID_NOTES")
_ALLOWED = set(os.environ.get("GRID_ALLOWED", "").split(","))


def _look(event: str, arguments: tuple[object, ...]) -> None:
    if event != "socket.connect":
        return
    address = arguments[1]
    # Others are sockets of this machine, by a path.
    if isinstance(address, tuple) and f"{address[0]}:{address[1]}" not in _ALLOWED:
        with Path(str(_NOTES)).open("a") as notes:
            notes.write(f"{address[0]}:{address[1]}\n")


if _NOTES:
    sys.addaudithook(_look)
