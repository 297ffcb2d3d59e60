"""Which files a revision that is to be mounted has, once all of them are held here.

Only what everybody may have is mounted, unless somebody has said of this very repo that whoever reads
the directory may have it. What is wanted by name and not held is fetched by a warm-up.
"""

from __future__ import annotations

import time

from dingospeed.errors import DingospeedError, Moved, Refusal
from dingospeed.mirror.metadata import Metadata
from dingospeed.mirror.rules import RepoRules
from dingospeed.mirror.tree import Tree, file_of
from dingospeed.mirror.trees import Trees
from dingospeed.model import Caller, RepoRef
from dingospeed.store.hfcache import Snapshot
from dingospeed.store.layout import Layout
from dingospeed.upkeep.jobs import State, Wish
from dingospeed.upkeep.mountbook import Wanted
from dingospeed.upkeep.warmup import Warmups

# As whom the node looks at repos.
_NODE = Caller(None, "127.0.0.1")
_LOOKS_AT_ONCE = 64
# A warm-up that failed, or that somebody ended, is not begun again sooner.
_AGAIN_S = 3600.0


class NotOpen(Refusal):
    """Not everybody may have the repo."""

    def __init__(self, repo: RepoRef) -> None:
        super().__init__(f"{repo} is private or gated: whoever reads the directory would get it")


class NotYet(Exception):
    """Why a revision is not mounted, in words."""


class Snapshots:
    """Knows by *metadata* and *trees*; *warmups* fetch what is missing."""

    def __init__(
        self, *, metadata: Metadata, trees: Trees, rules: RepoRules, warmups: Warmups, layout: Layout
    ) -> None:
        self._metadata = metadata
        self._trees = trees
        self._rules = rules
        self._warmups = warmups
        self._layout = layout

    def check_open(self, wanted: Wanted) -> None:
        """Raises a Refusal for what must not lie open, UpstreamError when that can not be told."""
        self._rules.check_served(wanted.repo)
        if wanted.restricted:
            return
        if not self._metadata.visibility(wanted.repo, _NODE).is_public:
            raise NotOpen(wanted.repo)

    def commit(self, wanted: Wanted) -> str:
        """Raises NotYet while it is not known."""
        repo, revision = wanted.repo, wanted.revision
        if wanted.restricted:
            # Nobody's right is at hand to ask with: it follows what others who may have learnt.
            commit = self._metadata.held_commit(repo, revision)
            if commit is None:
                raise NotYet("nobody who may have it has asked for it yet: warm it up with a token")
            return commit
        try:
            return self._metadata.revision(repo, revision, _NODE).commit
        except Moved as move:
            raise NotYet(f"it has moved to {move.to}") from move
        except DingospeedError as error:
            raise NotYet(str(error)) from error

    def of(self, wanted: Wanted) -> Snapshot:
        """All files of the revision, which are held. Raises NotYet when they are not."""
        commit = self.commit(wanted)
        tree = self._trees.held(wanted.repo, commit)
        missing = None if tree is None else self._missing(tree)
        if tree is None or missing:
            raise NotYet(self._have_it_fetched(wanted, missing))
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
