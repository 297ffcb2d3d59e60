import hashlib
from urllib.parse import quote

import pytest

from dingospeed.testing import File, Generated
from tests.testing import shapes
from tests.testing.shapes import assert_shape

SMALL = b'{"a": 1}\n'
BIG_PATH = "nested/big.bin"


@pytest.fixture
def about_big(hub, repo):
    entry = repo.entry(BIG_PATH)
    sha = repo.at("main").sha
    return {"sha": sha, "sha256": entry.sha256, "xet": entry.xet_hash, "size": entry.size, "cdn": hub.cdn_url}


@pytest.fixture
def about_small(repo):
    names = {"path": "config.json", "quoted": "config.json", "name": "config.json"}
    return {"sha": repo.at("main").sha, "blob_id": repo.etag("config.json"), **names}


@pytest.fixture
def private(hub):
    repo = hub.add_repo("models", "org/secret", private=True)
    repo.commit({"config.json": SMALL, "big.bin": Generated(2_000_000)})
    repo.grant("alice")
    return repo


@pytest.mark.parametrize("method", ["HEAD", "GET"])
def test_resolve__lfs_file__redirects_to_the_cdn_as_the_hub_does(ask, about_big, method):
    answer = ask(f"/org/name/resolve/main/{BIG_PATH}", method=method)

    assert answer.status_code == 302
    assert_shape(answer.headers, shapes.TO_THE_CDN, **about_big)


def test_resolve__lfs_file__says_in_the_body_where_to_go(ask, repo):
    answer = ask(f"/org/name/resolve/main/{BIG_PATH}")

    assert answer.text == "Found. Redirecting to " + answer.headers["Location"]


def test_resolve__head__has_the_length_of_the_body_and_no_body(ask, repo):
    head = ask("/org/name/resolve/main/config.json", method="HEAD")
    whole = ask("/org/name/resolve/main/config.json")

    assert head.content == b""
    assert head.headers["Content-Length"] == whole.headers["Content-Length"] == str(len(whole.content))


@pytest.mark.parametrize("method", ["HEAD", "GET"])
def test_resolve__small_public_file__redirects_to_the_cache_as_the_hub_does(ask, about_small, method):
    answer = ask("/org/name/resolve/main/config.json", method=method)

    assert answer.status_code == 307
    assert_shape(answer.headers, shapes.TO_THE_CACHE, **about_small)


@pytest.mark.parametrize("method", ["HEAD", "GET"])
def test_resolve_cache__small_public_file__answers_as_the_hub_does(ask, about_small, method):
    location = ask("/org/name/resolve/main/config.json", method="HEAD").headers["Location"]

    answer = ask(location, method=method)

    assert answer.status_code == 200
    assert_shape(answer.headers, shapes.IN_THE_CACHE, **about_small)
    assert answer.content == (SMALL if method == "GET" else b"")


@pytest.mark.parametrize("method", ["HEAD", "GET"])
def test_resolve__small_private_file__answers_directly_as_the_hub_does(ask, private, method):
    facts = {"sha": private.at("main").sha, "blob_id": private.etag("config.json"), "name": "config.json"}

    answer = ask("/org/secret/resolve/main/config.json", method=method, token="hf_alice")

    assert answer.status_code == 200
    assert_shape(answer.headers, shapes.DIRECT, **facts)
    assert answer.content == (SMALL if method == "GET" else b"")


def test_resolve__trace_id_sent__is_part_of_the_request_id(ask, repo):
    answer = ask("/org/name/resolve/main/config.json", headers={"X-Amzn-Trace-Id": "my-trace"})

    assert answer.headers["X-Request-Id"].endswith(";my-trace")


def test_resolve__followed_to_the_cdn__gives_the_bytes(ask, repo):
    body = ask(f"/org/name/resolve/main/{BIG_PATH}", follow=True).content

    assert body == repo.content(BIG_PATH)
    assert hashlib.sha256(body).hexdigest() == repo.sha256(BIG_PATH)


