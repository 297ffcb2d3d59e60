"""How a file is answered: headers, ranges, names, revisions, and what happens when the upstream fails."""

import contextlib
import hashlib
import http.client
import re
from urllib.parse import quote

import pytest

from dingospeed.testing import File, Generated
from tests.contract.asking import (
    BIG,
    BIG_BYTES,
    CLIENT_PATIENCE_S,
    DEEP,
    EMPTY,
    LET_IN,
    MORE,
    OTHER,
    SMALL,
    api,
    begin,
    resolve,
    said,
    spoken,
)
from tests.harness import all_at_once, wait_until

pytestmark = pytest.mark.server

METHODS = ("HEAD", "GET")


def test_01_head_of_a_regular_file__cold_and_cached__all_that_clients_read(make_repo, mirror):
    repo = make_repo()
    entry = repo.entry(SMALL)

    for _ in range(2):
        status, headers, body = mirror.get(resolve(repo, SMALL), method="HEAD")

        assert (status, body) == (200, b"")
        assert headers["X-Repo-Commit"] == repo.branches["main"]
        assert re.fullmatch("[0-9a-f]{40}", headers["X-Repo-Commit"])
        assert headers["ETag"] == headers["X-Linked-Etag"] == f'"{entry.blob_id}"'
        assert headers["Content-Length"] == headers["X-Linked-Size"] == str(entry.size)
        assert hashlib.sha1(b"blob %d\0" % entry.size + entry.content).hexdigest() == entry.blob_id
        mirror.get(resolve(repo, SMALL))


@pytest.mark.parametrize("path", [BIG, MORE])
def test_02_head_of_an_lfs_file__cold_and_cached__named_by_its_sha256(make_repo, mirror, path):
    repo = make_repo()

    for _ in range(2):
        status, headers, body = mirror.get(resolve(repo, path), method="HEAD")

        assert (status, body) == (200, b"")
        assert headers["X-Repo-Commit"] == repo.branches["main"]
        assert headers["ETag"] == headers["X-Linked-Etag"] == f'"{repo.sha256(path)}"'
        assert headers["Content-Length"] == headers["X-Linked-Size"] == str(repo.entry(path).size)
        tree = mirror.json(api(repo, "/tree/main?recursive=true"))[2]
        listed = next(entry for entry in tree if entry["path"] == path)
        assert headers["ETag"] == f'"{listed["lfs"]["oid"]}"'
        content = mirror.get(resolve(repo, path))[2]
        assert headers["ETag"] == f'"{hashlib.sha256(content).hexdigest()}"'


def test_03_head_and_get__of_anything__same_status_and_headers(make_repo, mirror):
    repo, gated = make_repo(), make_repo(gated="manual")
    etag = {"If-None-Match": f'"{repo.etag(BIG)}"'}
    asked = [
        *((resolve(repo, path), {}) for path in (SMALL, BIG, MORE, EMPTY, "missing.txt")),
        (resolve(repo, BIG), etag),
        (resolve(repo, SMALL, "no-such-revision"), {}),
        ("/org/no-such-repo/resolve/main/x", {}),
        (resolve(gated, BIG), {}),
        (resolve(gated, BIG), {"Authorization": f"Bearer {OTHER}"}),
        (f"{repo.address}/raw/main/{SMALL}", {}),
        (f"{repo.address}/raw/main/{BIG}", {}),
        (api(repo), {}),
        (api(repo, "/tree/main"), {}),
        (api(repo, "/tree/main/missing"), {}),
    ]

    for path, sent in asked:
        for _ in range(2):  # Cold, and when the first GET has left something behind.
            (status, head, nothing), (same, get, _) = (
                mirror.get(path, method=method, headers=sent) for method in METHODS
            )
            assert (status, said(head)) == (same, said(get)), path
            assert nothing == b""


def test_04_head_of_an_uncached_file__listing_takes_long__answered_in_time_without_its_body(
    lone_hub, make_repo, make_mirror
):
    """As clients wait 10 s for a HEAD, an upstream that takes longer for all of the tree must not decide.

    Page by page: a single answer that takes so long would be given up by the line itself.
    """
    repo = make_repo(on=lone_hub)
    mirror = make_mirror(lone_hub, upstream={"timeouts": {"connect_s": 3.05, "read_s": 6}})
    lone_hub.content.page_size = 1
    lone_hub.fault("api", "latency", path="/tree/", seconds=3)

    for path in (BIG, SMALL):
        with contextlib.closing(
            http.client.HTTPConnection("127.0.0.1", mirror.port, timeout=CLIENT_PATIENCE_S)
        ) as connection:
            connection.request("HEAD", resolve(repo, path))
            answer = connection.getresponse()

            assert answer.status == 200
            assert answer.headers["ETag"] == f'"{repo.etag(path)}"'
            assert answer.headers["Content-Length"] == str(repo.entry(path).size)
    assert lone_hub.bytes_sent(host="cdn") == 0
    assert not [call for call in lone_hub.select(kind="resolve-cache") if call.method != "HEAD"]


