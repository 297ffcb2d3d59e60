"""A cache made by hand: repos, their documents, and of their files as much as a test wants."""

import hashlib
import json
import os
import random
import time

from dingospeed.model import Blob, RepoRef, Span
from dingospeed.store.blobs import Blobs
from dingospeed.store.layout import Layout

COMMIT = "1" * 40


class Cache:
    """Of one folder. Contents are named; the same name is the same content."""

    def __init__(self, root):
        self.layout = Layout(root)
        self.layout.prepare()

    @property
    def root(self):
        return self.layout.root

    def repo(self, id, files, *, type="models", commit=COMMIT, revision="main"):
        """Documents of a repo whose *files* are {path: content}; nothing of its content is here yet."""
        repo = RepoRef.parse(type, id)
        entries = [{"type": "directory", "oid": "d" * 40, "size": 0, "path": "folder"}]
        for path, content in files.items():
            etag = etag_of(content)
            entries.append(
                {
                    "type": "file",
                    "oid": hashlib.sha1(content).hexdigest(),
                    "size": len(content),
                    "path": path,
                    "lfs": {"oid": etag, "size": len(content), "pointerSize": 130},
                }
            )
        self._write(self.layout.api(repo, "trees", commit), entries)
        self._write(self.layout.api(repo, "infos", commit), {"sha": commit})
        self._write(self.layout.api(repo, "revisions", revision), {"revision": revision, "commit": commit})
        self._write(self.layout.api(repo, "visibility"), {"private": False, "gated": False, "id": "x"})
        return repo

    def blob(self, content, *, unused=0.0, age=None):
        """*content*, complete; last used and arrived so many seconds ago. Its etag."""
        etag = etag_of(content)
        path = self.layout.sealed(etag)
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)
        self.age(path, unused=unused, age=age)
        return etag

    def half_filled(self, content, *, held):
        """The first *held* bytes of *content*, whole blocks of 64 KiB."""
        blob = Blob(etag_of(content), len(content))
        blobs = Blobs(layout=self.layout, block_bytes=65_536)
        file = blobs.open_partial(blob, segment_blocks=8)
        assert file is not None
        with file:
            file.write(content[:held], 0)
            file.mark(Span(0, held))
        return blob

    def age(self, path, *, unused, age=None):
        now = time.time()
        arrived = now - (unused if age is None else age)
        os.utime(path, (now - unused, arrived))

    def leftover(self, name, *, unused):
        path = self.layout.stored(name)
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"x" * 5000)
        self.age(path, unused=unused)
        return path

    def blobs(self):
        return {path.name for path in self.layout.blobs.glob("??/*")}

    def files(self):
        """Every file below, with its size and time: what a command may have changed."""
        paths = (path for path in self.root.rglob("*") if path.is_file())
        return {str(path): (path.stat().st_size, path.stat().st_mtime_ns) for path in paths}

    def _write(self, path, value):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(value, separators=(",", ":")))


def etag_of(content):
    return hashlib.sha256(content).hexdigest()


def content(size, seed):
    return random.Random(seed).randbytes(size)
