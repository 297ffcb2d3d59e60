"""Callers' tokens while a job of theirs waits or runs: never readable on the disk.

They are sealed with a key that lives in memory only, made by the parent of the workers and the same
in all of them: another worker can take a job over, and after a restart of the node nobody
can read what was sealed before.
"""

from __future__ import annotations

from cryptography.fernet import Fernet, InvalidToken


class Tokens:
    """Seals and opens tokens with a key of its own, until it is given one to share."""

    def __init__(self) -> None:
        self._box = Fernet(Fernet.generate_key())

    def share(self, key: bytes) -> None:
        """Use *key*, which others of this boot have, too."""
        self._box = Fernet(key)

    def seal(self, token: str) -> str:
        return self._box.encrypt(token.encode()).decode()

    def open(self, sealed: str) -> str | None:
        """The token; None when it was sealed with another key."""
        try:
            return self._box.decrypt(sealed.encode()).decode()
        except InvalidToken:
            return None


def new_key() -> bytes:
    return Fernet.generate_key()