@pytest.mark.parametrize(
    "path",
    ["empty.txt", "nested/a/deep.txt", "with space + #1%.txt", "grüße/世界.txt", 'quo"te\\.txt'],
)
def test_resolve__any_name__gives_the_bytes(hub, ask, path):
    repo = hub.add_repo("datasets", "org/names")
    repo.commit({path: path.encode() if path != "empty.txt" else b""})
    quoted = quote(path)

    answer = ask(f"/datasets/org/names/resolve/main/{quoted}", follow=True)

    assert answer.status_code == 200
    assert answer.content == repo.content(path)
    assert answer.headers["ETag"] == f'"{repo.etag(path)}"'


def test_resolve__name_beyond_ascii__is_told_in_utf_8_and_in_ascii(hub, ask):
    hub.add_repo("models", "org/names").commit({"d/grüße.txt": b"x"})

    answer = ask("/org/names/resolve/main/d/gr%C3%BC%C3%9Fe.txt")

    told = "inline; filename*=UTF-8''gr%C3%BC%C3%9Fe.txt; filename=\"gr??e.txt\";"
    assert answer.headers["Content-Disposition"] == told


@pytest.mark.parametrize(
    "revision",
    [
        "main",
        "HEAD",
        "v1",
        "refs%2Fpr%2F1",
        "refs/pr/1",
        "refs%2Fconvert%2Fparquet",
        "refs/convert/parquet",
        "a%2Fb",
    ],
)
def test_resolve__every_way_to_name_a_revision__finds_the_commit(ask, repo, revision):
    sha = repo.commit({"config.json": b"newer"})
    repo.tag("v1", sha)
    repo.branch("a/b", sha)
    repo.pull_request(1, sha)
    repo.convert("parquet", sha)

    for asked in (revision, sha, sha[:8]):
        answer = ask(f"/org/name/resolve/{asked}/config.json", follow=True)
        assert (answer.headers["X-Repo-Commit"], answer.content) == (sha, b"newer")


@pytest.mark.parametrize(
    ("type", "prefix"), [("models", ""), ("datasets", "datasets/"), ("spaces", "spaces/")]
)
def test_resolve__each_type_and_ids_of_one_segment__are_found(hub, ask, type, prefix):
    for id in ("gpt2", "org/name"):
        hub.add_repo(type, id).commit({"f": type.encode()})

        assert ask(f"/{prefix}{id}/resolve/main/f", follow=True).content == type.encode()


def test_resolve__former_name__redirects_to_the_new_one_and_keeps_the_query(hub, ask, repo):
    hub.move("models", "old", "older/name")
    hub.move("models", "older/name", "org/name")

    answer = ask("/old/resolve/refs%2Fpr%2F1/a%20b?download=true")

    assert answer.status_code == 307
    assert answer.headers["Location"] == "/org/name/resolve/refs%2Fpr%2F1/a%20b?download=true"


def test_resolve__wrong_capitals__redirects_to_the_right_ones(ask, repo):
    answer = ask("/Org/Name/resolve/main/config.json")

    assert (answer.status_code, answer.headers["Location"]) == (307, "/org/name/resolve/main/config.json")


def test_resolve__xet_info_wanted__answers_json_with_the_facts_in_headers(ask, repo):
    accept = {"Accept": "application/vnd.xet-fileinfo+json, */*", "Range": "bytes=0-0"}

    answer = ask(f"/org/name/resolve/main/{BIG_PATH}", headers=accept)

    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == "application/vnd.xet-fileinfo+json"
    assert answer.headers["X-Linked-Size"] == "3000000"
    assert answer.headers["X-Xet-Hash"] == answer.json()["hash"] == repo.entry(BIG_PATH).xet_hash
    assert 'rel="xet-auth"' in answer.headers["Link"]


def test_resolve__xet_info_of_a_small_file_wanted__redirects_as_ever(ask, repo):
    accept = {"Accept": "application/vnd.xet-fileinfo+json, */*"}

    assert ask("/org/name/resolve/main/config.json", headers=accept).status_code == 307


