"""Where everything lies under the cache directory. Paths are made here and nowhere else.

    blobs/<2 hex>/<etag>              sealed: exactly the content, nothing else
    blobs/<2 hex>/<etag>.partial      being filled (blockfile.py)
    api/<type>/<org>/<repo>/…         documents (documents.py)
    api/forwarded/<2 hex>/…           answers to questions of other kinds (shelf.py)
    jobs/<id>.json                    warm-up jobs
    mounts/<type>/<org>/<repo>/…      what was put into the public directory
    uses.json                         which repos are used most
    access/<type>/<org>/<repo>/…      remembered decisions about callers
    traffic/<hour>/<worker>.json      what was served, for a day (upkeep/traffic.py)
    disk.json                         how full the disk was, for a week (upkeep/diskhistory.py)
    alerts/                           what is wrong, and what webhooks were told of it
    pins/…                            repos that are never cleaned away (pins.py)
    group-pins.json                   what any node of the group keeps, as known last (upkeep/lastcopies.py)
    run/                              leases, rejections and nonces of this boot

Repo types, orgs and names come in as a RepoRef and etags as a Blob, both checked when
made; everything else that came from a request is quoted by `file_name`.
"""

from __future__ import annotations

import hashlib
import os
from functools import lru_cache
from pathlib import Path
from urllib.parse import quote

from dingospeed.errors import StoreError
from dingospeed.model import RepoRef

# A repo without an org needs a directory that no org can have.
_NO_ORG = "_"
_MAX_NAME_BYTES = 200
# To put a path together takes longer than to look what is there, and a few are asked for again and again.
_KEPT_PATHS = 4096


class Layout:
    """Paths under one cache directory."""

    def __init__(self, repos: Path) -> None:
        self.root = repos.absolute()
        self.blobs = self.root / "blobs"
        self.run = self.root / "run"
        self.traffic = self.root / "traffic"
        self.disk_history = self.root / "disk.json"
        self.group_pins = self.root / "group-pins.json"
        self.nonces = self.run / "nonces"
        self.usage = self.run / "usage.json"

    def prepare(self) -> None:
        """Make the directories. Raises StoreError when the place can not be written."""
        try:
            for directory in (self.blobs, self.run, self.root / "api", self.root / "access"):
                directory.mkdir(parents=True, exist_ok=True)
                if not os.access(directory, os.W_OK | os.X_OK):
                    raise PermissionError(f"not writable: {directory}")
        except OSError as error:
            raise StoreError(f"cache directory {self.root} can not be used: {error}") from error

    def sealed(self, etag: str) -> Path:
        return _joined(self.blobs, etag[:2], etag)

    def partial(self, etag: str) -> Path:
        return _joined(self.blobs, etag[:2], f"{etag}.partial")

    def stored(self, name: str) -> Path:
        """The file of this name in the tree of the blobs."""
        return self.blobs / name[:2] / name

    def api(self, repo: RepoRef, *names: str) -> Path:
        """A document about *repo*: ``api("trees", commit)``."""
        return _document(self.root, "api", repo, names)

    def shelf(self, name: str, digest: str) -> Path:
        """A document that is about no repo, by a hash in hex: ``shelf("forwarded", digest)``."""
        return self.root / "api" / name / digest[:2] / f"{digest}.json"

    def access(self, repo: RepoRef, *names: str) -> Path:
        return _document(self.root, "access", repo, names)

    def job(self, id: str) -> Path:
        return self.root / "jobs" / f"{file_name(id)}.json"

    def mount(self, repo: RepoRef) -> Path:
        return _document(self.root, "mounts", repo, ("mount",))

    @property
    def uses(self) -> Path:
        """Which repos are used most."""
        return self.root / "uses.json"

    def key(self, name: str) -> Path:
        """A secret of this cache's own; never shown."""
        return self.root / "keys" / file_name(name)

    def alerts(self, name: str) -> Path:
        """What is wrong with the node, and what each webhook was told of it."""
        return self.root / "alerts" / f"{file_name(name)}.json"

    def pin(self, name: str) -> Path:
        return self.root / "pins" / f"{file_name(name)}.json"

    def lease(self, key: str) -> Path:
        return _named(self.run, key)


@lru_cache(_KEPT_PATHS)
def _document(root: Path, kind: str, repo: RepoRef, names: tuple[str, ...]) -> Path:
    folder = root / kind / repo.type / (repo.org or _NO_ORG) / repo.name
    *folders, last = names
    return folder.joinpath(*map(file_name, folders), file_name(last) + ".json")


@lru_cache(_KEPT_PATHS)
def _named(folder: Path, text: str) -> Path:
    return folder / file_name(text)


@lru_cache(_KEPT_PATHS)
def _joined(folder: Path, *names: str) -> Path:
    return folder.joinpath(*names)


def file_name(text: str) -> str:
    """One safe path component for any text: quoted, or hashed where that gets too long."""
    quoted = quote(text, safe="")
    if len(quoted) > _MAX_NAME_BYTES:
        # No quoted text begins so: what follows a percent sign there is hex.
        return "%sha256-" + hashlib.sha256(text.encode()).hexdigest()
    # quote() leaves dots alone; a name of dots only would be a way out, and an empty one no name.
    return quoted if quoted.strip(".") else quoted.replace(".", "%2E") or "%"
