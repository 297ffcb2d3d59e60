"""Mounts: repos kept in the public directory as the Hub's own clients lay out their cache.

What is wanted comes from the settings, from commands, and from use; what was made is remembered beside
it, so that exactly that is taken away again.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from dingospeed import native
from dingospeed.errors import DingospeedError, Refusal
from dingospeed.model import RepoRef, is_commit
from dingospeed.store import hfcache
from dingospeed.store.layout import Layout
from dingospeed.upkeep.mountbook import Made, MountBook, Wanted
from dingospeed.upkeep.snapshots import NotYet, Snapshots
from dingospeed.upkeep.uses import Uses

log = logging.getLogger(__name__)

_HOT_REVISION = "main"
# So many times more repos are looked at than are to be mounted for their use: not all can be.
_LOOKED_AT = 4


class WantedElsewhere(Refusal):
    """A command does not undo what the settings want."""

    status = 409


class NotMounted(Refusal):
    status = 404

    def __init__(self, repo: RepoRef) -> None:
        super().__init__(f"{repo} is not mounted")


class Mounts:
    """Keeps the directory *public* as it is wanted: repos *named* by the settings, the *hot* most used."""

    def __init__(
        self,
        *,
        public: Path,
        named: Sequence[Wanted],
        hot: int,
        uses: Uses,
        snapshots: Snapshots,
        book: MountBook,
        layout: Layout,
    ) -> None:
        self._public = public.absolute()
        self._named = tuple(named)
        self._hot = hot
        self._uses = uses
        self._snapshots = snapshots
        self._book = book
        self._layout = layout

    @property
    def public(self) -> Path:
        return self._public

    def refresh(self) -> None:
        """Make all as it is wanted now. A chore."""
        wanted = self._all_wanted()
        for repo in dict.fromkeys([each.repo for each in wanted] + [made.repo for made in self._book.all()]):
            try:
                self._see_to(repo, [each for each in wanted if each.repo == repo])
            except (DingospeedError, OSError) as error:
                log.warning("mount of %s: %s", repo, error)

    def mount(self, wanted: Wanted) -> Made:
        """Mount by command, as soon as all of it is held. Raises a Refusal when it must not be."""
        self._snapshots.check_open(wanted)
        with self._book.alone(wanted.repo):
            made = self._made(wanted.repo)
            asked = tuple(dict.fromkeys((*made.asked, wanted.revision)))
            self._book.write(replace(made, asked=asked, restricted=made.restricted or wanted.restricted))
        self._see_to(wanted.repo, [each for each in self._all_wanted() if each.repo == wanted.repo])
        return self._made(wanted.repo)

    def unmount(self, repo: RepoRef) -> None:
        """Take away what a command wanted of *repo*. Raises NotMounted, WantedElsewhere."""
        if any(each.repo == repo for each in self._named):
            raise WantedElsewhere(f"{repo} is in mounts.repos of the settings: take it out there")
        with self._book.alone(repo):
            made = self._book.get(repo)
            if made is None:
                raise NotMounted(repo)
            if not made.asked:
                raise WantedElsewhere(
                    f"{repo} is mounted for its use: mounts.hot says of how many that is done"
                )
            self._book.write(replace(made, asked=(), restricted=False))
        self._see_to(repo, [each for each in self._all_wanted() if each.repo == repo])

    def told(self) -> list[dict[str, Any]]:
        """Every revision that is wanted or mounted, as it is told to people and programs."""
        made = {one.repo: one for one in self._book.all()}
        wanted = [*self._named, *self._asked()]
        known = {(each.repo, each.revision) for each in wanted}
        wanted += [
            Wanted(one.repo, revision, "use")
            for one in made.values()
            for revision in (*one.refs, *one.notes)
            if (one.repo, revision) not in known
        ]
        return [self._told(each, made.get(each.repo, Made(each.repo))) for each in wanted]

    def _told(self, wanted: Wanted, made: Made) -> dict[str, Any]:
        revision = wanted.revision
        commit = made.refs.get(revision, revision if revision in made.snapshots else None)
        folder = self._folder(wanted.repo)
        return {
            "repo": wanted.repo.id,
            "type": wanted.repo.type,
            "revision": revision,
            "why": wanted.why,
            "restricted": wanted.restricted,
            "commit": commit,
            "note": made.notes.get(revision, ""),
            "path": str(folder / "snapshots" / commit) if commit is not None else None,
            "snapshots": len(made.snapshots),
            "copied_bytes": made.copied_bytes,
        }

    # --- what is wanted -------------------------------------------------------------------

    def _all_wanted(self) -> list[Wanted]:
        wanted = [*self._named, *self._asked()]
        return wanted + self._most_used({each.repo for each in wanted})

    def _asked(self) -> Iterator[Wanted]:
        for made in self._book.all():
            for revision in made.asked:
                yield Wanted(made.repo, revision, "command", made.restricted)

    def _most_used(self, others: set[RepoRef]) -> list[Wanted]:
        """The most used that can be mounted as they are: for use alone nothing is fetched."""
        hot: list[Wanted] = []
        for repo in self._uses.most()[: _LOOKED_AT * self._hot]:
            if len(hot) == self._hot:
                break
            wanted = Wanted(repo, _HOT_REVISION, "use")
            if repo not in others and self._can_be_had(wanted):
                hot.append(wanted)
        return hot

    def _can_be_had(self, wanted: Wanted) -> bool:
        try:
            self._snapshots.check_open(wanted)
            if not self._made(wanted.repo).snapshots:
                self._snapshots.of(wanted)
        except (DingospeedError, NotYet):
            return False
        return True

    # --- what is made ---------------------------------------------------------------------

    def _see_to(self, repo: RepoRef, wanted: Sequence[Wanted]) -> None:
        """Make of *repo* what is *wanted* of it, and nothing else."""
        with self._book.alone(repo):
            made = self._made(repo)
            if not wanted:
                self._emptied(made)
                self._book.forget(repo)
                return
            is_restricted = any(each.restricted for each in wanted)
            wanted = [replace(each, restricted=is_restricted) for each in wanted]
            try:
                self._snapshots.check_open(wanted[0])
            except DingospeedError as error:
                # What was public is no more: gone at once, wanted or not.
                if isinstance(error, Refusal) and made.snapshots:
                    log.warning("mount of %s taken away: %s", repo, error)
                    made = self._emptied(made)
                self._book.write(replace(made, notes={each.revision: str(error) for each in wanted}))
                return
            notes: dict[str, str] = {}
            for each in wanted:
                try:
                    made = self._put(made, each)
                except NotYet as reason:
                    notes[each.revision] = str(reason)
            revisions = {each.revision for each in wanted}
            made = self._without_refs(made, [name for name in made.refs if name not in revisions])
            self._book.write(replace(made, notes=notes))

    def _put(self, made: Made, wanted: Wanted) -> Made:
        """*made* with the revision as it is now. Raises NotYet."""
        folder = self._folder(made.repo)
        commit = self._snapshots.commit(wanted)
        if commit in made.snapshots and hfcache.is_there(folder, wanted.revision, commit):
            self._mend(made, commit)
            return made
        snapshot = self._snapshots.of(wanted)
        if not made.snapshots and hfcache.is_foreign(folder):
            raise NotYet(f"{folder} is there already, and not ours: move it away")
        # Remembered first: what a crash leaves behind is taken away like all else.
        made = replace(made, snapshots={**made.snapshots, commit: dict(snapshot.files)})
        self._book.write(made)
        try:
            copied = native.run(hfcache.publish, folder, snapshot, self._layout.sealed)
            if not is_commit(wanted.revision):
                hfcache.point(folder, wanted.revision, commit)
                made = replace(made, refs={**made.refs, wanted.revision: commit})
        except OSError as error:
            raise NotYet(f"can not be put into {self._public}: {error.strerror}") from error
        log.info("%s %s is mounted at %s", made.repo, wanted.revision, commit[:12])
        return replace(made, copied_bytes=made.copied_bytes + copied)

    def _mend(self, made: Made, commit: str) -> None:
        etags = set(made.snapshots[commit].values())
        try:
            mended = native.run(hfcache.mend, self._folder(made.repo), etags, self._layout.sealed)
        except OSError as error:
            raise NotYet(f"blobs of it can not be mended: {error.strerror}") from error
        if mended:
            log.warning("%d blobs in the mount of %s were lost or damaged, and are mended", mended, made.repo)

    def _emptied(self, made: Made) -> Made:
        made = self._without_refs(made, list(made.refs))
        folder = self._folder(made.repo)
        native.run(hfcache.withdraw, folder, made.snapshots, self._layout.sealed)
        return replace(made, snapshots={}, copied_bytes=0)

    def _without_refs(self, made: Made, revisions: Iterable[str]) -> Made:
        dropped = {revision: made.refs[revision] for revision in revisions}
        hfcache.drop_refs(self._folder(made.repo), dropped)
        return replace(made, refs={name: to for name, to in made.refs.items() if name not in dropped})

    def _folder(self, repo: RepoRef) -> Path:
        return self._public / hfcache.folder_name(repo)

    def _made(self, repo: RepoRef) -> Made:
        return self._book.get(repo) or Made(repo)
