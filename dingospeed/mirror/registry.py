"""Models as Ollama and older llama.cpp ask for them: a manifest by tag, blobs by digest.

A manifest is the Hub's own, asked once per repo, tag and kind of agent, believed for `ttl_s`,
and served on while nobody answers. Its large layers are files of the repo and are served
from the very blobs that /resolve/ serves; small ones, such as the template, are made by the Hub,
fetched from its registry, and kept beside them under their sha256.

A digest is no right to anything: whoever asks for a blob must be allowed to have the files of
the repo they name, and the blob must be a file of that repo or be listed in a manifest of it.
"""

from __future__ import annotations

import json
import logging
import re
import time
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import quote

from dingospeed.errors import BadRequest, NoLine, Offline, Refusal, UpstreamError
from dingospeed.mirror.access import Access
from dingospeed.mirror.files import Files, OpenFile
from dingospeed.mirror.gguf import MANIFEST_TYPE, manifest_of
from dingospeed.mirror.metadata import DEFAULT_REVISION, Metadata
from dingospeed.mirror.records import Records
from dingospeed.mirror.together import PATIENCE_S, Together
from dingospeed.mirror.tree import file_of
from dingospeed.mirror.trees import Trees
from dingospeed.mirror.xet import without_xet
from dingospeed.model import Blob, Caller, FileMeta, RepoRef
from dingospeed.sources import hub
from dingospeed.sources import registry as layers
from dingospeed.sources.registry import BlobUnknown, Layer
from dingospeed.store.documents import Document
from dingospeed.upstream.lines import Lines
from dingospeed.upstream.refusals import refusal

log = logging.getLogger(__name__)

# llama.cpp is told which file of the repo is meant, others are not.
Agent = Literal["llama-cpp", "other"]
LLAMA_CPP: Agent = "llama-cpp"
OTHER: Agent = "other"

Manifest = dict[str, Any]

_FOLDER = "manifests"
# OCI distribution specification, "Pulling manifests".
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}\Z")
_DIGEST = re.compile(r"sha256:([0-9a-f]{64})\Z")
# How the Hub says that a repo has no such quantisation, or nothing for llama.cpp at all.
_NONE = (400, 404)


class ManifestUnknown(Refusal):
    """The repo has nothing that this tag could mean."""

    status = 404
    code = "EntryNotFound"

    def __init__(self, tag: str) -> None:
        super().__init__(f"No model in GGUF format for the tag {tag[:128]}")


@dataclass(frozen=True, slots=True)
class _Wanted:
    """One manifest."""

    repo: RepoRef
    tag: str
    agent: Agent

    @property
    def name(self) -> str:
        return f"{self.agent}:{self.tag}"

    def __str__(self) -> str:
        return f"{self.repo}:{self.tag} for {self.agent}"


