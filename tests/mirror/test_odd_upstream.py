"""Upstream answers in shapes that no Hub has: a failure of the outside, and nothing is believed or kept."""

import threading

import pytest

from dingospeed.errors import (
    BadRequest,
    EntryNotFound,
    Forbidden,
    Moved,
    NoLine,
    RateLimited,
    RepoNotFound,
    UpstreamError,
)
from dingospeed.mirror.metadata import Metadata
from dingospeed.mirror.trees import Trees
from dingospeed.model import Caller, RepoRef

REPO, ANYBODY = RepoRef("models", "org", "name"), Caller(None)
COMMIT, OTHER_COMMIT, SHA1, SHA256 = "c" * 40, "d" * 40, "1" * 40, "2" * 64
INFO = {"_id": "1", "sha": COMMIT, "private": False, "gated": False, "siblings": []}
FILE = {"type": "file", "path": "a.txt", "size": 3, "oid": SHA1}


@pytest.mark.parametrize(
    "info", [[], None, 7, "x", {}, {"sha": None}, {"sha": 7}, {"sha": "c" * 39}, {**INFO, "sha": "C" * 40}]
)
def test_revision__info_without_a_commit__is_a_failure_and_not_kept(lines, layout, metadata, info):
    lines.answers("", info)

    with pytest.raises(UpstreamError):
        metadata.revision(REPO, "main", ANYBODY)
    assert not list(layout.root.rglob("*.json"))


def test_revision__commit_asked__answer_about_another__is_a_failure(lines, metadata):
    lines.answers("", {**INFO, "sha": OTHER_COMMIT})

    with pytest.raises(NoLine):
        metadata.revision(REPO, COMMIT, ANYBODY)


@pytest.mark.parametrize("text", ["", "<html>", "{", "[" * 100_000, '{"a":' * 100_000])
def test_revision__no_json__is_a_failure(lines, metadata, text):
    lines.answers("", text=text)

    with pytest.raises(UpstreamError):
        metadata.revision(REPO, "main", ANYBODY)


@pytest.mark.parametrize(
    ("status", "error"),
    [(400, BadRequest), (403, Forbidden), (404, RepoNotFound), (302, NoLine), (204, NoLine)],
)
def test_revision__status__is_what_it_says(lines, metadata, status, error):
    lines.answers("", {}, status=status)

    with pytest.raises(error):
        metadata.revision(REPO, "main", ANYBODY)


@pytest.mark.parametrize(
    ("told", "is_public"),
    [
        ({}, True),
        ({"private": "false"}, False),
        ({"private": None}, False),
        ({"private": 0}, False),
        ({"gated": "auto"}, False),
        ({"gated": ["x"]}, False),
        ({"gated": None}, True),
    ],
)
def test_visibility__oddly_told__is_public_only_if_that_is_said(lines, metadata, told, is_public):
    lines.answers("", {**INFO, **told})

    assert metadata.visibility(REPO, ANYBODY).is_public == is_public


@pytest.mark.parametrize(
    "location",
    [
        "",
        "//evil.org/api/models/org/new/revision/mai",
        "/login?next=x",
        "/api/models/../x/revision/main",
        "/api/models/org/name/revision/main",
        "/api/models/a/b/c/revision/main",
        "http://[/",
        "/api/datasets/o/n/revision/main",
    ],
)
def test_redirect__to_no_repo__is_a_failure(lines, metadata, location):
    lines.answers("", {}, status=307, headers={"Location": location})

    with pytest.raises(NoLine):
        metadata.revision(REPO, "main", ANYBODY)


@pytest.mark.parametrize("revision", ["main", "refs/pr/1"])
def test_redirect__to_another_name__is_followed_by_the_client(lines, metadata, revision):
    lines.answers("", {}, status=307, headers={"Location": f"/api/models/org/new/revision/{revision}"})

    with pytest.raises(Moved) as caught:
        metadata.revision(REPO, revision, ANYBODY)
    assert caught.value.to == "org/new"


@pytest.mark.parametrize(
    "listing",
    [
        {},
        None,
        7,
        [7],
        [[]],
        [{}],
        [{"path": 7}],
        [{**FILE, "path": ""}],
        [{**FILE, "path": "../x"}],
        [{**FILE, "path": "a/../../x"}],
        [{**FILE, "path": "/etc/passwd"}],
        [{**FILE, "path": "a\0b"}],
        [{**FILE, "lfs": 7}],
        [{**FILE, "lfs": {"oid": 7}}],
    ],
)
def test_tree__not_of_entries__is_a_failure_and_not_kept(lines, layout, trees, listing):
    lines.answers("", listing)

    with pytest.raises(NoLine):
        trees.get(REPO, COMMIT, ANYBODY)
    assert not list(layout.root.rglob("*.json"))


