"""Names for callers that tell them apart without telling who they are."""

from __future__ import annotations

import hashlib
import hmac

_DIGITS = 8


class Pseudonyms:
    """*salt* is the cache's own: elsewhere, or without it, the same token has another name."""

    def __init__(self, *, salt: str) -> None:
        self._salt = salt.encode()

    def of(self, token: str | None) -> str:
        """A few hex digits for *token*, always the same; "-" for none."""
        if not token:
            return "-"
        text = token.encode("utf-8", "replace")
        return hmac.new(self._salt, b"pseudonym " + text, hashlib.sha256).hexdigest()[:_DIGITS]
