"""A file asked for by name, opened: what it is, whether the caller may have it, how to read it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

from dingospeed.download.filling import Source
from dingospeed.download.reader import Reader
from dingospeed.mirror.access import Access
from dingospeed.mirror.rules import RepoRules
from dingospeed.mirror.trees import Trees
from dingospeed.model import Blob, Caller, FileMeta, Piece, RepoRef, Span
from dingospeed.sources import hub
from dingospeed.sources.chain import Pacing, ReadLine, at_once
from dingospeed.store.blobs import Blobs

# Is told which repo is used, and by whom.
OnOpen = Callable[[RepoRef, Caller], None]


@dataclass(frozen=True, slots=True)
class OpenFile:
    """A file that its caller may have.

    *cache*: HIT when all of it is held, PEER when it is not but another node has it all, FILL when a part
    is, MISS when nothing is, STALE when it is held but the word for its commit may be out of date.
    *may_resume* is False while a client may hold wrong bytes of it, which a right rest would complete.
    """

    meta: FileMeta
    cache: str
    may_resume: bool
    _read: Callable[[Span], Iterator[Piece]]
    _hand_over: Callable[[Span], bool]

    def read(self, span: Span) -> Iterator[Piece]:
        """As Reader.read."""
        return self._read(span)

    def hand_over(self, span: Span) -> bool:
        """Whether the blob is sealed here, for another program to send *span* of it; counts as a read."""
        return self._hand_over(span)


class Sources(Protocol):
    """Where files come from: chain.Chain, in a group nearest.Nearest."""

    def source(
        self,
        meta: FileMeta,
        *,
        token: str | None,
        is_restricted: bool,
        read: ReadLine = ...,
        pace: Pacing = ...,
    ) -> Source:
        """Of *meta*, for a caller with *token*; *read* gets it over a line, no faster than *pace* lets it."""

    def is_near(self, blob: Blob) -> bool:
        """Whether all of *blob* is to be had without the outside."""


class Files:
    """Opens files for callers. *on_open* hears of each, *on_read* of each that is read from its beginning."""

    def __init__(
        self,
        *,
        trees: Trees,
        access: Access,
        reader: Reader,
        sources: Sources,
        blobs: Blobs,
        rules: RepoRules,
        on_open: OnOpen = lambda repo, caller: None,
        on_read: Callable[[Blob], None] = lambda blob: None,
    ) -> None:
        self._trees = trees
        self._access = access
        self._reader = reader
        self._sources = sources
        self._blobs = blobs
        self._rules = rules
        self._on_open = on_open
        self._on_read = on_read

    def open(self, repo: RepoRef, revision: str, path: str, caller: Caller) -> OpenFile:
        """The file at *path*, for *caller*.

        Raises Moved, a Refusal, or UpstreamError. Permission comes before existence: who may
        not have the files does not learn which there are.
        """
        found = self._access.to_commit(repo, revision, caller)
        visibility = self._access.to_files(repo, caller)
        meta = self._trees.file(repo, found.commit, path, caller)
        self._on_open(repo, caller)
        return self.opened(meta, caller, is_restricted=not visibility.is_public, is_stale=found.is_stale)

    def opened(
        self,
        meta: FileMeta,
        caller: Caller,
        *,
        is_restricted: bool,
        is_stale: bool,
        read: ReadLine = hub.read,
        pace: Pacing = at_once,
    ) -> OpenFile:
        """*meta*, which *caller* may have: that has been decided before.

        *read* gets it over a line; what comes from outside comes no faster than *pace* lets it.
        """
        token = caller.token
        source = self._sources.source(meta, token=token, is_restricted=is_restricted, read=read, pace=pace)
        is_kept = self._rules.is_kept(meta.repo)
        held = self._blobs.held_bytes(meta.blob)
        if not is_kept and held < meta.blob.size:
            held = 0  # What others keep of it is not looked at before it is complete.
        cache = "HIT" if held == meta.blob.size else "FILL" if held else "MISS"
        if is_stale and cache == "HIT":
            cache = "STALE"
        elif cache != "HIT" and self._sources.is_near(meta.blob):
            cache = "PEER"
        may_resume = self._blobs.rejections(meta.blob) == 0

        def note(span: Span) -> None:
            if not span.start:
                self._on_read(meta.blob)

        def read_here(span: Span) -> Iterator[Piece]:
            note(span)
            return self._reader.read(meta.blob, span, source, is_kept=is_kept)

        def hand_over(span: Span) -> bool:
            is_here = self._blobs.keep_use(meta.blob)
            if is_here:
                note(span)
            return is_here

        return OpenFile(meta, cache, may_resume, read_here, hand_over)