@pytest.mark.parametrize(
    "entry",
    [
        {**FILE, "size": "3"},
        {**FILE, "size": -1},
        {**FILE, "size": None},
        {**FILE, "oid": "1" * 39},
        {**FILE, "oid": None},
        {**FILE, "oid": "A" * 40},
        {**FILE, "lfs": {"oid": "*" * 64, "size": 3}},
        {**FILE, "lfs": {"oid": SHA256}},
    ],
)
def test_file__without_identity__is_a_failure_and_never_not_found(lines, trees, entry):
    lines.answers("", [entry])

    with pytest.raises(UpstreamError):
        trees.file(REPO, COMMIT, "a.txt", ANYBODY)


def test_file__listed_twice__is_one(lines, trees):
    lines.answers("", [FILE, {**FILE, "oid": "3" * 40}])

    assert trees.file(REPO, COMMIT, "a.txt", ANYBODY).blob.etag in (SHA1, "3" * 40)


def test_tree__pages_without_end__is_a_failure(lines, trees, monkeypatch):
    monkeypatch.setattr("dingospeed.mirror.trees._MAX_PAGES", 5)
    lines.answers("", [FILE], headers={"Link": '<http://x/api?cursor=same>; rel="next"'})

    with pytest.raises(UpstreamError):
        trees.get(REPO, COMMIT, ANYBODY)
    assert len(lines.asked) == 5


def test_tree__next_page_elsewhere__is_asked_here(lines, trees):
    lines.answers("", [FILE], headers={"Link": '<https://evil.org/other?cursor=b>; rel="next"'})
    lines.answers("cursor=b", [{**FILE, "path": "b.txt"}])

    trees.get(REPO, COMMIT, ANYBODY)

    assert lines.asked[1] == f"/api/models/org/name/tree/{COMMIT}?cursor=b"


def test_look_up__listing_takes_long__the_one_file_is_asked_for(lines, parts):
    trees = Trees(**parts, wait_s=0.5)
    gate = threading.Event()
    lines.fails("/tree/", lambda: NoLine("late") if gate.wait(30) else NoLine("never"))
    lines.answers("/paths-info/", [FILE])

    assert trees.file(REPO, COMMIT, "a.txt", ANYBODY).blob.etag == SHA1
    lines.answers("/paths-info/", [])
    with pytest.raises(EntryNotFound):
        trees.file(REPO, COMMIT, "b.txt", ANYBODY)
    lines.answers("/paths-info/", {"error": "x"})
    with pytest.raises(NoLine):
        trees.file(REPO, COMMIT, "c.txt", ANYBODY)
    gate.set()


@pytest.mark.parametrize("error", [NoLine("timed out"), RateLimited("a", 60)])
def test_look_up__listing_breaks_off__the_one_file_is_asked_for(lines, trees, error):
    lines.fails("/tree/", error)
    lines.answers("/paths-info/", [FILE])

    assert trees.file(REPO, COMMIT, "a.txt", ANYBODY).blob.etag == SHA1


@pytest.mark.parametrize("refs", [[], None, {}, {"branches": 7}])
def test_refs__of_another_shape__are_a_failure_and_not_kept(lines, metadata, refs):
    lines.answers("", INFO)
    metadata.revision(REPO, "main", ANYBODY)
    lines.answers("/refs", refs)

    found = metadata.refs(REPO, ANYBODY, has_pull_requests=False)

    assert found["branches"] == [{"name": "main", "ref": "refs/heads/main", "targetCommit": COMMIT}]


def test_revision__nobody_answers_any_more__serves_what_was_known(lines, parts, absences):
    metadata = Metadata(**parts, absences=absences, ttl_s=0)
    lines.answers("", INFO)
    metadata.revision(REPO, "main", ANYBODY)
    lines.fails("", NoLine())

    found = metadata.revision(REPO, "main", ANYBODY)

    assert (found.commit, found.is_stale) == (COMMIT, True)
    assert metadata.revision(REPO, COMMIT, ANYBODY).is_stale is False
