"""Addresses of a CDN that are valid for a while, and only as they were given out."""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time
from urllib.parse import parse_qs, quote, urlencode

from dingospeed.testing.payload import Plain
from dingospeed.testing.wire import Reply

SIGNED_AT = "Signed-At"


class Signer:
    """Signs paths with a key of its own; other signers' addresses do not count."""

    def __init__(self) -> None:
        self._key = secrets.token_bytes(32)

    def sign(self, path: str, disposition: str, lifetime_s: float) -> str:
        """Path and query, valid for *lifetime_s* from now."""
        now = time.time()
        facts = {
            "response-content-disposition": disposition,
            SIGNED_AT: f"{now:.6f}",
            "Expires": f"{now + lifetime_s:.6f}",
        }
        signed = f"{path}?{urlencode(facts, quote_via=quote)}"
        return f"{signed}&Signature={self._signature(signed)}&Key-Pair-Id=KFAKE"

    def accepts(self, target: str) -> bool:
        """Whether *target*, as it stood on the request line, was signed here and is still valid."""
        signed, _, rest = target.partition("&Signature=")
        if not hmac.compare_digest(rest.partition("&")[0].encode(), self._signature(signed).encode()):
            return False
        expires = parse_qs(signed.partition("?")[2]).get("Expires", ["0"])[0]
        return time.time() < float(expires)

    def _signature(self, signed: str) -> str:
        return hmac.new(self._key, signed.encode(), hashlib.sha256).hexdigest()


def denied(status: int = 403, code: str = "AccessDenied", message: str = "Access Denied") -> Reply:
    """A refusal in the words of a CDN."""
    error = f"<Error><Code>{code}</Code><Message>{message}</Message></Error>"
    body = f'<?xml version="1.0" encoding="UTF-8"?>\n{error}'
    return Reply(status, {"Content-Type": "application/xml", "Server": "CloudFront"}, Plain(body.encode()))
