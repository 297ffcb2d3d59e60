"""What the documents name: every etag of every size of document, and nothing twice wrong."""

import json

import pytest

from dingospeed.mirror import held as module
from dingospeed.mirror.held import Held
from tests.cache import COMMIT, Cache, content, etag_of

CONTENTS = {f"folder/{number}.bin": content(10 + number, number) for number in range(50)}


@pytest.fixture
def cache(tmp_path):
    return Cache(tmp_path / "repos")


@pytest.fixture
def held(cache):
    return Held(cache.layout)


@pytest.fixture(params=[1, 7, 100, 1 << 20])
def chunk(request, monkeypatch):
    """Documents are read in pieces of so many bytes."""
    monkeypatch.setattr(module, "_CHUNK", request.param)


def test_etags__document_read_in_pieces__none_is_missed(cache, held, chunk):
    repo = cache.repo("org/model", CONTENTS)

    assert {etag_of(each) for each in CONTENTS.values()} <= set(held.etags(repo))


def test_files__document_read_in_pieces__all_are_told(cache, held, chunk):
    repo = cache.repo("org/model", CONTENTS)

    found = {file.path: (file.blob.etag, file.blob.size) for file in held.files(repo, COMMIT)}

    assert found == {path: (etag_of(each), len(each)) for path, each in CONTENTS.items()}


def test_files__listing_damaged_in_the_middle__those_before_are_told(cache, held):
    repo = cache.repo("org/model", CONTENTS)
    path = cache.layout.api(repo, "trees", COMMIT)
    path.write_bytes(path.read_bytes()[:1000])

    assert 0 < len(list(held.files(repo, COMMIT))) < len(CONTENTS)


def test_etags__manifests_and_lfs_objects__count(cache, held):
    repo = cache.repo("org/model", {})
    for folder, name, value in (
        ("manifests", "ollama:latest", {"layers": [{"digest": f"sha256:{'a' * 64}", "size": 1}]}),
        ("lfs", "b" * 64, {"size": 1}),
    ):
        path = cache.layout.api(repo, folder, name)
        path.parent.mkdir()
        path.write_text(json.dumps(value))

    assert {"a" * 64, "b" * 64} <= set(held.etags(repo))


def test_etags_at__branch__are_those_of_its_commit(cache, held):
    repo = cache.repo("org/model", {"a": b"a"})
    cache.repo("org/model", {"b": b"b"}, commit="2" * 40, revision="refs/pr/1")

    assert etag_of(b"b") in set(held.etags_at(repo, "refs/pr/1"))
    assert etag_of(b"a") not in set(held.etags_at(repo, "refs/pr/1"))
    assert list(held.etags_at(repo, "unknown")) == []


def test_repos__of_all_types_and_none_besides__are_found(cache, held):
    expected = [
        cache.repo("gpt2", {}),
        cache.repo("org/model", {}),
        cache.repo("org/data", {}, type="datasets"),
    ]
    (cache.root / "api" / "forwarded" / "ab").mkdir(parents=True)
    (cache.root / "api" / "models" / "org" / ".hidden").mkdir()

    assert sorted(held.repos(), key=str) == sorted(expected, key=str)


def test_names__some_etags__each_with_a_file_that_has_it(cache, held):
    cache.repo("org/model", {"a": b"a", "b": b"b"})
    wanted = {etag_of(b"b"), "f" * 64}

    assert {etag: file.path for etag, file in held.names(wanted).items()} == {etag_of(b"b"): "b"}
