"""Everything else the Hub's API knows: asked on the caller's behalf, and handed on.

What the Hub tells anybody is kept, as the upstream told it, for `ttl_s`; then one asks,
the others go on with the old answer, and when nobody outside answers the old one serves on. What
it tells the bearer of a token is neither kept nor told to another. Whether a repo may still be
talked about is decided before what is kept of it is told.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from dingospeed.errors import Moved, NoLine, UpstreamError
from dingospeed.mirror.access import Access
from dingospeed.mirror.cleaned import Cleaner, Forwarded, Told, check_route, told
from dingospeed.mirror.together import OLD_WAIT_S, PATIENCE_S, Together
from dingospeed.model import Caller, RepoRef
from dingospeed.store.documents import Document
from dingospeed.store.shelf import Shelf
from dingospeed.upstream.lines import RATE_LIMIT_PATIENCE_S, Lines

log = logging.getLogger(__name__)

_MAX_KEPT_BYTES = 4 << 20
# What comes after a repo's id and is answered to all who may ask in the same words.
_SAME_FOR_ALL = frozenset(
    ("", "revision", "tree", "treesize", "paths-info", "commits", "commit", "compare", "refs")
)
# Of these everybody has their own, also who has no name.
_CALLERS_OWN = re.compile(
    r"/(?:whoami|settings|auth-check|jwt|notifications|billing|jobs|oauth|events|logs)", re.IGNORECASE
)
# What is said of something that is not there, or no more for everybody.
_GONE = (401, 403, 404, 410)


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked: *path* with its query, exactly as sent, POSTed when there is a *form*.

    *repo* is the one it is about, if it is about one, and *route* what comes after its id. What can not
    be told for sure is not *is_clear*: its answer is not kept.
    """

    path: str
    accept: str = "*/*"
    form: bytes | None = None
    repo: RepoRef | None = None
    route: str = ""
    is_clear: bool = True

    @property
    def key(self) -> str:
        """Equal for those that have the same answer."""
        return "\n".join((self.accept, self.path, (self.form or b"").decode("ascii", "replace")))


class Forward:
    """Asks *lines* what nobody here knows, and keeps on the *shelf* what is for everybody.

    *changed_at* tells when a repo was last changed through this mirror, in seconds since the epoch.
    """

    def __init__(
        self,
        *,
        lines: Lines,
        access: Access,
        together: Together,
        shelf: Shelf,
        cleaner: Cleaner,
        changed_at: Callable[[RepoRef], float],
        ttl_s: float,
    ) -> None:
        self._lines = lines
        self._access = access
        self._together = together
        self._shelf = shelf
        self._cleaner = cleaner
        self._changed_at = changed_at
        self._ttl_s = ttl_s

    def ask(self, question: Question, caller: Caller, *, own_url: str) -> Forwarded:
        """The answer; addresses of the upstream become *own_url*.

        With X-Cache (HIT, MISS, STALE) if it is one that is kept. Raises a Refusal when *caller* may not
        know of the repo or when it would lead past this mirror, or UpstreamError.
        """
        check_route(question.path)
        if not self._may_be_told_kept(question, caller):
            key = ("forward", question.key, caller.token)
            answer = self._together.ask(key, lambda: self._asked(question, caller, has_old=False), caller)
            return self._cleaner.cleaned(question.path, answer, own_url=own_url)
        answer, cache = self._kept_or_asked(question, caller)
        forwarded = self._cleaner.cleaned(question.path, answer, own_url=own_url)
        forwarded.headers["X-Cache"] = cache
        return forwarded

    def _may_be_told_kept(self, question: Question, caller: Caller) -> bool:
        """Whether the answer to *caller* is the one that all get. Raises a Refusal."""
        if not question.is_clear or _CALLERS_OWN.search(question.path.partition("?")[0]):
            return False
        if question.repo is None:
            return caller.is_anonymous
        if not caller.is_anonymous and question.route not in _SAME_FOR_ALL:
            return False
        try:
            visibility = self._access.to_listing(question.repo, caller)
        except (Moved, UpstreamError):
            return False
        return visibility.is_public or (caller.is_anonymous and not visibility.is_private)

    def _kept_or_asked(self, question: Question, caller: Caller) -> tuple[Told, str]:
        known = self._kept(question)
        if known is not None and self._is_fresh(known, question):
            return _told(known.value), "HIT"

        def ask() -> Told:
            if not caller.is_anonymous:
                return self._asked(question, caller, has_old=known is not None)
            timeout_s = PATIENCE_S if known is None else 0
            with self._together.alone(f"forward {question.key}", timeout_s=timeout_s) as is_alone:
                meanwhile = self._kept(question)
                if meanwhile is not None and (self._is_fresh(meanwhile, question) or not is_alone):
                    return _told(meanwhile.value)
                answer = self._asked(question, caller, has_old=known is not None)
                self._keep(question, answer)
                return answer

        key = ("forward", question.key, caller.token)
        try:
            if known is None:
                return self._together.ask(key, ask, caller), "MISS"
            return self._together.ask(key, ask, caller, wait_s=OLD_WAIT_S, join_s=0), "MISS"
        except UpstreamError as error:
            if known is None:
                raise
            log.debug("%s: telling what was told before: %s", question.path, error)
            return _told(known.value), "STALE"

    def _asked(self, question: Question, caller: Caller, *, has_old: bool) -> Told:
        headers = {"Accept": question.accept}
        if question.form is not None:
            headers["Content-Type"] = "application/x-www-form-urlencoded"
        _, answer = self._lines.ask(
            "GET" if question.form is None else "POST",
            question.path,
            token=caller.token,
            headers=headers,
            body=question.form,
            expect="json",
            patience_s=0 if has_old else RATE_LIMIT_PATIENCE_S,
        )
        return told(answer)

    def _keep(self, question: Question, answer: Told) -> None:
        if answer.status in _GONE:
            self._shelf.delete(question.key)
        if answer.status == 200 and len(answer.body) <= _MAX_KEPT_BYTES:
            try:
                text = answer.body.decode()
                if "json" in answer.headers.get("Content-Type", ""):
                    json.loads(text)
            except (ValueError, RecursionError) as error:
                raise NoLine("upstream answered with broken JSON") from error
            self._shelf.write(question.key, {"headers": dict(answer.headers), "body": text})

    def _kept(self, question: Question) -> Document | None:
        known = self._shelf.read(question.key)
        return known if known is not None and _is_answer(known.value) else None

    def _is_fresh(self, known: Document, question: Question) -> bool:
        # One from the future is as old as it is far off: clocks jump.
        is_young = known.age_s < self._ttl_s
        return is_young and (question.repo is None or known.written_at > self._changed_at(question.repo))


def _is_answer(value: Any) -> bool:
    return (
        isinstance(value, dict)
        and isinstance(value.get("body"), str)
        and isinstance(value.get("headers"), dict)
    )


def _told(value: dict[str, Any]) -> Told:
    return Told(200, value["headers"], value["body"].encode())
