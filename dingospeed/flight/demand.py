"""Whether clients wait for bytes right now, in whichever worker: who works ahead gives way to them.

It is the mtime of one file, so asking costs a stat and telling, at most twice a second, a utime.
"""

from __future__ import annotations

import logging
import os
import time
from pathlib import Path

log = logging.getLogger(__name__)

_TELL_EVERY_S = 0.5
# Longer than it takes to be told again.
_FRESH_S = 2.0


class Demand:
    """Told at *path*."""

    def __init__(self, *, path: Path) -> None:
        self._path = path
        self._told = 0.0

    def note(self) -> None:
        """A client waits, or soon will."""
        now = time.monotonic()
        if now - self._told < _TELL_EVERY_S:
            return
        self._told = now
        try:
            try:
                os.utime(self._path)
            except FileNotFoundError:
                self._path.touch(mode=0o640)
        except OSError as error:
            log.debug("demand can not be told: %s", error)

    def is_fresh(self) -> bool:
        try:
            return abs(time.time() - self._path.stat().st_mtime) < _FRESH_S
        except OSError:
            return False
