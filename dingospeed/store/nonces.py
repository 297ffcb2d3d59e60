"""Words that count once, among all processes of a node: each is a file that can be made only once.

They lie in folders by the minute in which they run out; one that is past is removed as a whole.
"""

from __future__ import annotations

import shutil
import threading
from contextlib import suppress
from pathlib import Path

from dingospeed.store.layout import file_name

_MINUTE = 60


class Nonces:
    """Nonces under *folder*, which may be emptied at every start of the machine, not of a process."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._tidied = 0
        self._lock = threading.Lock()

    def is_new(self, nonce: str, expires_s: float) -> bool:
        """Whether *nonce* is seen for the first time; it is remembered until at least *expires_s*.

        Times are of any one clock. False too when it can not be remembered.
        """
        minute = int(expires_s) // _MINUTE + 1
        place = self._folder / str(minute) / file_name(nonce)
        try:
            place.parent.mkdir(parents=True, exist_ok=True)
            place.touch(exist_ok=False)
        except OSError:
            return False
        self._tidy(minute)
        return True

    def _tidy(self, minute: int) -> None:
        """Remove what ran out well before *minute*, once a minute."""
        with self._lock:
            if minute <= self._tidied:
                return
            self._tidied = minute
        with suppress(OSError):
            for folder in self._folder.iterdir():
                # Two minutes are what a signature can be ahead of the time, and one to spare.
                if folder.name.isdecimal() and int(folder.name) < minute - 3:
                    shutil.rmtree(folder, ignore_errors=True)
