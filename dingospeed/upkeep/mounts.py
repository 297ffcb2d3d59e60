"""Mounts: repos kept in the public directory as the Hub's own clients lay out their cache.

What is wanted comes from the settings, from commands, and from use; what was made is remembered beside
it, so that exactly that is taken away again. Only what everybody may have is mounted, unless somebody
has said of this very repo that whoever reads the directory may have it.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from dingospeed import native
from dingospeed.errors import DingospeedError, Moved, Refusal
from dingospeed.mirror.metadata import Metadata
from dingospeed.mirror.rules import RepoRules
from dingospeed.mirror.tree import Tree, file_of
from dingospeed.mirror.trees import Trees
from dingospeed.model import Caller, RepoRef, is_commit
from dingospeed.store import hfcache
from dingospeed.store.hfcache import Snapshot
from dingospeed.store.layout import Layout
from dingospeed.upkeep.jobs import State, Wish
from dingospeed.upkeep.mountbook import Made, MountBook, Wanted
from dingospeed.upkeep.uses import Uses
from dingospeed.upkeep.warmup import Warmups

log = logging.getLogger(__name__)

# As whom the node looks at repos.
_NODE = Caller(None, "127.0.0.1")
_HOT_REVISION = "main"
_LOOKS_AT_ONCE = 64
# A warm-up that failed, or that somebody ended, is not begun again sooner.
_AGAIN_S = 3600.0
# So many times more repos are looked at than are to be mounted for their use: not all can be.
_LOOKED_AT = 4


class NotOpen(Refusal):
    """Not everybody may have the repo."""

    def __init__(self, repo: RepoRef) -> None:
        super().__init__(f"{repo} is private or gated: whoever reads the directory would get it")


class WantedElsewhere(Refusal):
    """A command does not undo what the settings want."""

    status = 409


class NotMounted(Refusal):
    status = 404

    def __init__(self, repo: RepoRef) -> None:
        super().__init__(f"{repo} is not mounted")


class _NotYet(Exception):
    """Why a revision is not mounted, in words."""


class Mounts:
    """Keeps the directory *public* as it is wanted: repos *named* by the settings, the *hot* most used."""

    def __init__(
        self,
        *,
        public: Path,
        named: Sequence[Wanted],
        hot: int,
        metadata: Metadata,
        trees: Trees,
        rules: RepoRules,
        warmups: Warmups,
        uses: Uses,
        book: MountBook,
        layout: Layout,
    ) -> None:
        self._public = public.absolute()
        self._named = tuple(named)
        self._hot = hot
        self._metadata = metadata
        self._trees = trees
        self._rules = rules
        self._warmups = warmups
        self._uses = uses
        self._book = book
        self._layout = layout

    @property
    def public(self) -> Path:
        return self._public

    def refresh(self) -> None:
        """Make all as it is wanted now. A chore."""
        wanted = [*self._named, *self._asked()]
        wanted += self._most_used({each.repo for each in wanted})
        for repo in dict.fromkeys([each.repo for each in wanted] + [made.repo for made in self._book.all()]):
            try:
                self._see_to(repo, [each for each in wanted if each.repo == repo])
            except (DingospeedError, OSError) as error:
                log.warning("mount of %s: %s", repo, error)

    def mount(self, wanted: Wanted) -> Made:
        """Mount by command, as soon as all of it is held. Raises a Refusal when it must not be."""
        self._check_open(wanted)
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
            self._check_open(wanted)
            if not self._made(wanted.repo).snapshots:
                self._snapshot(wanted)
        except (DingospeedError, _NotYet):
            return False
        return True

    def _check_open(self, wanted: Wanted) -> None:
        """Raises a Refusal for what must not lie open, UpstreamError when that can not be told."""
        self._rules.check_served(wanted.repo)
        if wanted.restricted:
            return
        if not self._metadata.visibility(wanted.repo, _NODE).is_public:
            raise NotOpen(wanted.repo)

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
                self._check_open(wanted[0])
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
                except _NotYet as reason:
                    notes[each.revision] = str(reason)
            revisions = {each.revision for each in wanted}
            made = self._without_refs(made, [name for name in made.refs if name not in revisions])
            self._book.write(replace(made, notes=notes))

    def _put(self, made: Made, wanted: Wanted) -> Made:
        """*made* with the revision as it is now. Raises _NotYet."""
        folder = self._folder(made.repo)
        commit = self._commit(wanted)
        if commit in made.snapshots and hfcache.is_there(folder, wanted.revision, commit):
            self._mend(made, commit)
            return made
        snapshot = self._snapshot(wanted)
        if not made.snapshots and hfcache.is_foreign(folder):
            raise _NotYet(f"{folder} is there already, and not ours: move it away")
        # Remembered first: what a crash leaves behind is taken away like all else.
        made = replace(made, snapshots={**made.snapshots, commit: dict(snapshot.files)})
        self._book.write(made)
        try:
            copied = native.run(hfcache.publish, folder, snapshot, self._layout.sealed)
            if not is_commit(wanted.revision):
                hfcache.point(folder, wanted.revision, commit)
                made = replace(made, refs={**made.refs, wanted.revision: commit})
        except OSError as error:
            raise _NotYet(f"can not be put into {self._public}: {error.strerror}") from error
        log.info("%s %s is mounted at %s", made.repo, wanted.revision, commit[:12])
        return replace(made, copied_bytes=made.copied_bytes + copied)

    def _mend(self, made: Made, commit: str) -> None:
        etags = set(made.snapshots[commit].values())
        try:
            mended = native.run(hfcache.mend, self._folder(made.repo), etags, self._layout.sealed)
        except OSError as error:
            raise _NotYet(f"blobs of it can not be mended: {error.strerror}") from error
        if mended:
            log.warning("%d blobs in the mount of %s were lost or damaged, and are mended", mended, made.repo)

    def _commit(self, wanted: Wanted) -> str:
        """Raises _NotYet while it is not known."""
        repo, revision = wanted.repo, wanted.revision
        if wanted.restricted:
            # Nobody's right is at hand to ask with: it follows what others who may have learnt.
            commit = self._metadata.held_commit(repo, revision)
            if commit is None:
                raise _NotYet("nobody who may have it has asked for it yet: warm it up with a token")
            return commit
        try:
            return self._metadata.revision(repo, revision, _NODE).commit
        except Moved as move:
            raise _NotYet(f"it has moved to {move.to}") from move
        except DingospeedError as error:
            raise _NotYet(str(error)) from error

    def _snapshot(self, wanted: Wanted) -> Snapshot:
        """All files of the revision, which are held. Raises _NotYet when they are not."""
        commit = self._commit(wanted)
        tree = self._trees.held(wanted.repo, commit)
        missing = None if tree is None else self._missing(tree)
        if tree is None or missing:
            raise _NotYet(self._have_it_fetched(wanted, missing))
        files = {entry["path"]: file_of(tree.repo, commit, entry).blob.etag for entry in tree.files()}
        return Snapshot(commit, files)

    def _missing(self, tree: Tree) -> int:
        missing = 0
        for count, entry in enumerate(tree.files()):
            blob = file_of(tree.repo, tree.commit, entry).blob
            try:
                missing += self._layout.sealed(blob.etag).stat().st_size != blob.size
            except OSError:
                missing += 1
            if count % _LOOKS_AT_ONCE == 0:
                time.sleep(0)
        return missing

    def _have_it_fetched(self, wanted: Wanted, missing: int | None) -> str:
        """Begin a warm-up of what is wanted by name; what there is to say of it."""
        lacks = "it is not held" if missing is None else f"{missing} files are missing"
        if wanted.why == "use":
            return lacks
        wish = Wish(wanted.repo, wanted.revision)
        last = next((job for job in self._warmups.jobs.all() if job.wish == wish), None)
        if (
            last is not None
            and last.state in (State.FAILED, State.CANCELLED)
            and time.time() - last.changed_at < _AGAIN_S
        ):
            return f"{lacks}, and job {last.id} has {last.state.value} {last.reason}".rstrip()
        try:
            job, _ = self._warmups.begin(wish, _NODE, origin="mount")
        except DingospeedError as error:
            return f"{lacks}: {error}"
        return f"{lacks}, job {job.id} fetches it"

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
