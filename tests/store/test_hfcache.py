"""The cache folder of the Hub's clients, made and unmade."""

import errno
import hashlib
import os

import pytest
from huggingface_hub import scan_cache_dir

from dingospeed.model import RepoRef
from dingospeed.store import hfcache
from dingospeed.store.hfcache import Snapshot

REPO = RepoRef("models", "org", "name")
COMMITS = ["1" * 40, "2" * 40]


@pytest.fixture
def cache(tmp_path):
    return Cache(tmp_path)


class Cache:
    """Sealed blobs, and a folder they are mounted in."""

    def __init__(self, root):
        self.blobs = root / "blobs"
        self.blobs.mkdir()
        self.public = root / "public"
        self.folder = self.public / hfcache.folder_name(REPO)

    def seal(self, content):
        etag = hashlib.sha256(content).hexdigest()
        self.sealed(etag).write_bytes(content)
        self.sealed(etag).chmod(0o640)
        return etag

    def sealed(self, etag):
        return self.blobs / etag

    def snapshot(self, commit, **files):
        return Snapshot(commit, {path.replace("__", "/"): self.seal(text) for path, text in files.items()})

    def publish(self, snapshot, revision="main"):
        copied = hfcache.publish(self.folder, snapshot, self.sealed)
        hfcache.point(self.folder, revision, snapshot.commit)
        return copied

    def files(self):
        return {
            str(path.relative_to(self.folder)): path.read_bytes()
            for path in (self.folder / "snapshots").rglob("*")
            if path.is_file()
        }


def test_publish__two_snapshots__as_the_client_itself_lays_them_out(cache):
    first = cache.snapshot(COMMITS[0], a=b"one", dir__b=b"same")
    second = cache.snapshot(COMMITS[1], a=b"two", dir__b=b"same")

    assert cache.publish(first) == 0
    assert cache.publish(second) == 0

    assert cache.files() == {
        f"snapshots/{COMMITS[0]}/a": b"one",
        f"snapshots/{COMMITS[0]}/dir/b": b"same",
        f"snapshots/{COMMITS[1]}/a": b"two",
        f"snapshots/{COMMITS[1]}/dir/b": b"same",
    }
    scanned = scan_cache_dir(cache.public)
    assert scanned.warnings == []
    (repo,) = scanned.repos
    assert repo.repo_id == "org/name"
    assert {revision.commit_hash: sorted(revision.refs) for revision in repo.revisions} == {
        COMMITS[0]: [],
        COMMITS[1]: ["main"],
    }


@pytest.mark.parametrize("error", [errno.EXDEV, errno.EMLINK, errno.EPERM])
def test_publish__no_links_to_be_had__copies_and_says_what_it_cost(cache, monkeypatch, error):
    def refuse(*_):
        raise OSError(error, os.strerror(error))

    snapshot = cache.snapshot(COMMITS[0], a=b"copied" * 100)
    monkeypatch.setattr(os, "link", refuse)

    copied = cache.publish(snapshot)

    # Nothing, where the file system can share blocks.
    assert copied in (0, 600)
    assert cache.files() == {f"snapshots/{COMMITS[0]}/a": b"copied" * 100}
    (blob,) = (cache.folder / "blobs").iterdir()
    assert blob.stat().st_mode & 0o777 == 0o444
    assert blob.stat().st_nlink == 1


def test_publish__a_blob_is_gone__nothing_appears(cache):
    snapshot = cache.snapshot(COMMITS[0], a=b"here", b=b"gone")
    cache.sealed(snapshot.files["b"]).unlink()

    with pytest.raises(FileNotFoundError):
        cache.publish(snapshot)

    assert list((cache.folder / "snapshots").iterdir()) == []


def test_publish__in_spite_of_a_strict_umask__everybody_can_read(cache):
    before = os.umask(0o077)
    try:
        cache.publish(cache.snapshot(COMMITS[0], dir__a=b"one"), "refs/pr/1")
    finally:
        os.umask(before)

    for path in (cache.folder, *cache.folder.rglob("*")):
        assert path.stat().st_mode & 0o777 == (0o755 if path.is_dir() else 0o444), path
    assert (cache.folder / "refs" / "refs" / "pr" / "1").read_text() == COMMITS[0]


def test_withdraw__all__nothing_is_left_and_the_cache_is_as_before(cache):
    snapshot = cache.snapshot(COMMITS[0], dir__deep__a=b"one", b=b"two")
    cache.publish(snapshot, "refs/pr/1")

    hfcache.drop_refs(cache.folder, {"refs/pr/1": COMMITS[0]})
    hfcache.withdraw(cache.folder, {COMMITS[0]: dict(snapshot.files)}, cache.sealed)

    assert not cache.folder.exists()
    assert {path.stat().st_mode & 0o777 for path in cache.blobs.iterdir()} == {0o640}
    assert len(list(cache.blobs.iterdir())) == 2


def test_withdraw__a_link_that_is_not_ours_and_a_ref_that_was_changed__stay(cache):
    snapshot = cache.snapshot(COMMITS[0], a=b"one")
    cache.publish(snapshot)
    link = cache.folder / "snapshots" / COMMITS[0] / "a"
    link.unlink()
    link.symlink_to("/etc/hostname")
    (cache.folder / "refs" / "main").unlink()
    (cache.folder / "refs" / "main").write_text(COMMITS[1])

    hfcache.drop_refs(cache.folder, {"main": COMMITS[0]})
    hfcache.withdraw(cache.folder, {COMMITS[0]: dict(snapshot.files)}, cache.sealed)

    assert str(link.readlink()) == "/etc/hostname"
    assert (cache.folder / "refs" / "main").read_text() == COMMITS[1]


def test_mend__a_blob_was_repaired_in_the_cache_and_one_lost_in_the_mount__both_are_right_again(cache):
    snapshot = cache.snapshot(COMMITS[0], a=b"damaged", b=b"lost", c=b"fine")
    cache.publish(snapshot)
    a, b, c = (snapshot.files[name] for name in "abc")
    fine = (cache.folder / "blobs" / c).stat().st_ino
    cache.sealed(a).rename(cache.sealed(f"{a}.damaged-1"))
    cache.sealed(a).write_bytes(b"right")
    (cache.folder / "blobs" / b).unlink()

    mended = hfcache.mend(cache.folder, snapshot.files.values(), cache.sealed)

    assert mended == 2
    assert cache.files()[f"snapshots/{COMMITS[0]}/a"] == b"right"
    assert (cache.folder / "blobs" / a).samefile(cache.sealed(a))
    assert (cache.folder / "blobs" / b).samefile(cache.sealed(b))
    assert (cache.folder / "blobs" / c).stat().st_ino == fine
    assert hfcache.mend(cache.folder, snapshot.files.values(), cache.sealed) == 0
