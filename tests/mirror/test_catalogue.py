import json
import os

import pytest

from dingospeed.mirror import catalogue
from dingospeed.mirror.catalogue import Catalogue
from dingospeed.model import Blob, RepoRef
from dingospeed.store.layout import Layout

OLD, NEW = "a" * 40, "b" * 40
LFS, SMALL = Blob("1" * 64, 5000), Blob("2" * 40, 300)


@pytest.fixture
def layout(tmp_path):
    layout = Layout(tmp_path)
    layout.prepare()
    return layout


@pytest.fixture
def listed(layout, monkeypatch):
    """The catalogue, which looks each time."""
    monkeypatch.setattr(catalogue, "_NAMES_TTL_S", 0)
    monkeypatch.setattr(catalogue, "_NAMES_REST", 0)
    monkeypatch.setattr(catalogue, "_SHOWN_TTL_S", 0)
    return Catalogue(layout=layout)


def write(path, value, *, at=None):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, separators=(",", ":")))
    if at is not None:
        os.utime(path, (at, at))
        os.utime(path.parent, (at, at))


def entry(path, blob):
    if blob.is_lfs:
        lfs = {"oid": blob.etag, "size": blob.size}
        return {"type": "file", "path": path, "size": blob.size, "oid": "9" * 40, "lfs": lfs}
    return {"type": "file", "path": path, "size": blob.size, "oid": blob.etag}


def keep_tree(layout, name, commit=NEW, entries=(), *, at=None):
    repo = RepoRef.parse(*name.split("/", 1))
    write(layout.api(repo, "trees", commit), list(entries), at=at)
    return repo


def keep_blob(layout, blob, *, used_at):
    path = layout.sealed(blob.etag)
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(b"x" * blob.size)
    os.utime(path, (used_at, 0))


def names(screenful):
    return [str(row.repo) for row in screenful.rows]


def test_search__for_nothing__lists_all_the_latest_first(layout, listed):
    keep_tree(layout, "models/gpt2", at=300)
    keep_tree(layout, "datasets/org/rows", at=500)
    keep_tree(layout, "models/Org/b", at=400)

    assert names(listed.search("")) == ["datasets/org/rows", "models/Org/b", "models/gpt2"]
    assert names(listed.search("", order="name")) == ["datasets/org/rows", "models/gpt2", "models/Org/b"]
    assert listed.count() == 3


@pytest.mark.parametrize(
    ("text", "found"),
    [("ROWS", ["datasets/org/rows"]), ("org data", ["datasets/org/rows"]), ("org model", []), ("gpt2 x", [])],
)
def test_search__for_words__finds_names_with_all_of_them(layout, listed, text, found):
    keep_tree(layout, "models/gpt2")
    keep_tree(layout, "datasets/org/rows")

    assert names(listed.search(text)) == found


def test_search__of_many__shows_a_screenful_and_looks_into_no_other(layout, listed, monkeypatch):
    monkeypatch.setattr(catalogue, "_SORTED_AT_ONCE", 4)
    for number in range(30):
        keep_tree(layout, f"models/org/m{number:02}", at=1000 - number)
    looked = []
    monkeypatch.setattr(catalogue, "_measured", lambda layout, repo: looked.append(repo.name))

    screenful = listed.search("", start=10, count=5)

    assert (screenful.found, screenful.start) == (30, 10)
    assert looked == ["m10", "m11", "m12", "m13", "m14"]


def test_search__behind_the_end__shows_nothing(layout, listed):
    keep_tree(layout, "models/org/model")

    assert names(listed.search("", start=25)) == []


def test_search__with_folders_that_are_no_repos__lists_repos_only(layout, listed):
    write(layout.shelf("forwarded", "f" * 64), {})
    write(layout.api(RepoRef("models", "org", "asked"), "visibility"), {"private": False, "gated": False})
    (layout.root / "api" / "models" / "org" / ".hidden").mkdir()
    keep_tree(layout, "models/org/model")

    assert names(listed.search("")) == ["models/org/model"]


def test_search__asked_again_at_once__looks_at_no_disk(layout):
    held = Catalogue(layout=layout)
    keep_tree(layout, "models/org/first")
    assert held.count() == 1

    keep_tree(layout, "models/org/second")

    assert held.count() == 1


def test_show__of_a_repo__counts_what_lies_here(layout, listed):
    entries = [
        entry("a.bin", LFS),
        entry("copy.bin", LFS),
        entry("b.txt", SMALL),
        {"type": "directory", "path": "d"},
    ]
    repo = keep_tree(layout, "models/org/model", entries=entries)
    write(layout.api(repo, "revisions", "main"), {"commit": NEW})
    write(layout.api(repo, "revisions", "refs/pr/1"), {"commit": NEW})
    keep_blob(layout, LFS, used_at=1000)

    snapshot = listed.show(repo).snapshots[0]

    assert (snapshot.files, snapshot.files_held) == (2, 1)
    assert (snapshot.size_bytes, snapshot.held_bytes) == (5300, 5000)
    assert snapshot.revisions == ("main", "refs/pr/1")
    assert snapshot.used_at == 1000
    assert not snapshot.is_complete


def test_show__of_a_repo_whose_blobs_are_here__is_complete(layout, listed):
    repo = keep_tree(layout, "models/org/model", entries=[entry("a.bin", LFS), entry("b.txt", SMALL)])
    keep_blob(layout, LFS, used_at=1000)
    keep_blob(layout, SMALL, used_at=2000)

    shown = listed.show(repo)

    assert shown.snapshots[0].is_complete
    assert shown.used_at == 2000


def test_show__of_a_blob_that_is_being_filled__counts_what_it_takes_and_never_all(layout, listed):
    repo = keep_tree(layout, "models/org/model", entries=[entry("a.bin", LFS)])
    partial = layout.partial(LFS.etag)
    partial.parent.mkdir()
    partial.write_bytes(b"x" * 8192)

    snapshot = listed.show(repo).snapshots[0]

    assert 0 < snapshot.held_bytes < LFS.size
    assert snapshot.files_held == 0


def test_show__of_several_commits__has_the_default_branch_first(layout, listed):
    repo = keep_tree(layout, "models/org/model", OLD, [entry("b.txt", SMALL)], at=100)
    keep_tree(layout, "models/org/model", NEW, at=200)
    assert [snapshot.commit for snapshot in listed.show(repo).snapshots] == [NEW, OLD]

    write(layout.api(repo, "revisions", "main"), {"commit": OLD})

    assert [snapshot.commit for snapshot in listed.show(repo).snapshots] == [OLD, NEW]


@pytest.mark.parametrize("text", ["", "nonsense", "[{", '{"a":1}', "[1,2"])
def test_show__of_a_damaged_tree__shows_the_others(layout, listed, text):
    repo = keep_tree(layout, "models/org/model", OLD)
    layout.api(repo, "trees", NEW).write_text(text)

    assert [snapshot.commit for snapshot in listed.show(repo).snapshots] == [OLD]


def test_show__of_identities_that_were_kept_back__counts_the_rest(layout, listed):
    masked = {"type": "file", "path": "a.bin", "size": 9, "oid": "*" * 64}
    repo = keep_tree(layout, "models/org/model", entries=[masked, entry("b.txt", SMALL)])

    assert listed.show(repo).snapshots[0].files == 1


def test_show__of_what_is_not_held__is_none(listed):
    assert listed.show(RepoRef("models", "org", "model")) is None
