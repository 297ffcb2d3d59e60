"""Sealed texts: facts that a client carries for us and can neither read, change nor make up.

Encrypted, because among them may be the client's own token for the Hub, and because a text in an
address is written down by proxies on the way. Whoever has the key opens them, any worker and any
node that shares it; nobody has to remember them.
"""

from __future__ import annotations

import base64
import hashlib
import json
import time
from collections.abc import Callable
from typing import Any

from cryptography.fernet import Fernet, InvalidToken

_MAX_TEXT = 8190


class Seals:
    """Seals and opens under *key*, any text that nobody else knows."""

    def __init__(self, *, key: str, clock: Callable[[], float] = time.time) -> None:
        self._fernet = Fernet(base64.urlsafe_b64encode(hashlib.sha256(key.encode()).digest()))
        self._clock = clock

    def seal(self, purpose: str, facts: list[Any]) -> str:
        """A text, fit for headers and addresses, that `opened` takes for the same *purpose* only."""
        text = json.dumps([purpose, facts], separators=(",", ":"))
        return self._fernet.encrypt_at_time(text.encode(), int(self._clock())).decode()

    def opened(self, purpose: str, text: str, *, max_age_s: int) -> list[Any] | None:
        """The facts; None when the text is not ours, is for another purpose or older than *max_age_s*."""
        try:
            if len(text) > _MAX_TEXT:
                return None
            told = self._fernet.decrypt_at_time(text.encode(), max_age_s, int(self._clock()))
        except (InvalidToken, UnicodeError):
            return None
        found, facts = json.loads(told)
        return list(facts) if found == purpose else None