def test_head__every_question_it_takes_hangs__is_answered_before_clients_give_up(
    lone_hub, make_repo, make_mirror
):
    """Of what commit, who may see the repo, who has a right to its files: each of them may take long."""
    repo = make_repo(on=lone_hub, gated="auto")
    mirror = make_mirror(
        lone_hub,
        upstream={"timeouts": {"connect_s": 3.05, "read_s": 9}},
        metadata={"ttl_s": 0},
        access={"allowed_ttl_s": 0},
    )
    assert mirror.get(resolve(repo, SMALL), method="HEAD", token=LET_IN)[0] == 200
    lone_hub.fault("api", "latency", seconds=60)

    with contextlib.closing(
        http.client.HTTPConnection("127.0.0.1", mirror.port, timeout=CLIENT_PATIENCE_S)
    ) as connection:
        bearer = {"Authorization": f"Bearer {LET_IN}"}
        connection.request("HEAD", resolve(repo, SMALL), headers=bearer)
        assert connection.getresponse().status == 200


@pytest.mark.parametrize("path", [SMALL, BIG])
def test_05_get_without_range__client_takes_gzip__whole_and_not_packed(hub, make_repo, mirror, path):
    repo = make_repo()
    hub.fault("any", "gzip", path=re.escape(path.rpartition(".")[2]), times=1)

    for _ in range(2):
        status, headers, body = mirror.get(resolve(repo, path), headers={"Accept-Encoding": "gzip, deflate"})

        assert (status, body) == (200, repo.content(path))
        assert headers["Content-Length"] == str(len(body))
        assert headers["Accept-Ranges"] == "bytes"
        assert headers["Content-Encoding"] is None


@pytest.mark.parametrize("path", [SMALL, BIG])
@pytest.mark.parametrize("form", ["bytes=0-0", "bytes=5-20", "bytes={last}-", "bytes=3-", "bytes=-7"])
def test_06_range__any_form__exactly_that_part(make_repo, mirror, path, form):
    repo = make_repo()
    content = repo.content(path)
    header = form.format(last=len(content) - 1)
    first, last = header.removeprefix("bytes=").split("-")
    start = int(first) if first else len(content) - int(last)
    stop = int(last) + 1 if first and last else len(content)

    for _ in range(2):
        status, headers, body = mirror.get(resolve(repo, path), headers={"Range": header})

        assert (status, body) == (206, content[start:stop])
        assert headers["Content-Range"] == f"bytes {start}-{stop - 1}/{len(content)}"
        assert headers["Content-Length"] == str(stop - start)


@pytest.mark.parametrize("path", [SMALL, BIG])
def test_07_range__ends_behind_the_end__cut_to_the_file(make_repo, mirror, path):
    repo = make_repo()
    content = repo.content(path)

    for last in (len(content), len(content) + 9_999):
        status, headers, body = mirror.get(resolve(repo, path), headers={"Range": f"bytes=5-{last}"})

        assert (status, body) == (206, content[5:])
        assert headers["Content-Range"] == f"bytes 5-{len(content) - 1}/{len(content)}"


@pytest.mark.parametrize("path", [SMALL, BIG])
def test_08_range__begins_behind_the_end__416_with_the_size(make_repo, mirror, path):
    repo = make_repo()
    size = repo.entry(path).size

    for header in (f"bytes={size}-", f"bytes={size}-{size + 1}", f"bytes={size + 10}-"):
        status, headers, _ = mirror.get(resolve(repo, path), headers={"Range": header})

        assert (status, headers["Content-Range"]) == (416, f"bytes */{size}")


