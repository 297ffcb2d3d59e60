"""What was made of repos in the public directory, remembered: exactly that is taken away again."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Literal

from pydantic import TypeAdapter, ValidationError

from dingospeed.errors import StoreError, StoreFull
from dingospeed.flight.leases import Leases
from dingospeed.model import RepoRef
from dingospeed.store.documents import Documents
from dingospeed.store.layout import Layout

log = logging.getLogger(__name__)

Why = Literal["settings", "command", "use"]

_PATIENCE_S = 30.0


@dataclass(frozen=True, slots=True)
class Wanted:
    """A *repo* at a *revision*; *restricted*: although it is private or gated."""

    repo: RepoRef
    revision: str
    why: Why
    restricted: bool = False


@dataclass(frozen=True, slots=True)
class Made:
    """What was made for a *repo*: its refs, and its snapshots with their files by path.

    *asked* are the revisions that commands want, *notes* say by revision why one is not there.
    """

    repo: RepoRef
    asked: tuple[str, ...] = ()
    restricted: bool = False
    refs: dict[str, str] = field(default_factory=dict)
    snapshots: dict[str, dict[str, str]] = field(default_factory=dict)
    notes: dict[str, str] = field(default_factory=dict)
    copied_bytes: int = 0


_MADE: TypeAdapter[Made] = TypeAdapter(Made)


class MountBook:
    """A document for each repo, shared by all workers of the node."""

    def __init__(self, *, documents: Documents, layout: Layout, leases: Leases) -> None:
        self._documents = documents
        self._layout = layout
        self._leases = leases

    def all(self) -> list[Made]:
        paths = (self._layout.root / "mounts").glob("*/*/*/mount.json")
        made = (self._parsed(path) for path in sorted(paths))
        return [one for one in made if one is not None]

    def get(self, repo: RepoRef) -> Made | None:
        """None when nothing was ever made or asked."""
        return self._parsed(self._layout.mount(repo))

    def write(self, made: Made) -> None:
        """Raises StoreFull."""
        if made == self.get(made.repo):
            return
        if not self._documents.write(self._layout.mount(made.repo), asdict(made)):
            raise StoreFull(f"no space to remember what is mounted of {made.repo}")

    def forget(self, repo: RepoRef) -> None:
        self._documents.delete(self._layout.mount(repo))

    @contextmanager
    def alone(self, repo: RepoRef) -> Iterator[None]:
        """Nobody else makes or takes away anything of *repo* meanwhile. Raises StoreError."""
        lease = self._leases.acquire(f"mount {repo}", timeout_s=_PATIENCE_S)
        if lease is None:
            raise StoreError(f"others mount and unmount {repo} all the time")
        with lease:
            yield

    def _parsed(self, path: Path) -> Made | None:
        document = self._documents.read(path)
        if document is None:
            return None
        try:
            return _MADE.validate_python(document.value)
        except ValidationError:
            log.error("%s is not what it should be, not used", path)
            return None
