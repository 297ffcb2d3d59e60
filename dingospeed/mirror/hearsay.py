"""What other nodes of the group were told by the Hub, kept here as if it had been told to this one.

It is looked at like an answer of the Hub, and is as old as it was there: who hears of something
late must not believe it longer.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any, Protocol, TypeVar

from dingospeed.errors import UpstreamError
from dingospeed.mirror import shapes
from dingospeed.mirror.records import Records
from dingospeed.model import RepoRef, is_commit
from dingospeed.sources.answers import Answers

log = logging.getLogger(__name__)

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


class Hear(Protocol[T_co]):
    """What others say; None when they say nothing."""

    def __call__(self, *, of_anybody: bool) -> T_co | None: ...


def heard_or_told(hear: Hear[T] | None, ask_outside: Callable[[], T]) -> T:
    """What the owner of the repo says, else what the outside says, else what anybody here knows.

    Without *hear*, in no group, it is what the outside says. Raises what that raises.
    """
    heard = hear(of_anybody=False) if hear is not None else None
    if heard is not None:
        return heard
    try:
        return ask_outside()
    except UpstreamError:
        heard = hear(of_anybody=True) if hear is not None else None
        if heard is None:
            raise
        return heard


class Hearsay:
    """Asks the other nodes by *answers*, and keeps what they say in *records*.

    None from any of these: ask outside. *of_anybody* is for when nobody answers there.
    """

    def __init__(self, *, answers: Answers, records: Records) -> None:
        self._answers = answers
        self._records = records

    def info(self, repo: RepoRef, revision: str, *, of_anybody: bool) -> dict[str, Any] | None:
        """The info of a public repo at *revision*; kept, with what it says of both.

        Of "", the default branch, only who may see the repo is heard.
        """
        if not self._may_be_public(repo):
            return None
        if not revision:
            return self._visibility(repo, of_anybody=of_anybody)
        told = self._answers.info(repo, revision, of_anybody=of_anybody)
        if told is None or not isinstance(told.value, dict):
            return None
        value: dict[str, Any] = told.value
        info: Any = value.get("info")
        age_s: Any = value.get("visibility_age_s")
        if not shapes.is_info(info) or (is_commit(revision) and info["sha"] != revision):
            return None
        is_aged = isinstance(age_s, int | float)
        if not is_aged or not self._keep_visibility(repo, value.get("visibility"), age_s):
            return None
        self._records.keep_info(repo, revision, info, told_at=time.time() - told.age_s)
        found: dict[str, Any] = info
        return found

    def _visibility(self, repo: RepoRef, *, of_anybody: bool) -> dict[str, Any] | None:
        told = self._answers.visibility(repo, of_anybody=of_anybody)
        if told is None or not self._keep_visibility(repo, told.value, told.age_s):
            return None
        value = told.value
        return {"private": value["private"], "gated": value["gated"], "_id": value.get("id")}

    def tree(self, repo: RepoRef, commit: str, *, of_anybody: bool) -> list[dict[str, Any]] | None:
        """All entries of the tree of a public repo."""
        if not self._records.is_known_public(repo):
            return None
        told = self._answers.tree(repo, commit, of_anybody=of_anybody)
        if told is None or not shapes.is_listing(told.value):
            return None
        entries: list[dict[str, Any]] = told.value
        return entries

    def _may_be_public(self, repo: RepoRef) -> bool:
        return self._records.visibility(repo) is None or self._records.is_known_public(repo)

    def _keep_visibility(self, repo: RepoRef, told: Any, age_s: float) -> bool:
        """False when it is none of a public repo, or of another than the one known by that name."""
        if not shapes.is_visibility(told) or told["private"] or told["gated"]:
            return False
        at = time.time() - age_s
        known = self._records.visibility(repo)
        ids = {known.value.get("id") if known is not None else None, told.get("id")} - {None}
        if len(ids) > 1:
            log.warning("%s is another repo to a peer than here", repo)
            return False
        if known is None or known.written_at < at:
            self._records.write(repo, "visibility", value=told, written_at=at)
        return True