def test_resolve__asked_by_ollama__redirects_with_307(ask, repo):
    answer = ask(f"/org/name/resolve/main/{BIG_PATH}", headers={"User-Agent": "ollama/0.9 (amd64 linux)"})

    assert answer.status_code == 307


def test_resolve_cache__etag_known__says_not_modified(ask, repo):
    location = ask("/org/name/resolve/main/config.json").headers["Location"]
    etag = f'"{repo.etag("config.json")}"'

    answer = ask(location, headers={"If-None-Match": etag})

    assert (answer.status_code, answer.content) == (304, b"")
    assert answer.headers["ETag"] == etag
    assert answer.headers["X-Repo-Commit"] == repo.at("main").sha


@pytest.mark.parametrize("host", ["resolve-cache", "direct", "cdn"])
@pytest.mark.parametrize(
    ("asked", "span"),
    [
        ("bytes=0-0", (0, 1)),
        ("bytes=2-5", (2, 6)),
        ("bytes=4-", (4, None)),
        ("bytes=-3", (-3, None)),
        ("bytes=5-99999999", (5, None)),
        ("bytes=-99999999", (0, None)),
    ],
)
def test_range__on_every_way_to_a_file__gives_that_part(hub, ask, repo, private, host, asked, span):
    url, content = {
        "resolve-cache": ("/org/name/resolve/main/config.json", SMALL),
        "direct": ("/org/secret/resolve/main/config.json", SMALL),
        "cdn": (f"/org/name/resolve/main/{BIG_PATH}", repo.content(BIG_PATH)),
    }[host]
    start, stop, _ = slice(*span).indices(len(content))

    answer = ask(url, headers={"Range": asked}, token="hf_alice", follow=True)

    assert answer.status_code == 206
    assert answer.headers["Content-Range"] == f"bytes {start}-{stop - 1}/{len(content)}"
    assert answer.content == content[start:stop]


@pytest.mark.parametrize("asked", ["bytes=9-", "bytes=100-200", "bytes=-0"])
def test_range__beyond_the_end__is_refused_with_the_size(ask, repo, asked):
    answer = ask("/org/name/resolve/main/config.json", headers={"Range": asked}, follow=True)

    assert (answer.status_code, answer.headers["Content-Range"]) == (416, "bytes */9")


@pytest.mark.parametrize("asked", ["bytes=0-1,3-4", "bytes=5-2", "bytes=-", "lines=1-2"])
def test_range__several_or_nonsense__gives_everything(ask, repo, asked):
    answer = ask("/org/name/resolve/main/config.json", headers={"Range": asked}, follow=True)

    assert (answer.status_code, answer.content) == (200, SMALL)


def test_raw__of_an_lfs_file__gives_the_pointer(hub, ask):
    repo = hub.add_repo("models", "org/raw")
    repo.commit({"a": File(b"hello", lfs=True), "b": b"plain"})

    pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{repo.sha256('a')}\nsize 5\n"
    assert ask("/org/raw/raw/main/a").text == pointer
    assert ask("/org/raw/raw/main/b").text == "plain"


def test_resolve__missing_file__is_the_error_the_hub_sends(ask, repo):
    answer = ask("/org/name/resolve/main/nope.bin", method="HEAD")

    assert answer.status_code == 404
    assert_shape(answer.headers, shapes.NO_ENTRY, sha=repo.at("main").sha)
    assert ask("/org/name/resolve/main/nope.bin").text == "Entry not found"


def test_resolve__missing_revision__is_the_error_the_hub_sends(ask, repo):
    answer = ask("/org/name/resolve/nope/config.json")

    assert (answer.status_code, answer.text) == (404, "Invalid rev id: nope")
    assert_shape(answer.headers, {**shapes.ERROR, "X-Error-Code": "RevisionNotFound"})


def test_resolve__post__is_refused(ask, repo):
    assert ask("/org/name/resolve/main/config.json", method="POST").status_code == 405


def test_path__two_slashes_in_front__is_read_as_one(ask, repo):
    assert ask("//org/name/resolve/main/config.json").status_code == 307