@pytest.mark.parametrize("is_lfs", [False, True])
def test_09_empty_file__all_ways__there_and_no_server_error(make_repo, mirror, is_lfs):
    repo = make_repo({EMPTY: File(b"", lfs=is_lfs)})

    for _ in range(2):
        status, headers, body = mirror.get(resolve(repo, EMPTY), method="HEAD")
        assert (status, headers["Content-Length"], headers["X-Linked-Size"], body) == (200, "0", "0", b"")
        assert headers["ETag"] == f'"{repo.etag(EMPTY)}"'
        assert mirror.get(resolve(repo, EMPTY))[::2] == (200, b"")
        for header in ("bytes=0-", "bytes=0-0", "bytes=-1"):
            status, headers, body = mirror.get(resolve(repo, EMPTY), headers={"Range": header})
            # huggingface.js and hf-hub of Rust learn the size from a range of one byte.
            assert (status, headers["Content-Range"], body) == (200, "bytes */0", b""), header


@pytest.mark.parametrize("path", [SMALL, BIG])
def test_10_if_none_match__etag_of_today__304(hub, make_repo, mirror, path):
    repo = make_repo()
    etag = f'"{repo.etag(path)}"'

    for method in METHODS:
        for header in (etag, f"W/{etag}", f'"other", {etag}'):
            status, headers, body = mirror.get(
                resolve(repo, path), method=method, headers={"If-None-Match": header}
            )
            assert (status, body) == (304, b"")
            assert headers["ETag"] == etag
            assert headers["X-Repo-Commit"] == repo.branches["main"]
    assert mirror.get(resolve(repo, path), headers={"If-None-Match": '"other"'})[0] == 200


@pytest.mark.parametrize("rights", [{}, {"gated": "manual"}, {"private": True}])
def test_11_file__public_gated_private_cold_and_cached__never_a_redirect(make_repo, mirror, rights):
    repo = make_repo(**rights)
    sha = repo.branches["main"]

    for _ in range(2):
        for path in (SMALL, BIG, MORE):
            for method in METHODS:
                for way in (
                    resolve(repo, path),
                    resolve(repo, path, sha),
                    resolve(repo, path) + "?download=true",
                    f"{repo.address}/raw/main/{path}",
                ):
                    status, headers, _ = mirror.get(way, method=method, token=LET_IN)
                    assert (status, headers["Location"]) == (200, None), way
            part = mirror.get(resolve(repo, path), headers={"Range": "bytes=0-0"}, token=LET_IN)
            assert (part[0], part[1]["Location"]) == (206, None)


def test_12_cold_file__upstream_is_slow_and_falls_silent__never_quiet_for_ten_seconds(
    lone_hub, make_repo, make_mirror
):
    repo = make_repo({BIG: Generated(400_000, seed=12)}, on=lone_hub)
    mirror = make_mirror(
        lone_hub,
        upstream={"timeouts": {"connect_s": 3.05, "read_s": 6}},
        download={"block_bytes": 65536, "segment_blocks": 8, "read_ahead": 4},
    )
    lone_hub.fault("api", "latency", seconds=1)
    lone_hub.fault("cdn", "latency", seconds=2)
    lone_hub.fault("cdn", "rate", bytes_per_s=50_000)
    stall = lone_hub.fault("cdn", "stall", after=100_000, seconds=60, times=1)

    with contextlib.closing(begin(mirror, resolve(repo, BIG))) as sock:
        answer = b""
        while data := sock.recv(65536):  # Which waits for ten seconds and not longer.
            answer += data

    assert stall.hits == 1
    assert answer.startswith(b"HTTP/1.1 200")
    assert answer.partition(b"\r\n\r\n")[2] == repo.content(BIG)


@pytest.mark.parametrize("is_reset", [False, True])
def test_13_upstream__cuts_in_mid_body__client_does_not_notice(hub, make_repo, mirror, is_reset):
    repo = make_repo()
    fault = hub.fault("cdn", "cut", after=300_000, times=2, reset=is_reset)

    status, _, body = mirror.get(resolve(repo, BIG))

    assert fault.hits
    assert (status, body) == (200, repo.content(BIG))


WRONG = {
    "corrupt": {"offset": 700_000},
    "wrong_total": {},
    "short_honest": {"missing": 5},
    "long": {"extra": 5},
}


@pytest.mark.parametrize("kind", WRONG)
def test_14_upstream__wrong_hash_or_size__broken_off_nothing_kept_and_fetched_anew(
    lone_hub, make_repo, make_mirror, kind
):
    """Of a wrong size the mirror may also make the right one, where the bytes allow it."""
    repo = make_repo({BIG: Generated(3_000_000, seed=14)}, on=lone_hub)
    mirror = make_mirror(lone_hub)
    lone_hub.fault("cdn", kind, **WRONG[kind])

    body = whole(mirror, resolve(repo, BIG))

    assert body is None or (kind != "corrupt" and body == repo.content(BIG))
    assert body is not None or repo.sha256(BIG) not in mirror.sealed()
    lone_hub.clear_faults()
    wait_until(lambda: whole(mirror, resolve(repo, BIG)) is not None, "the file is whole")
    assert whole(mirror, resolve(repo, BIG)) == repo.content(BIG)


