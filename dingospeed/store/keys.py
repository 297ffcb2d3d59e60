"""Secrets of a cache's own, made at the first start and readable by its owner only.

The workers agree on whose came first.
"""

from __future__ import annotations

import os
import re
import secrets
import time
from contextlib import suppress
from pathlib import Path

from dingospeed.errors import StoreError

_KEY_BYTES = 32
_KEY = re.compile(rf"[0-9a-f]{{{2 * _KEY_BYTES}}}\n\Z")


def own_key(path: Path) -> str:
    """64 hex digits, the same at every call. Raises StoreError when they can be neither read nor made."""
    try:
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            _make(path)
        return read_key(path)
    except OSError as error:
        raise StoreError(f"the key {path} can be neither read nor made: {error.strerror}") from error


def own_mark(path: Path) -> str:
    """16 hex digits that tell this cache from others, and are no secret. Raises as `own_key` does."""
    return own_key(path)[:16]


def read_key(path: Path) -> str:
    """The key at *path*. Raises OSError when it can not be read, StoreError when it is none."""
    text = path.read_bytes().decode("ascii", "replace")
    if not _KEY.match(text):
        raise StoreError(f"{path} is damaged: remove it, and another key is made")
    return text.rstrip()


def _make(path: Path) -> None:
    beside = path.with_name(f"{path.name}.{os.getpid()}-{time.monotonic_ns()}")
    fd = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        os.write(fd, f"{secrets.token_hex(_KEY_BYTES)}\n".encode())
        # Its name must not outlive its content.
        os.fsync(fd)
        with suppress(FileExistsError):
            os.link(beside, path)
    finally:
        os.close(fd)
        beside.unlink()
