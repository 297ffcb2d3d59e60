"""Requests between nodes, signed with the group's secret.

A signature is of one method, path and query, for one node, until a moment of the group's time, which is
that of Redis; and it is good for one request. The secret itself is never sent.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Callable, Mapping
from urllib.parse import urlencode

from dingospeed.errors import Refusal

FROM, EXPIRES, NONCE, SIGNATURE = (
    f"X-Dingospeed-{name}" for name in ("Node", "Expires", "Nonce", "Signature")
)
_LIFETIME_S = 30
_VERSION = "dingospeed 1"


class NoPeer(Refusal):
    """The request is not, or not any more, one of a node of this group."""

    status = 403

    def __init__(self, why: str) -> None:
        super().__init__(f"Only for nodes of this group: {why}")


class Signer:
    """Signs what *id* asks of others, and checks what others ask of it.

    *now_s* is the group's time, None while that is not known. *is_new* says of a nonce, good until
    a moment, whether it is seen for the first time on this node.
    """

    def __init__(
        self,
        *,
        secret: str,
        id: str,
        now_s: Callable[[], float | None],
        is_new: Callable[[str, float], bool],
    ) -> None:
        self._secret = secret.encode()
        self._id = id
        self._now_s = now_s
        self._is_new = is_new

    def headers(self, method: str, path: str, query: Mapping[str, str], *, to: str) -> dict[str, str]:
        """What has to be sent with the request for the node *to* to take it. Raises NoPeer without a time."""
        now = self._now_s()
        if now is None:
            raise NoPeer("the group's time is not known yet")
        expires, nonce = str(round(now) + _LIFETIME_S), secrets.token_hex(16)
        asked = _text(method, path, query, to, self._id, expires, nonce)
        return {FROM: self._id, EXPIRES: expires, NONCE: nonce, SIGNATURE: self._sign(asked)}

    def check(self, method: str, path: str, query: Mapping[str, str], headers: Mapping[str, str]) -> str:
        """The id of the node that asks. Raises NoPeer."""
        sender, expires, nonce = (headers.get(name, "") for name in (FROM, EXPIRES, NONCE))
        asked = _text(method, path, query, self._id, sender, expires, nonce)
        # First of all, so that nobody else learns what is wrong with the rest.
        given = headers.get(SIGNATURE, "").encode("utf-8", "replace")
        if not hmac.compare_digest(self._sign(asked).encode(), given):
            raise NoPeer("the signature is not right")
        now = self._now_s()
        if now is None:
            raise NoPeer("the group's time is not known yet")
        if not 0 <= int(expires) - now <= 2 * _LIFETIME_S:
            raise NoPeer("the signature has run out")
        if not self._is_new(nonce, now + 2 * _LIFETIME_S):
            raise NoPeer("the signature was used before")
        return sender

    def _sign(self, text: str) -> str:
        return hmac.new(self._secret, text.encode("utf-8", "surrogateescape"), hashlib.sha256).hexdigest()


def _text(method: str, path: str, query: Mapping[str, str], to: str, *more: str) -> str:
    """One text for one request. Every part is without line breaks, so no two requests have the same."""
    parts = (_VERSION, method, path, urlencode(sorted(query.items())), to, *more)
    return "\n".join(part.replace("\n", " ") for part in parts)
