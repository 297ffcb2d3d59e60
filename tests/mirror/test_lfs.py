"""Which objects a repo has, and who says so."""

import pytest

from dingospeed.config import Line, Settings
from dingospeed.errors import NoLine, Refusal
from dingospeed.mirror.lfs import EMPTY
from dingospeed.model import Blob, Caller, RepoRef
from dingospeed.services import connect
from dingospeed.sources.lfs import ObjectNotFound
from dingospeed.testing import FakeHub, Generated

REPO, CALLER = RepoRef("models", "org", "name"), Caller(None, "127.0.0.1")
BIG, OLD = Generated(1_200_000, seed=3), Generated(1_100_000, seed=4)
UNKNOWN = Blob("0" * 64, 7)


@pytest.fixture
def hub():
    with FakeHub() as hub:
        repo = hub.add_repo("models", "org/name")
        repo.commit({"big.bin": OLD})
        repo.commit({"big.bin": BIG, "a.txt": b"a"})
        yield hub


@pytest.fixture
def mirror(hub, tmp_path):
    settings = Settings()
    changed = {
        "cache": settings.cache.model_copy(update={"repos": tmp_path / "repos"}),
        "upstream": settings.upstream.model_copy(update={"lines": (Line(name="a", url=hub.url, hub=True),)}),
    }
    return connect(settings.model_copy(update=changed)).mirror


@pytest.fixture
def big(hub):
    return Blob(hub.content.repo("models", "org/name").sha256("big.bin"), BIG.size)


@pytest.fixture
def old(hub):
    repo = hub.content.repo("models", "org/name")
    return Blob(repo.sha256("big.bin", repo.at("main").parent.sha), OLD.size)


def hold_tree(mirror):
    mirror.repos.listing(REPO, "main", "", CALLER, is_recursive=True, limit=None, cursor=None)


def codes(mirror, *blobs):
    return [promise.code for promise in mirror.lfs.batch(REPO, blobs, CALLER)]


def content(opened):
    return sum(len(piece) for piece in opened.read(opened.meta.blob.whole))


def test_batch__nothing_held__the_hub_is_asked_once_for_all(hub, mirror, big, old):
    assert codes(mirror, big, UNKNOWN, old) == [0, 404, 0]
    assert hub.count(route="info/lfs/objects/batch") == 1


def test_batch__in_a_tree_that_is_held__nobody_is_asked(hub, mirror, big):
    hold_tree(mirror)
    hub.reset_counters()

    assert codes(mirror, big) == [0]
    assert hub.calls == []


def test_batch__upstream_gone__known_ones_are_answered(hub, mirror, big, old):
    hold_tree(mirror)
    hub.stop()

    assert codes(mirror, big, old) == [0, 503]
    with pytest.raises(NoLine):
        codes(mirror, old)


def test_open__in_a_held_tree__comes_as_that_file(hub, mirror, big):
    hold_tree(mirror)

    opened = mirror.lfs.open(REPO, big.etag, None, CALLER)

    assert (opened.meta.path, content(opened)) == ("big.bin", BIG.size)
    assert hub.count(route="info/lfs/objects/batch") == 0


def test_open__of_an_older_commit__comes_from_where_the_batch_says_and_is_remembered(hub, mirror, old):
    hold_tree(mirror)

    assert content(mirror.lfs.open(REPO, old.etag, old.size, CALLER)) == OLD.size
    hub.stop()
    assert mirror.lfs.open(REPO, old.etag, None, CALLER).cache == "HIT"
    assert codes(mirror, old) == [0]


def test_open__unknown_or_of_no_size__is_not_found(mirror, big):
    for oid, size in ((UNKNOWN.etag, 7), (big.etag, None), (big.etag, BIG.size + 1), (big.etag, 0)):
        with pytest.raises(ObjectNotFound):
            mirror.lfs.open(REPO, oid, size, CALLER)


def test_open__the_empty_object__is_empty(mirror):
    opened = mirror.lfs.open(REPO, EMPTY.etag, 0, CALLER)

    assert opened.meta.blob == EMPTY


def test_batch__object_of_another_repo__is_not_this_ones(hub, mirror, big):
    hold_tree(mirror)
    hub.add_repo("models", "org/other").commit({"a.txt": b"a"})
    other = RepoRef("models", "org", "other")

    assert [promise.code for promise in mirror.lfs.batch(other, [big], CALLER)] == [404]
    with pytest.raises(ObjectNotFound):
        mirror.lfs.open(other, big.etag, big.size, CALLER)


def test_batch__repo_closed_meanwhile__known_objects_are_closed_too(hub, mirror, big):
    hub.content.repo("models", "org/name").private = True

    with pytest.raises(Refusal):
        codes(mirror, big)
