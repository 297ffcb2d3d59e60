"""Sessions of the dashboard: a signed cookie of someone who showed the admin token.

The cookie holds no token, only a word that every action has to repeat, which other sites' pages
can not know. It is signed with a key of the cache's own and bound to the admin token in force:
with another token all sessions end.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from dataclasses import dataclass

from flask import Response, request
from itsdangerous import BadSignature, URLSafeTimedSerializer

from dingospeed.web.asking import services

LIFETIME_S = 12 * 3600
# Where an action repeats the session's word: in this header, or in this field of a form.
WORD_HEADER, WORD_FIELD = "X-CSRF-Token", "csrf_token"


@dataclass(frozen=True, slots=True)
class Session:
    """Someone who showed the admin token; *word* is what their actions have to repeat."""

    word: str

    def is_meant(self) -> bool:
        """Whether the request repeats the word: it comes from one of our own pages."""
        told = request.headers.get(WORD_HEADER) or request.form.get(WORD_FIELD, "")
        return hmac.compare_digest(told.encode("utf-8", "replace"), self.word.encode())


def current() -> Session | None:
    """The session of the request, None without a valid one."""
    cookie = request.cookies.get(_cookie_name())
    if cookie is None:
        return None
    try:
        word = _signer().loads(cookie, max_age=LIFETIME_S)
    except BadSignature:
        return None
    return Session(word)


def begin(response: Response) -> None:
    """Let whoever gets *response* in until LIFETIME_S have passed."""
    response.set_cookie(
        _cookie_name(),
        _signer().dumps(secrets.token_urlsafe(24)),
        max_age=LIFETIME_S,
        httponly=True,
        samesite="Strict",
        secure=request.is_secure,
    )


def end(response: Response) -> None:
    """Have the browser of whoever gets *response* forget its session."""
    response.delete_cookie(_cookie_name(), httponly=True, samesite="Strict", secure=request.is_secure)


def _signer() -> URLSafeTimedSerializer:
    parts = services()
    return URLSafeTimedSerializer(
        parts.admission.session_key,
        salt=hashlib.sha256(parts.admission.admin_token.encode()).digest(),
        signer_kwargs={"digest_method": hashlib.sha256},
    )


def _cookie_name() -> str:
    """One name a cache: cookies know no ports, and two mirrors may run on one host."""
    return "dingospeed-" + hashlib.sha256(services().admission.session_key.encode()).hexdigest()[:8]