def whole(mirror, path):
    """The body; None when the connection broke before its end, or the answer was an error."""
    try:
        status, _, body = mirror.get(path)
    except (http.client.IncompleteRead, ConnectionError):
        return None
    assert status == 200 or status >= 500
    return body if status == 200 else None


def test_15_client__hangs_up_in_mid_body__no_error_and_the_others_get_all(hub, make_repo, mirror):
    repo = make_repo()
    hub.fault("cdn", "rate", bytes_per_s=800_000)
    before = len(mirror.log())

    def give_up():
        with contextlib.closing(begin(mirror, resolve(repo, BIG))) as sock:
            assert sock.recv(1000)

    def stay():
        return mirror.get(resolve(repo, BIG))

    results = all_at_once([give_up, give_up, stay, stay, give_up])

    assert [result[2] == repo.content(BIG) for result in results if result] == [True, True]
    assert hub.bytes_sent(host="cdn") == BIG_BYTES
    wait_until(lambda: mirror.log()[before:].count(" left ") >= 3, "the log tells of those who left")
    assert not re.search(r"ERROR|WARNING|Traceback", mirror.log()[before:])


def test_16_ten_parts_at_once__of_an_uncached_file__each_byte_comes_once(hub, make_repo, mirror):
    """One copy, not one request: a long file comes over several connections, each for bytes of its own."""
    repo = make_repo()
    content = repo.content(BIG)
    step = BIG_BYTES // 10
    hub.fault("cdn", "latency", seconds=0.2)

    # The last ends at the size, one too far, as hf_transfer asks.
    starts = range(0, BIG_BYTES, step)
    parts = all_at_once(
        [
            lambda start=start: mirror.get(
                resolve(repo, BIG),
                headers={"Range": f"bytes={start}-{start + step - (start + step < BIG_BYTES)}"},
            )
            for start in starts
        ]
    )

    assert [part[0] for part in parts] == [206] * 10
    assert b"".join(part[2] for part in parts) == content
    assert hub.bytes_sent(host="cdn") == BIG_BYTES


NAMES = [
    "sub dir/a b.txt",
    "a+b.txt",
    "a#b.txt",
    "100%.txt",
    "a%20b.txt",
    "grüße-世界.txt",
    "a&b=c;d,e.txt",
    "a?b.txt",
]


@pytest.mark.parametrize("name", NAMES)
def test_17_odd_name__encoded_and_as_it_is__the_file(make_repo, mirror, name):
    """A path sent as it is must still make a request line: no space in it, no ``#``, no ``?``, and
    of ``%20`` nobody can tell that it is not an encoded space. libcurl and cpp-httplib, which llama.cpp
    uses, encode those. Bytes beyond ASCII are no request line either (RFC 9112, 3.2), and gunicorn
    refuses them since it checks; cpp-httplib encodes them.
    """
    content = f"content of {name}".encode()
    repo = make_repo({name: content, f"big/{name}": File(content + b" and more", lfs=True)})

    for path, wanted in ((name, content), (f"big/{name}", content + b" and more")):
        status, _, body = mirror.get(resolve(repo, quote(path)))
        assert (status, body) == (200, wanted)
        assert mirror.get(resolve(repo, quote(path)), method="HEAD")[0] == 200
        if name.isascii() and not re.search(r"[ #?]|%20", name):
            assert spoken(mirror, resolve(repo, path)) == (200, wanted)


def test_18_revision__every_form__resolves(make_repo, mirror):
    repo = make_repo({"who.txt": b"first"}, only=True)
    first = repo.branches["main"]
    repo.tag("v1.0", first)
    pull, convert, branch = (
        repo.commit({"who.txt": name.encode()}, branch=f"side-{name}")
        for name in ("pull", "convert", "branch")
    )
    repo.pull_request(1, pull)
    repo.convert("parquet", convert)
    repo.branch("feature/x", branch)
    expected = {
        "main": first,
        "HEAD": first,
        "v1.0": first,
        first: first,
        first[:8]: first,
        "refs%2Fpr%2F1": pull,
        "refs/pr/1": pull,
        "refs%2Fconvert%2Fparquet": convert,
        "refs/convert/parquet": convert,
        "feature%2Fx": branch,
        pull: pull,
    }

    for revision, sha in expected.items():
        for method in METHODS:
            status, headers, body = mirror.get(resolve(repo, "who.txt", revision), method=method)
            assert (status, headers["X-Repo-Commit"]) == (200, sha), revision
            assert method == "HEAD" or body == repo.content("who.txt", sha)
        assert mirror.json(api(repo, f"/revision/{revision}"))[2]["sha"] == sha, revision
        status, headers, entries = mirror.json(api(repo, f"/tree/{revision}"))
        assert (status, headers["X-Repo-Commit"]) == (200, sha), revision
        assert entries[0]["oid"] == repo.entry("who.txt", sha).blob_id


