"""What would happen to a request, and why: read from what lies here. Nobody is asked, nothing is changed."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Any

from dingospeed.errors import Forbidden
from dingospeed.mirror import shapes
from dingospeed.mirror.access import Access
from dingospeed.mirror.decisions import Standing
from dingospeed.mirror.held import Held
from dingospeed.mirror.rules import RepoRules
from dingospeed.model import Caller, FileMeta, RepoRef, is_commit
from dingospeed.store.blobs import Blobs
from dingospeed.store.documents import Document
from dingospeed.store.layout import Layout


class Bearing(Enum):
    """What a finding means for the request."""

    FINE = "fine"
    # It can be answered if somebody outside answers.
    ASKS = "asks"
    REFUSED = "refused"


_STANDINGS = {
    Standing.ALLOWED: ("the caller was let in a moment ago", Bearing.FINE),
    Standing.TRUSTED: (
        "the caller was let in before: asked anew, and let in on trust while nobody answers",
        Bearing.FINE,
    ),
    Standing.DENIED: ("the caller was refused a moment ago", Bearing.REFUSED),
    Standing.TOKENLESS: ("the caller shows no token", Bearing.REFUSED),
    Standing.UNKNOWN: ("nothing is known of the caller", Bearing.ASKS),
}


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at: *about* what, what it *says*, and its *bearing*."""

    about: str
    says: str
    bearing: Bearing = Bearing.FINE


@dataclass(frozen=True, slots=True)
class Asked:
    """What a URL asks for; no *path*: for the repo or its list of files."""

    repo: RepoRef
    revision: str
    path: str | None
    caller: Caller


class Explain:
    """Looks at everything that decides about a request, in the order in which it is looked at for one."""

    def __init__(
        self,
        *,
        layout: Layout,
        rules: RepoRules,
        access: Access,
        blobs: Blobs,
        ttl_s: float,
        is_offline: bool,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._layout = layout
        self._held = Held(layout)
        self._rules = rules
        self._access = access
        self._blobs = blobs
        self._ttl_s = ttl_s
        self._is_offline = is_offline
        self._clock = clock

    def findings(self, asked: Asked) -> list[Finding]:
        """One for each thing looked at; those after a refusal do not matter any more and are left out."""
        found: list[Finding] = []
        for look in (self._rule, self._name, self._revision, self._permission, self._file, self._content):
            finding = look(asked)
            if finding is not None:
                found.append(finding)
            if finding is not None and finding.bearing is Bearing.REFUSED:
                break
        return found

    def _rule(self, asked: Asked) -> Finding:
        try:
            self._rules.check_served(asked.repo)
        except Forbidden as refusal:
            return Finding("rules", f"{refusal} (access.allow, access.deny)", Bearing.REFUSED)
        kept = "its files are kept" if self._rules.is_kept(asked.repo) else "its files are passed through"
        return Finding("rules", f"{asked.repo} is served, {kept}")

    def _name(self, asked: Asked) -> Finding | None:
        moved = self._document(asked.repo, "moved", shapes.is_move)
        if moved is None or not (self._is_fresh(moved) or self._is_offline):
            return None
        return Finding("name", f"redirected: the repo is called {moved.value['to']} now")

    def _revision(self, asked: Asked) -> Finding:
        repo, revision = asked.repo, asked.revision
        if is_commit(revision):
            if self._document(repo, "infos", shapes.is_info, revision) is not None:
                return Finding("revision", f"commit {revision[:12]} is known here")
            return Finding("revision", f"commit {revision[:12]} is not known here", Bearing.ASKS)
        word = self._document(repo, "revisions", shapes.is_word, revision)
        if word is None:
            return Finding("revision", f"{revision} is not known here", Bearing.ASKS)
        says = f"{revision} was {word.value['commit'][:12]} at {_clock_text(word.written_at)}"
        if self._is_fresh(word):
            return Finding("revision", f"{says}, which is still believed")
        return Finding("revision", f"{says}; asked anew, and served as it was while nobody answers")

    def _permission(self, asked: Asked) -> Finding:
        seen = self._document(asked.repo, "visibility", shapes.is_visibility)
        if seen is None:
            return Finding("permission", "whether the repo is public is not known here", Bearing.ASKS)
        kind = "private" if seen.value["private"] else "gated" if seen.value["gated"] else "public"
        if kind == "public":
            return Finding("permission", f"the repo was public at {_clock_text(seen.written_at)}")
        says, bearing = _STANDINGS[self._access.standing(asked.repo, asked.caller)]
        if bearing is Bearing.ASKS and self._is_offline:
            bearing = Bearing.REFUSED
        return Finding("permission", f"the repo is {kind}; {says}", bearing)

    def _file(self, asked: Asked) -> Finding | None:
        if asked.path is None:
            return None
        commit = self._held.commit(asked.repo, asked.revision)
        if commit is None or commit not in self._held.commits(asked.repo):
            return Finding("file", "the list of files of this commit is not here", Bearing.ASKS)
        file = self._meta(asked)
        if file is None:
            return Finding("file", f"there is no {asked.path} at {commit[:12]}", Bearing.REFUSED)
        return Finding("file", f"{asked.path} is {file.blob.etag[:12]}, {file.blob.size} bytes")

    def _content(self, asked: Asked) -> Finding | None:
        file = self._meta(asked)
        if file is None:
            return None
        held, size = self._blobs.peek(file.blob), file.blob.size
        if held == size:
            return Finding("content", "all of it is here")
        return Finding(
            "content", f"{held} of {size} bytes are here" if held else "nothing of it is here", Bearing.ASKS
        )

    def _meta(self, asked: Asked) -> FileMeta | None:
        commit = self._held.commit(asked.repo, asked.revision)
        if asked.path is None or commit is None:
            return None
        files = self._held.files(asked.repo, commit)
        return next((file for file in files if file.path == asked.path), None)

    def _document(
        self, repo: RepoRef, folder: str, is_right: Callable[[Any], bool], *names: str
    ) -> Document | None:
        """As shapes.kept; but a damaged one is left where it is."""
        path = self._layout.api(repo, folder, *names)
        try:
            value, status = json.loads(path.read_bytes()), path.stat()
        except (OSError, ValueError):
            return None
        return Document(value, status.st_mtime) if is_right(value) else None

    def _is_fresh(self, document: Document) -> bool:
        return abs(self._clock() - document.written_at) < self._ttl_s


def _clock_text(at: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(at))
