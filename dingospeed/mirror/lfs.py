"""git-lfs: objects named by their sha256, from the same store as files.

An oid is no right to anything: whoever asks must be allowed to have the files of the repo they
name, and the object must be that repo's. It is when a tree of it held here lists it, when that was
found out before, or when the Hub's own batch gives it, which knows the whole history.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from dingospeed.errors import Refusal, UpstreamError
from dingospeed.mirror import shapes
from dingospeed.mirror.access import Access
from dingospeed.mirror.files import Files, OpenFile
from dingospeed.mirror.records import Records
from dingospeed.mirror.tree import file_of
from dingospeed.mirror.trees import Trees
from dingospeed.model import Blob, Caller, FileMeta, RepoRef
from dingospeed.sources import hub
from dingospeed.sources.lfs import LfsObject, LfsObjects, ObjectNotFound
from dingospeed.store.blobs import Blobs
from dingospeed.upstream.lines import Line, Lines

_FOLDER = "lfs"


@dataclass(frozen=True, slots=True)
class Promise:
    """Whether an object asked for can be had: *code* is 0, else an HTTP status with a *message*."""

    blob: Blob
    code: int = 0
    message: str = ""


class Lfs:
    """Answers git-lfs. Objects in no tree held here are found and read by *objects*."""

    def __init__(
        self,
        *,
        access: Access,
        trees: Trees,
        files: Files,
        objects: LfsObjects,
        lines: Lines,
        blobs: Blobs,
        records: Records,
    ) -> None:
        self._access = access
        self._trees = trees
        self._files = files
        self._objects = objects
        self._lines = lines
        self._blobs = blobs
        self._records = records

    def batch(self, repo: RepoRef, wanted: Sequence[Blob], caller: Caller) -> list[Promise]:
        """Which of the *wanted* objects can be had, in their order.

        Raises Moved, a Refusal, or UpstreamError when nothing can be said about any of them.
        """
        visibility = self._access.to_files(repo, caller)
        known = {blob.etag: self._known(repo, blob.etag) for blob in wanted}
        unknown = [blob for blob in wanted if known[blob.etag] is None]
        found: set[str] | None = set()
        if unknown:
            try:
                found = self._find(repo, unknown, caller, is_restricted=not visibility.is_public)
            except UpstreamError:
                if len(unknown) == len(wanted):
                    raise
                found = None
        return [self._promise(blob, known[blob.etag], found) for blob in wanted]

    def open(self, repo: RepoRef, oid: str, size: int | None, caller: Caller) -> OpenFile:
        """The object *oid*, whose pointer says that it has *size* bytes.

        Raises Moved, ObjectNotFound, another Refusal, or UpstreamError.
        """
        visibility = self._access.to_files(repo, caller)
        is_restricted = not visibility.is_public
        meta = self._known(repo, oid)
        if meta is None:
            if size is None:
                raise ObjectNotFound(oid)
            blob = Blob(oid, size)
            self._check_size(repo, blob, caller, is_restricted=is_restricted)
            self._records.write(repo, _FOLDER, oid, value={"size": size})
            meta = LfsObject.of(repo, blob)
        read = self._objects.read if isinstance(meta, LfsObject) else hub.read
        return self._files.opened(meta, caller, is_restricted=is_restricted, is_stale=False, read=read)

    def _known(self, repo: RepoRef, oid: str) -> FileMeta | None:
        """The object, if it is known here to be one of *repo*."""
        for tree in self._trees.all_held(repo):
            entry = tree.lfs_files.get(oid)
            if entry is not None:
                return file_of(repo, tree.commit, entry)
        document = self._records.read(repo, _FOLDER, oid, is_right=shapes.is_object)
        return LfsObject.of(repo, Blob(oid, document.value["size"])) if document is not None else None

    def _promise(self, blob: Blob, known: FileMeta | None, found: set[str] | None) -> Promise:
        if known is None and found is None:
            return Promise(blob, 503, "The mirror can not reach the source of this right now.")
        if known is None and found is not None and blob.etag not in found:
            return Promise(blob, 404, "Object does not exist in this repo.")
        if known is not None and known.blob.size != blob.size:
            return Promise(blob, 422, "The object has another size.")
        if self._lines.is_offline and self._blobs.held_bytes(blob) < blob.size:
            return Promise(blob, 503, "This mirror is offline and does not hold this object.")
        return Promise(blob)

    def _find(self, repo: RepoRef, blobs: Sequence[Blob], caller: Caller, *, is_restricted: bool) -> set[str]:
        def one(line: Line) -> set[str] | None:
            try:
                return set(self._objects.find(line, repo, blobs, caller.token))
            except Refusal:
                if _is_withheld(line, caller):
                    return None
                raise

        return self._lines.first(one, has_token=caller.token is not None, is_restricted=is_restricted)

    def _check_size(self, repo: RepoRef, blob: Blob, caller: Caller, *, is_restricted: bool) -> None:
        """Raises ObjectNotFound unless *repo* has *blob*, and in that size.

        A Hub may say yes to an oid with any size, and a blob of a wrong one would be in the way of the right.
        """
        if not blob.size:
            if blob != EMPTY:
                raise ObjectNotFound(blob.etag)
            return

        def one(line: Line) -> int | None:
            try:
                return self._objects.size(line, repo, blob, caller.token)
            except Refusal:
                if _is_withheld(line, caller):
                    return None
                raise

        size = self._lines.first(one, has_token=caller.token is not None, is_restricted=is_restricted)
        if size != blob.size:
            raise ObjectNotFound(blob.etag)


EMPTY = Blob("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855", 0)


def _is_withheld(line: Line, caller: Caller) -> bool:
    """Whether the line was not shown the token: then its "no" is no answer."""
    return caller.token is not None and not line.is_hub