@pytest.mark.parametrize("type", ["models", "datasets", "spaces", "kernels"])
@pytest.mark.parametrize("id", ["org19/name", "single19"])
def test_19_repo__any_type_and_form_of_id__on_resolve_and_api(make_repo, mirror, type, id):
    repo = make_repo(type=type, id=id)
    sha = repo.branches["main"]

    for revision in ("main", sha):
        for path in (SMALL, BIG, DEEP):
            assert mirror.get(resolve(repo, path, revision), method="HEAD")[0] == 200
            assert mirror.get(resolve(repo, path, revision))[2] == repo.content(path)
    for path in ("", "/revision/main", f"/revision/{sha}"):
        info = mirror.json(api(repo, path))[2]
        assert (info["id"], info["sha"]) == (id, sha)
    assert len(mirror.json(api(repo, "/tree/main?recursive=true"))[2]) == len(repo.files()) + 2
    asked = {
        "method": "POST",
        "body": b"paths=nested",
        "headers": {"Content-Type": "application/x-www-form-urlencoded"},
    }
    assert mirror.json(api(repo, "/paths-info/main"), **asked)[2][0]["type"] == "directory"
    assert mirror.json(api(repo, "/refs"))[2]["branches"][0]["targetCommit"] == sha
    assert [commit["id"] for commit in mirror.json(api(repo, "/commits/main"))[2]] == [sha]
    assert mirror.get(api(repo, "/auth-check"))[0] == 200


def test_20_slashes_in_front__any_number__as_one(make_repo, mirror):
    repo, dataset = make_repo(), make_repo(type="datasets")

    for slashes in ("/", "//", "///"):
        assert mirror.get(slashes[1:] + resolve(repo, SMALL))[::2] == (200, repo.content(SMALL))
        assert mirror.get(slashes[1:] + resolve(dataset, BIG))[::2] == (200, dataset.content(BIG))
        assert mirror.json(slashes[1:] + api(repo, "/revision/main"))[2]["id"] == repo.id
        status, headers, _ = mirror.json(slashes[1:] + api(repo, "/tree/main?limit=1"))
        assert status == 200
        assert headers["Link"].startswith(f"<{mirror.url}/api/models/")


def test_21_repo__renamed_or_wrongly_cased__relative_307_and_a_good_download(
    hub, make_repo, mirror, make_client
):
    repo = make_repo(id="Org21/Name")
    hub.move("models", "old21/name", repo.id)
    hub.move("models", "legacy21", repo.id)

    for old in ("old21/name", "legacy21", "org21/name"):
        for method in METHODS:
            for path in (SMALL, BIG):
                status, headers, _ = mirror.get(f"/{old}/resolve/main/{path}", method=method)
                assert (status, headers["Location"]) == (307, f"/{repo.id}/resolve/main/{path}")
            for rest in ("", "/revision/main", "/tree/main?recursive=true&expand=false", "/refs"):
                status, headers, _ = mirror.get(f"/api/models/{old}{rest}", method=method)
                assert (status, headers["Location"]) == (307, f"/api/models/{repo.id}{rest}")
    found = make_client(mirror.url).snapshot("old21/name")
    assert found == {path: repo.sha256(path) for path in repo.files()}


def test_22_content_disposition__base_name__with_a_form_in_utf8(make_repo, mirror):
    repo = make_repo({"sub/grüße.txt": b"x", 'sub/a "b".txt': b"y"})

    def told(path):
        return mirror.get(resolve(repo, quote(path)), method="HEAD")[1]["Content-Disposition"]

    assert told(DEEP) == "inline; filename*=UTF-8''deep.txt; filename=\"deep.txt\";"
    assert "filename*=UTF-8''gr%C3%BC%C3%9Fe.txt" in told("sub/grüße.txt")
    assert "filename*=UTF-8''a%20%22b%22.txt" in told('sub/a "b".txt')
    assert told("sub/grüße.txt").isascii()
