"""Who may have what: every decision is about (the caller's own token, a repo).

A public repo is open to all. For the rest the Hub's auth-check with the caller's own token
decides. The answer is remembered for a few minutes, on disk and under a salted hash, so
that after an outage or an air-gapped restart those who were let in before still are, for
`offline_grace_s`, and nobody else is.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
import os
import secrets
import time
from dataclasses import dataclass

from dingospeed.errors import (
    Forbidden,
    GatedRepo,
    InvalidCredentials,
    Offline,
    Refusal,
    RepoNotFound,
    UpstreamError,
)
from dingospeed.mirror.metadata import Metadata, Visibility
from dingospeed.mirror.questions import Questions
from dingospeed.model import Caller, RepoRef
from dingospeed.store.documents import Documents
from dingospeed.store.layout import Layout

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class AccessTimes:
    """How long a decision holds, in seconds: a yes, a no, and a yes while nobody can be asked."""

    allowed_s: float
    denied_s: float
    offline_grace_s: float


class Access:
    """Decides, by asking *questions* and remembering in *documents*."""

    def __init__(
        self,
        *,
        metadata: Metadata,
        questions: Questions,
        documents: Documents,
        layout: Layout,
        times: AccessTimes,
    ) -> None:
        self._metadata = metadata
        self._questions = questions
        self._documents = documents
        self._layout = layout
        self._times = times
        self._salt = _salt(layout)

    def to_listing(self, repo: RepoRef, caller: Caller) -> Visibility:
        """May *caller* know of the repo and list it? Gated repos are listed to everyone.

        Raises a Refusal when not, UpstreamError when it can not be told.
        """
        visibility = self._metadata.visibility(repo, caller)
        if visibility.is_private:
            self._decide(repo, caller, visibility)
        return visibility

    def to_files(self, repo: RepoRef, caller: Caller) -> Visibility:
        """May *caller* have the files and know their identities? As `to_listing`, and gates are closed."""
        visibility = self._metadata.visibility(repo, caller)
        if not visibility.is_public:
            self._decide(repo, caller, visibility)
        return visibility

    def _decide(self, repo: RepoRef, caller: Caller, visibility: Visibility) -> None:
        if caller.token is None:
            if visibility.is_private:
                raise RepoNotFound(repo.id, anonymous=True)
            raise GatedRepo(repo.id, anonymous=True)
        path = self._layout.access(repo, self._hash(caller.token, repo))
        known = self._documents.read(path)
        age_s = time.time() - known.written_at if known else 0.0
        is_allowed = bool(known and known.value["allowed"])
        if known and age_s < (self._times.allowed_s if is_allowed else self._times.denied_s):
            if is_allowed:
                return
            raise _denial(repo, visibility, known.value.get("invalid", False))
        try:
            self._questions.is_let_in(repo, caller)
        except Refusal as refusal:
            is_invalid = isinstance(refusal, InvalidCredentials)
            self._documents.write(path, {"allowed": False, "invalid": is_invalid})
            raise _denial(repo, visibility, is_invalid) from refusal
        except UpstreamError as error:
            if is_allowed and age_s < self._times.offline_grace_s:
                log.info("%s: a caller let in %.0f s ago is let in on trust: %s", repo, age_s, error)
                return
            if isinstance(error, Offline):
                what = "This mirror is offline and has not seen this token let in before."
                raise Forbidden(what) from error
            raise
        self._documents.write(path, {"allowed": True})

    def _hash(self, token: str, repo: RepoRef) -> str:
        return hmac.new(self._salt, f"{token} {repo}".encode(), hashlib.sha256).hexdigest()


def _denial(repo: RepoRef, visibility: Visibility, is_invalid: bool) -> Refusal:
    if is_invalid:
        return InvalidCredentials()
    if visibility.is_private:
        return RepoNotFound(repo.id)
    return GatedRepo(repo.id, anonymous=False)


def _salt(layout: Layout) -> bytes:
    """The cache's own salt, made at the first start; the workers agree on whose came first."""
    path = layout.salt
    if not path.exists():
        beside = path.with_name(f"{path.name}.{os.getpid()}-{time.monotonic_ns()}")
        fd = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            os.write(fd, secrets.token_bytes(32))
            os.link(beside, path)
        except FileExistsError:
            pass
        finally:
            os.close(fd)
            beside.unlink()
    return path.read_bytes()