class Registry:
    """Answers with manifests, kept in *records*, and opens their blobs by *files*."""

    def __init__(
        self,
        *,
        metadata: Metadata,
        trees: Trees,
        access: Access,
        files: Files,
        lines: Lines,
        records: Records,
        together: Together,
        ttl_s: float,
    ) -> None:
        self._metadata = metadata
        self._trees = trees
        self._access = access
        self._files = files
        self._lines = lines
        self._records = records
        self._together = together
        self._ttl_s = ttl_s

    def manifest(self, repo: RepoRef, tag: str, caller: Caller, *, agent: Agent) -> Manifest:
        """What *tag* of *repo* consists of; not to be changed.

        Raises Moved, ManifestUnknown, another Refusal, or UpstreamError.
        """
        if not _TAG.match(tag):
            raise BadRequest(f"Not a tag: {tag[:80]!r}")
        self._access.to_commit(repo, DEFAULT_REVISION, caller)
        self._access.to_files(repo, caller)
        wanted = _Wanted(repo, tag, agent)
        known = self._known(wanted)
        if known is not None and self._is_fresh(known):
            return _value(known)

        def ask() -> Manifest:
            # Who has an old answer does not queue for the new one.
            timeout_s = PATIENCE_S if known is None else 0
            with self._together.alone(f"manifest {wanted}", timeout_s=timeout_s) as is_alone:
                meanwhile = self._known(wanted)
                if meanwhile is not None and (self._is_fresh(meanwhile) or not is_alone):
                    return _value(meanwhile)
                return self._refreshed(wanted, caller)

        try:
            return self._together.ask(("manifest", wanted, caller.token), ask, caller)
        except UpstreamError as error:
            if known is None:
                made = self._made(wanted, caller)
                if made is None:
                    raise
                return made
            age_s = time.time() - known.written_at
            level = logging.DEBUG if isinstance(error, Offline) else logging.WARNING
            log.log(level, "%s: serving what was known %.0f s ago: %s", wanted, age_s, error)
            return _value(known)

    def open(self, repo: RepoRef, digest: str, caller: Caller) -> OpenFile:
        """The blob ``sha256:<hex>`` of *repo*, for *caller*.

        Raises Moved, BlobUnknown, another Refusal, or UpstreamError.
        """
        found = self._access.to_commit(repo, DEFAULT_REVISION, caller)
        visibility = self._access.to_files(repo, caller)
        meta = self._layer(repo, found.commit, digest, caller)
        return self._files.opened(
            meta,
            caller,
            is_restricted=not visibility.is_public,
            is_stale=found.is_stale,
            read=layers.read if isinstance(meta, Layer) else hub.read,
        )

    def _layer(self, repo: RepoRef, commit: str, digest: str, caller: Caller) -> FileMeta:
        match = _DIGEST.match(digest)
        if match is None:
            raise BlobUnknown(digest)
        sha256 = match[1]
        for tree in self._trees.all_held(repo):
            if sha256 in tree.lfs_files:
                return file_of(repo, tree.commit, tree.lfs_files[sha256])
        size = self._listed_size(repo, digest)
        try:
            entry = self._trees.get(repo, commit, caller).lfs_files.get(sha256)
            if entry is not None:
                return file_of(repo, commit, entry)
        except UpstreamError:
            if size is None:
                raise
        if size is None:
            raise BlobUnknown(digest)
        return Layer.of(repo, commit, Blob(sha256, size))

    def _listed_size(self, repo: RepoRef, digest: str) -> int | None:
        """The size that a manifest we know gives the layer *digest*; None when none lists it."""
        for document in self._records.all(repo, _FOLDER, is_right=is_manifest):
            for layer in _layers(_value(document)):
                if layer["digest"] == digest:
                    size: int = layer["size"]
                    return size
        return None

    def _known(self, wanted: _Wanted) -> Document | None:
        return self._records.read(wanted.repo, _FOLDER, wanted.name, is_right=is_manifest)

    def _refreshed(self, wanted: _Wanted, caller: Caller) -> Manifest:
        """The Hub's manifest of now, or where it has none one from the tree; kept."""
        try:
            manifest = self._ask(wanted, caller)
        except ManifestUnknown:
            self._records.delete(wanted.repo, _FOLDER, wanted.name)
            made = self._made(wanted, caller)
            if made is None:
                raise
            manifest = made
        self._records.write(wanted.repo, _FOLDER, wanted.name, value=manifest)
        return manifest

    def _ask(self, wanted: _Wanted, caller: Caller) -> Manifest:
        repo, tag = wanted.repo, wanted.tag
        headers = {"Accept": f"{MANIFEST_TYPE}, application/json"}
        if wanted.agent == LLAMA_CPP:
            headers["User-Agent"] = wanted.agent
        is_public = self._records.is_known_public(repo)
        line, answer = self._lines.ask(
            "GET",
            f"/v2/{repo.id}/manifests/{quote(tag, safe='')}",
            token=caller.token,
            headers=headers,
            # Who gets here may have it; of what was public when last looked at, only if it still is.
            needs_own_token=caller.is_anonymous and not is_public,
            expect="json",
        )
        if answer.status in _NONE:
            raise ManifestUnknown(tag)
        if 300 <= answer.status < 400:
            raise NoLine(f"line {line.name} redirects manifests of {repo} elsewhere")
        if answer.status != 200:
            raise refusal(answer.status, answer.headers, repo=repo)
        try:
            return checked(json.loads(answer.body))
        except ValueError as error:
            raise NoLine(f"line {line.name} answered something else than a manifest: {error}") from error

    def _made(self, wanted: _Wanted, caller: Caller) -> Manifest | None:
        """A manifest from the tree of the default branch; None when that can not be had or will not do."""
        if wanted.agent != LLAMA_CPP:
            return None
        try:
            commit = self._metadata.revision(wanted.repo, DEFAULT_REVISION, caller).commit
            return manifest_of(self._trees.get(wanted.repo, commit, caller), wanted.tag)
        except UpstreamError as error:
            log.debug("%s: no manifest from the tree: %s", wanted, error)
            return None

    def _is_fresh(self, document: Document) -> bool:
        return document.age_s < self._ttl_s


def checked(value: Any) -> Manifest:
    """*value* as a manifest without addresses or Xet. Raises ValueError when it is none.

    A layer may name ``urls`` to fetch it from (OCI image specification, descriptors); any
    address would lead past this mirror.
    """
    manifest = _without_addresses(without_xet(value))
    if not is_manifest(manifest):
        raise ValueError(f"not a manifest: {str(value)[:200]}")
    checked: Manifest = manifest
    return checked


def is_manifest(value: Any) -> bool:
    """Whether all layers of *value* have a digest and a size."""
    return (
        isinstance(value, dict)
        and isinstance(value.get("layers"), list)
        and all(map(_is_layer, _layers(value)))
    )


def _layers(manifest: Manifest) -> list[Any]:
    """The layers, and the configuration, which is one in all but name."""
    config = manifest.get("config")
    return [*manifest["layers"], *([config] if config is not None else [])]


def _is_layer(value: Any) -> bool:
    if not isinstance(value, dict) or not isinstance(value.get("digest"), str):
        return False
    return _DIGEST.match(value["digest"]) is not None and _is_size(value.get("size"))


def _is_size(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _without_addresses(value: Any) -> Any:
    if isinstance(value, dict):
        kept = {key: _without_addresses(inner) for key, inner in value.items()}
        return {key: inner for key, inner in kept.items() if not (isinstance(inner, str) and "://" in inner)}
    if isinstance(value, list):
        return [_without_addresses(one) for one in value if not (isinstance(one, str) and "://" in one)]
    return value


def _value(document: Document) -> Manifest:
    manifest: Manifest = document.value
    return manifest
