"""A cleaning from beginning to end: look what lies there, plan, act, and let documents follow.

It computes and waits for the disk, for seconds where much is cached: for a process of its own. Only one runs
on a cache at a time, by a lease; among those who serve from it meanwhile nobody notices.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Container, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from dingospeed.mirror.held import Held
from dingospeed.mirror.rules import Globs
from dingospeed.model import Blob, RepoRef
from dingospeed.store.etags import Etags
from dingospeed.store.layout import Layout
from dingospeed.store.pins import Pin, Pins
from dingospeed.store.usage import Kind, disk_of, etag_of, walk
from dingospeed.store.use import take_away
from dingospeed.upkeep.cleaning import Candidate, Cleaned, Names, Plan, Rules, carry_out, plan_cleaning
from dingospeed.upkeep.lastcopies import LastCopies

log = logging.getLogger(__name__)

# Of the holder: one cleaning at a time.
LEASE = "cleaning"
# By how much the plan may have rounded a last use.
_ROUNDING_S = 0.001


@dataclass(frozen=True, slots=True)
class Scope:
    """Patterns of repos: those to *keep* besides what is pinned; the *only* ones to go, None for all."""

    keep: tuple[str, ...] = ()
    only: tuple[str, ...] | None = None


def make_plan(layout: Layout, rules: Rules, scope: Scope, group: LastCopies | None = None) -> Plan:
    """What would go now, in a *group* that was asked. Raises StoreError."""
    names = look_up_names(layout, scope)
    if group is not None:
        elsewhere = group.elsewhere(file.etag for file in walk(layout))
        names = replace(names, somewhere=group.kept, elsewhere=elsewhere)
    return plan_cleaning(walk(layout), rules, names, disk=disk_of(layout.root), now=time.time())


def look_up_names(layout: Layout, scope: Scope) -> Names:
    """What the documents say of etags. Raises StoreError for a pin that can not be read."""
    held = Held(layout)
    kept = _kept_by(layout, scope.keep)
    only = None
    if scope.only is not None:
        # What others name as well is theirs, too.
        wanted = Globs(scope.only)
        others = _of_repos(held, lambda repo: not wanted.match(repo))
        only = _Without(_of_repos(held, wanted.match), others)
    return Names(
        kept=Etags(_held_by(held, kept)) if kept else (),
        named=_of_repos(held, lambda repo: True),
        only=only,
    )


def kept_blobs(layout: Layout, keep: tuple[str, ...]) -> list[Blob]:
    """What is kept here: of repos that are pinned or match *keep*, and what is mounted. Raises StoreError."""
    held = Held(layout)
    found = set()
    for repo, revisions in _repos_of(held, _kept_by(layout, keep)):
        if None in revisions:
            commits = set(held.commits(repo))
        else:
            commits = {commit for each in revisions if (commit := held.commit(repo, str(each)))}
        found |= {file.blob for commit in commits for file in held.files(repo, commit)}
    for stored in walk(layout):
        if stored.links > 1 and stored.kind is Kind.BLOB:
            with suppress(FileNotFoundError):
                found.add(Blob(stored.etag, layout.sealed(stored.etag).stat().st_size))
    return list(found)


def act(layout: Layout, plan: Plan, group: LastCopies | None = None) -> Cleaned:
    """Take away what *plan* says, as far as nobody uses it, and the documents of repos that end with it.

    The *group* is asked about what it keeps, and told what is gone.
    """

    def take(candidate: Candidate) -> int | None:
        path = layout.stored(candidate.name)
        try:
            freed = take_away(path, used_until=candidate.used_at + _ROUNDING_S)
        except OSError as error:
            log.error("%s can not be cleaned away: %s", path.name, error)
            return None
        if freed is not None:
            log.debug("%s cleaned away, %d bytes: %s", path.name, freed, candidate.why.words)
        return freed

    if group is None:
        cleaned = carry_out(plan, take)
    else:
        cleaned = carry_out(plan, lambda candidate: group.take(candidate, take))
        group.tell()
    if cleaned.files:
        _let_documents_follow(layout, Etags(etag_of(candidate.name) for candidate in plan))
    return cleaned


def _of_repos(held: Held, is_meant: Callable[[RepoRef], bool]) -> Etags:
    return Etags(etag for repo in held.repos() if is_meant(repo) for etag in held.etags(repo))


def _kept_by(layout: Layout, keep: tuple[str, ...]) -> list[Pin]:
    return [Pin(pattern) for pattern in keep] + list(Pins(layout).all())


def _repos_of(held: Held, pins: Iterable[Pin]) -> Iterator[tuple[RepoRef, set[str | None]]]:
    """The repos that *pins* hold something of, each with the revisions; None among them is for all."""
    patterns = [(Globs([pin.repos]), pin.revision) for pin in pins]
    for repo in held.repos():
        revisions = {revision for glob, revision in patterns if glob.match(repo)}
        if revisions:
            yield repo, revisions


def _held_by(held: Held, pins: Iterable[Pin]) -> Iterator[str]:
    """The etags that *pins* hold."""
    for repo, revisions in _repos_of(held, pins):
        if None in revisions:
            yield from held.etags(repo)
            continue
        for revision in revisions:
            yield from held.etags_at(repo, str(revision))


class _Without:
    """What is in *some*, and not in *others*."""

    def __init__(self, some: Container[str], others: Container[str]) -> None:
        self._some, self._others = some, others

    def __contains__(self, etag: object) -> bool:
        return etag in self._some and etag not in self._others


def _let_documents_follow(layout: Layout, planned: Container[str]) -> None:
    """Forget the repos that have lost some of what was *planned*, if nothing is left of them."""
    held = Held(layout)
    for repo in held.repos():
        if not any(etag in planned for etag in held.etags(repo)):
            continue
        if any(_is_here(layout, etag) for etag in held.etags(repo)):
            continue
        for folder in (layout.api(repo, "x").parent, layout.access(repo, "x").parent):
            _remove(folder)
        log.info("%s is no longer here: its documents followed its files", repo)


def _is_here(layout: Layout, etag: str) -> bool:
    return layout.sealed(etag).exists() or layout.partial(etag).exists()


def _remove(folder: Path) -> None:
    """As far as nobody is writing there."""
    for path, _, names in os.walk(folder, topdown=False):
        for name in names:
            Path(path, name).unlink(missing_ok=True)
        try:
            Path(path).rmdir()
        except OSError:
            continue
