"""Everything that stands around the mirror while it is measured: the Hub, its CDN, files, other servers.

The Hub is the fake one; its CDN is nginx with real files, so that upstream is never what is slow.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dingospeed.testing import FakeHub, Generated, Repo
from dingospeed.testing.repos import Commit
from tests.bench.load import Processes, Server
from tests.bench.servers import Nginx, Olah
from tests.harness import Mirror
from tests.nginx import nginx_before

MIB, GIB = 1 << 20, 1 << 30
SEGMENT_MIB, READ_AHEAD = 16, 12
UNLIMITED = 1_000_000_000
# As users have it, and not as the tests do: of those come the settings that are not named here.
SETTINGS: dict[str, dict[str, Any]] = {
    "server": {"workers": 2},
    "upstream": {"timeouts": {"connect_s": 5, "read_s": 9}},
    "download": {"block_bytes": MIB, "segment_blocks": SEGMENT_MIB, "read_ahead": READ_AHEAD},
}


@dataclass(frozen=True, slots=True)
class Hollow(Generated):
    """Zeros, as a sparse file has them. Too many to be hashed: its name is made up and never checked."""

    def sha256(self) -> str:
        return f"{self.seed:064x}"


@dataclass(frozen=True, slots=True)
class Remote:
    """A file of the Hub: its *path* there, and at the CDN, which is at nginx as well."""

    path: str
    cdn_path: str
    etag: str


class StagedHub(FakeHub):
    """The fake Hub; files come from *nginx*, unless that is None: then from its own CDN, faults and all."""

    nginx: Nginx | None = None

    @property
    def cdn_url(self) -> str:
        return self.nginx.url if self.nginx is not None else super().cdn_url


class Stage:
    """Made once for all cases; what a case needs more it makes itself."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.files = folder / "files"
        self.files.mkdir()
        self.hub = StagedHub()
        for bucket in ("api", "resolvers"):
            self.hub.rate_limits.set(bucket, UNLIMITED)
        self.hub.start()
        self.cdn = Nginx(folder / "cdn", self.files)
        self.nginx = Nginx(folder / "nginx", self.files)
        self.hub.nginx = self.cdn
        self._made = 0
        self._crowded: Mirror | None = None

    def close(self) -> None:
        self.hub.stop()
        self.cdn.stop()
        self.nginx.stop()

    # --- files -------------------------------------------------------------------

    def repo(self, id: str) -> Repo:
        return self.hub.content.repos.get(("models", id)) or self.hub.add_repo("models", id)

    def add(self, repo_id: str, files: Mapping[str, bytes | Generated]) -> dict[str, Remote]:
        """Put *files* into one commit of a repo; the generated ones at the CDN, too."""
        repo = self.repo(repo_id)
        commit = repo.at(repo.commit(files))
        return {path: self._remote(repo, commit, path, content) for path, content in files.items()}

    def _remote(self, repo: Repo, commit: Commit, path: str, content: bytes | Generated) -> Remote:
        entry = commit.entries[path]
        on_disk = self.files / entry.xet_hash
        if not on_disk.exists():
            with on_disk.open("wb") as file:
                if isinstance(content, Hollow):
                    file.truncate(content.size)
                else:
                    for piece in entry.payload.pieces(0, entry.size):
                        file.write(piece)
        at_cdn = f"/xet-bridge-us/{repo.object_id}/{entry.xet_hash}"
        return Remote(f"{repo.address}/resolve/main/{path}", at_cdn, entry.etag)

    @contextmanager
    def linked(self, mirror: Mirror, file: Remote) -> Iterator[str]:
        """The path at nginx of the very file *mirror* holds: a copy would lie elsewhere in the page cache."""
        name = f"{file.etag}-{mirror.folder.name}"
        (self.files / name).hardlink_to(mirror.repos / "blobs" / file.etag[:2] / file.etag)
        try:
            yield f"/{name}"
        finally:
            (self.files / name).unlink()

    # --- servers -----------------------------------------------------------------

    @contextmanager
    def mirror(self, **settings: Mapping[str, Any]) -> Iterator[tuple[Mirror, Server]]:
        """A mirror with an empty cache of its own, changed from SETTINGS by *settings*."""
        mirror = self._new_mirror(settings)
        try:
            mirror.start()
            yield mirror, self.server_of(mirror)
        finally:
            mirror.stop()
            shutil.rmtree(mirror.folder)

    @contextmanager
    def crowded(self, crowd: Callable[[Path], None]) -> Iterator[Mirror]:
        """A mirror whose cache *crowd* has filled, not running. It takes long: the next case gets it, too."""
        mirror = self._crowded
        if mirror is None:
            mirror = self._crowded = self._new_mirror({})
            crowd(mirror.repos)
        try:
            yield mirror
        finally:
            mirror.stop()

    def _new_mirror(self, settings: Mapping[str, Mapping[str, Any]]) -> Mirror:
        merged = {name: {**values, **settings.get(name, {})} for name, values in SETTINGS.items()}
        lines = [{"url": self.hub.url, "hub": True}]
        return Mirror(self._new_folder("mirror"), lines, {**settings, **merged})

    @staticmethod
    def server_of(mirror: Mirror) -> Server:
        """As it runs now: a mirror that was restarted has other processes."""
        return Server(mirror.url, Processes((mirror.process.pid,)))

    @contextmanager
    def nginx_before(self, mirror: Mirror) -> Iterator[Server]:
        """*mirror* behind an nginx with conf/nginx.conf, which sends what is complete by itself."""
        folder = self._new_folder("before")
        with nginx_before(mirror, folder / "nginx", workers=2) as nginx:
            yield Server(nginx.url, Processes((nginx.pid, mirror.process.pid)))
        shutil.rmtree(folder)

    @contextmanager
    def tls_cdn(self) -> Iterator[Nginx]:
        """The same files over TLS; the Hub leads there meanwhile."""
        cdn = Nginx(self._new_folder("tls") / "cdn", self.files, has_tls=True)
        self.hub.nginx = cdn
        try:
            yield cdn
        finally:
            self.hub.nginx = self.cdn
            cdn.stop()

    @contextmanager
    def olah(self) -> Iterator[Olah]:
        folder = self._new_folder("olah")
        olah = Olah(folder / "olah", self.hub.url)
        try:
            yield olah
        finally:
            olah.stop()
            shutil.rmtree(folder, ignore_errors=True)

    def _new_folder(self, what: str) -> Path:
        self._made += 1
        folder = self.folder / f"{what}{self._made}"
        folder.mkdir()
        return folder


def forget_blobs(mirror: Mirror) -> None:
    """Make the cache cold again, and the disk idle; what is known of repos stays."""
    for path in (mirror.repos / "blobs").glob("??/*"):
        path.unlink()
    os.sync()
