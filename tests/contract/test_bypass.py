"""No byte and no address goes round the mirror."""

import contextlib
import http.client
import json
import threading
import time
from collections import Counter
from pathlib import Path
from socketserver import StreamRequestHandler, ThreadingTCPServer
from urllib.parse import urlsplit

import pytest

from dingospeed.testing import FakeHub
from dingospeed.testing.gitserver import ACTION_SECRET, LFS_JSON
from tests import xet
from tests.contract.asking import (
    BIG,
    BIG_BYTES,
    EMPTY,
    FORM,
    LET_IN,
    MORE,
    OTHER,
    SMALL,
    XET_ACCEPT,
    api,
    hosts_of,
    next_page,
    pages,
    resolve,
)
from tests.harness import hashes, sha256_file

pytestmark = pytest.mark.server

METHODS = ("HEAD", "GET")
OLD_AGENT = "unknown/None; hf_hub/0.33.5; python/3.11.7; hf_xet/1.1.5"


def ask(url, path, *, method="GET", headers=None):
    """The headers of an answer of any server, and its body."""
    with contextlib.closing(http.client.HTTPConnection(urlsplit(url).netloc, timeout=30)) as connection:
        connection.request(method, path, headers=headers or {})
        answer = connection.getresponse()
        return answer.headers, answer.read()


def names_xet(headers):
    return [line for line in str(headers).splitlines() if "xet" in line.lower()]


def test_23_file__upstream_tells_of_xet__no_answer_does(hub, make_repo, mirror):
    repo, gated = make_repo(), make_repo(gated="auto")
    assert {"X-Xet-Hash", "Link"} <= set(ask(hub.url, resolve(repo, BIG))[0])
    etag = f'"{repo.etag(BIG)}"'

    for path in (BIG, MORE, SMALL, EMPTY, "missing.bin"):
        for sent in (
            {},
            {"Accept": XET_ACCEPT},
            {"Range": "bytes=0-0"},
            {"Range": "bytes=99999999-"},
            {"If-None-Match": etag},
            {"Authorization": f"Bearer {OTHER}"},
        ):
            for method in METHODS:
                for asked in (repo, gated):
                    status, headers, _ = mirror.get(resolve(asked, path), method=method, headers=sent)
                    assert status in (200, 206, 304, 401, 403, 404, 416)
                    assert (headers["Link"], names_xet(headers)) == (None, []), (path, sent, method)


def test_24_json__upstream_tells_of_xet__no_answer_does(hub, make_repo, mirror):
    repo = make_repo()
    assert b"xetHash" in ask(hub.url, api(repo, "/tree/main?recursive=true"))[1]
    sha = repo.branches["main"]
    infos = [way + query for way in ("", "/revision/main") for query in ("", "?blobs=true", "?blobs=True")]
    switches = ("", "?recursive=true", "?expand=true", "?recursive=True&expand=True", "/nested", "?limit=2")
    trees = [f"/tree/{revision}{switch}" for revision in ("main", sha) for switch in switches]
    others = ["?expand=siblings&expand=sha", "/revision/main?expand[]=siblings", "/refs", "/commits/main"]

    answers = [mirror.get(api(repo, rest)) for rest in (*infos, *trees, *others)]
    answers.append(mirror.get("/api/models?full=true&search=org"))
    for expand in (False, True):
        as_json = json.dumps({"paths": [BIG, "nested"], "expand": expand})
        as_form = f"paths={BIG}&paths=nested&expand={expand}"
        for body, type in ((as_json, "application/json"), (as_form, FORM)):
            path, headers = api(repo, "/paths-info/main"), {"Content-Type": type}
            answers.append(mirror.get(path, method="POST", body=body, headers=headers))

    for status, headers, body in answers:
        assert (status, names_xet(headers)) == (200, [])
        assert b"xethash" not in body.lower()


class Gate(ThreadingTCPServer):
    """A proxy through which nobody gets; *asked* holds who wanted to go where."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Refusal)
        self.asked: list[str] = []
        self.url = f"http://127.0.0.1:{self.server_address[1]}"


class _Refusal(StreamRequestHandler):
    server: Gate

    def handle(self) -> None:
        self.server.asked.append(self.rfile.readline(65536).decode("latin-1").strip())
        while self.rfile.readline(65536).strip():
            pass
        self.wfile.write(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")


@pytest.fixture
def gate():
    with Gate() as gate:
        threading.Thread(target=gate.serve_forever, daemon=True).start()
        yield gate
        gate.shutdown()


def test_25_snapshot__newest_client_with_xet__every_byte_from_the_mirror(
    hub, make_repo, mirror, make_client, gate
):
    """Nobody answers at the address of the CAS that the upstream tells of: who believes it, fails."""
    repo = make_repo()
    client = make_client(mirror.url, HTTPS_PROXY=gate.url, HTTP_PROXY=gate.url, ALL_PROXY=gate.url)

    assert (
        client.run(
            "import hf_xet; from huggingface_hub import constants; print(constants.HF_HUB_DISABLE_XET + 0)"
        )
        == 0
    )
    found = client.snapshot(repo.id)

    assert found == {path: repo.sha256(path) for path in repo.files()}
    assert gate.asked == []
    assert hub.select(route="xet-read-token") == []
    assert not [call for call in hub.calls if "hf_hub" in (call.user_agent or "")]
    assert hub.bytes_sent(host="cdn") == sum(repo.entry(path).size for path in (BIG, MORE))


def test_26_file__as_the_first_clients_with_xet_ask__nothing_sends_them_elsewhere(hub, make_repo, mirror):
    """They take the address of the token as it is told, the upstream's too; so none may be told."""
    repo = make_repo()
    sent = {"User-Agent": OLD_AGENT, "Accept-Encoding": "identity"}
    told = ask(hub.url, resolve(repo, BIG), method="HEAD", headers=sent)[0]
    assert hub.url in told["Link"]

    _, headers, _ = mirror.get(resolve(repo, BIG), method="HEAD", headers=sent)
    body = mirror.get(resolve(repo, BIG, headers["X-Repo-Commit"]), headers={"User-Agent": OLD_AGENT})[2]

    assert (headers["X-Xet-Hash"], headers["X-Xet-Refresh-Route"], headers["Link"]) == (None, None, None)
    assert body == repo.content(BIG)
    assert hub.select(route="xet-read-token") == []


def test_27_headers__of_every_kind_of_answer__name_no_upstream(hub, make_repo, mirror):
    repo, gated = make_repo(), make_repo(gated="auto")
    hub.move("models", "old27/name", repo.id)
    elsewhere = f"{hub.cdn_url}/elsewhere"
    hub.fault(
        "any",
        "set_headers",
        headers={
            "Content-Location": elsewhere,
            "Set-Cookie": "token=abc; Domain=huggingface.co",
            "X-Amz-Cf-Id": "https://us.aws.cdn.hf.co/x",
            "Refresh": f"0; url={hub.url}/x",
        },
    )
    files = [resolve(one, path) for one in (repo, gated) for path in (SMALL, BIG, "missing")]
    questions = (
        "",
        "/revision/none",
        "/tree/main?limit=2",
        "/tree/main?expand=true&limit=2",
        "/commits/main?limit=1",
    )
    about = [
        api(repo, rest) for rest in (*questions, "/refs", "/discussions", "/xet-read-token/main", "/nothing")
    ]
    others = [
        f"{repo.address}/raw/main/{BIG}",
        f"{repo.address}/info/refs?service=git-upload-pack",
        f"/old27/name/resolve/main/{BIG}",
        "/api/models/old27/name",
        "/api/models?limit=1",
        "/api/whoami-v2",
        "/api/nothing",
        "/v2/org/none/manifests/latest",
        "/org/none/resolve/main/x",
        "/",
    ]

    for path in (*files, *about, *others):
        for token in (None, LET_IN, OTHER):
            for method in METHODS:
                status, headers, _ = mirror.get(path, method=method, token=token)
                assert status < 500, path
                assert [host for host in hosts_of(hub) if host in str(headers)] == [], (method, path)
                assert headers["Set-Cookie"] is headers["Content-Location"] is headers["Refresh"] is None, (
                    path
                )


def test_28_next_page__of_trees_and_lists__on_the_address_the_client_used(
    lone_hub, make_repo, make_mirror, make_client
):
    lone_hub.content.page_size = 3
    many = {f"many/{number}.txt": b"%d" % number for number in range(10)}
    repo = make_repo(many, on=lone_hub)
    for _ in range(4):
        make_repo(on=lone_hub)
    mirror = make_mirror(lone_hub)
    behind_proxy = make_mirror(lone_hub, server={**SERVER, "trusted_proxies": ["127.0.0.1"]})
    paths = (
        api(repo, "/tree/main?recursive=true&limit=3"),
        api(repo, "/tree/main?recursive=true&expand=true&limit=3"),
        "/api/models?search=org&limit=2",
    )
    claimed = {"X-Forwarded-Proto": "https", "X-Forwarded-Host": "hub.example.org"}

    for path in paths:
        assert sum(len(page) for page in pages(mirror, path)) >= 5
        assert next_page(mirror, mirror.get(path, headers={**claimed, "Forwarded": "host=evil.example"})[1])
        link = behind_proxy.get(path, headers=claimed)[1]["Link"]
        assert link.startswith(f"<https://hub.example.org{path.partition('?')[0]}?")
        assert link.endswith('>; rel="next"')
        assert link.count("<") == 1
        other_name = mirror.get(path, headers={"Host": "mirror.lan:8090"})[1]["Link"]
        assert other_name.startswith(f"<http://mirror.lan:8090{path.partition('?')[0]}?")
    listed = make_client(mirror.url).run(
        f"""
        tree, models = list_repo_tree({repo.id!r}, recursive=True), list_models(author="org")
        print(json.dumps([len(list(tree)), len(list(models))]))
        """,
        token=LET_IN,
    )
    assert listed == [len(repo.files()) + 3, 5]
    assert not [call for call in lone_hub.calls if "hf_hub" in (call.user_agent or "")]


SERVER = {"host": "127.0.0.1", "port": 0, "workers": 2}


def test_29_xet_read_token__as_configured__our_own_cas_or_a_clear_refusal_and_never_forwarded(
    hub, make_repo, mirror, make_mirror
):
    without = make_mirror(hub, xet={"mode": "off"})
    # All of them before anything is asked: what a new one resets are the calls that are looked at.
    for repo in [make_repo(type=type) for type in ("models", "datasets", "spaces")]:
        for revision in ("main", repo.branches["main"]):
            for token in (None, LET_IN):
                path = api(repo, f"/xet-read-token/{revision}")
                status, headers, body = mirror.json(path, token=token)
                assert status == 200
                assert headers["X-Xet-Cas-Url"] == body["casUrl"] == f"{mirror.url}/-/xet"
                assert headers["X-Xet-Access-Token"] == body["accessToken"]
                assert int(headers["X-Xet-Token-Expiration"]) == body["exp"] > time.time() + 60
                assert all(host not in f"{headers}{body}" for host in hosts_of(hub))

                status, headers, body = without.json(path, token=token)
                assert (status, body["error"]) == (404, headers["X-Error-Message"])
                assert "HF_HUB_DISABLE_XET=1" in body["error"]
                assert [line for line in names_xet(headers) if "X-Error-Message" not in line] == []
    assert hub.select(route="xet-read-token") == []


@pytest.fixture
def poisoned(hub, make_repo, make_client):
    """A repo, and a client whose listing of it came from the Hub itself, with Xet hashes in it."""
    repo = make_repo()
    client = make_client(hub.url, HF_HUB_DISABLE_XET="1")
    client.snapshot(repo.id, allow_patterns=[SMALL])
    (listing,) = client.home.glob("hub/*/trees/*.json")
    assert repo.entry(BIG).xet_hash in listing.read_text()
    client.variables = {}
    hub.reset_counters()
    return repo, client, listing


def test_30_poisoned_client__own_cas__downloads_without_noticing(hub, poisoned, mirror):
    repo, client, _ = poisoned
    client.endpoint = mirror.url

    assert client.snapshot(repo.id) == {path: repo.sha256(path) for path in repo.files()}
    assert hub.select(route="xet-read-token") == []
    # By Xet it was: a client that was told hashes asks no HEAD.
    assert f"/-/xet/blocks/{repo.sha256(BIG)}/0 " in mirror.log()


def test_poisoned_client__no_cas__gets_the_documented_error(hub, poisoned, make_mirror):
    repo, client, listing = poisoned
    client.endpoint = make_mirror(hub, xet={"mode": "off"}).url

    process = client.start(f"snapshot_download({repo.id!r})")
    _, errors = process.communicate(timeout=60)

    assert process.returncode != 0
    assert "HF_HUB_DISABLE_XET=1" in errors
    # And what it says, helps.
    for cure in ("variable", "folder"):
        client.variables = {"HF_HUB_DISABLE_XET": "1"} if cure == "variable" else {}
        if cure == "folder":
            listing.unlink()
        assert client.snapshot(repo.id) == {path: repo.sha256(path) for path in repo.files()}
    assert hub.select(route="xet-read-token") == []


def test_31_js__asks_for_xet_information__gets_the_file_and_so_do_others(make_repo, mirror):
    repo = make_repo()

    for path in (BIG, MORE, SMALL):
        content = repo.content(path)
        status, headers, body = mirror.get(
            resolve(repo, path), headers={"Accept": XET_ACCEPT, "Range": "bytes=0-0"}
        )
        assert (status, body) == (206, content[:1])
        assert headers["Content-Range"] == f"bytes 0-0/{len(content)}"
        assert headers["ETag"] == f'"{repo.etag(path)}"'
        assert "xet" not in headers["Content-Type"]
        assert mirror.get(resolve(repo, path), headers={"Accept": XET_ACCEPT})[2] == content
        assert mirror.get(resolve(repo, path))[2] == content


def test_32_lfs_batch__client_knows_xet__basic_and_on_the_mirror(hub, make_repo, mirror):
    for rights, token in (({}, None), ({"gated": "auto"}, LET_IN), ({"private": True}, LET_IN)):
        repo = make_repo(**rights)
        asked = {
            "operation": "download",
            "transfers": ["xet", "lfs-standalone-file", "basic", "ssh"],
            "objects": [{"oid": repo.sha256(path), "size": repo.entry(path).size} for path in (BIG, MORE)],
            "hash_algo": "sha256",
        }
        sent = {"Accept": LFS_JSON, "Content-Type": LFS_JSON}

        for address in (f"{repo.address}.git", repo.address):
            status, headers, found = mirror.json(
                f"{address}/info/lfs/objects/batch",
                method="POST",
                body=json.dumps(asked),
                headers=sent,
                token=token,
            )

            assert (status, found["transfer"]) == (200, "basic")
            assert headers["Content-Type"].partition(";")[0] == LFS_JSON
            text = json.dumps(found)
            assert ACTION_SECRET not in text
            assert not token or token not in text
            assert "xet" not in text.lower()
            for object, path in zip(found["objects"], (BIG, MORE), strict=True):
                download = object["actions"]["download"]
                assert download["href"].startswith(mirror.url + "/")
                got = mirror.get(
                    download["href"].removeprefix(mirror.url), token=token, headers=download.get("header")
                )
                assert got[::2] == (200, repo.content(path))
                if rights:
                    assert mirror.get(download["href"].removeprefix(mirror.url))[0] in (401, 403)


def test_33_token__of_the_caller__to_the_hub_and_nobody_else(lone_hub, make_repo, make_mirror):
    # All of them before anything is asked: what a new one resets are the calls that are looked at.
    gated, private, public, more = (
        make_repo(on=lone_hub, **rights)
        for rights in ({"gated": "auto"}, {"private": True}, {}, {"private": True})
    )
    with FakeHub(content=lone_hub.content) as second:
        # In several parts, as where the CDN has a file is remembered for the next of them.
        mirror = make_mirror(lone_hub, second, download={"block_bytes": 65536, "segment_blocks": 8})

        for repo in (gated, private, public):
            for path in (SMALL, BIG):
                assert mirror.get(resolve(repo, path), token=LET_IN)[2] == repo.content(path)
        lone_hub.fault("hub", "status", code=503)
        mirror.get(resolve(more, BIG), token=LET_IN)

        assert {call.authorization for call in lone_hub.select(host="hub")} >= {"ann"}
        assert lone_hub.leaks == second.leaks == []
        assert Counter(call.authorization for call in second.calls).keys() <= {None}


def test_34_own_cas__by_the_route_of_each_hf_xet__right_bytes_and_an_end(make_repo, mirror):
    repo = make_repo(gated="auto")
    content, hash = repo.content(BIG), repo.entry(BIG).xet_hash
    told = mirror.json(api(repo, "/xet-read-token/main"), token=LET_IN)[2]
    prefix = told["casUrl"].removeprefix(mirror.url)

    def ask_for(route, first=None, last=None):
        asked = {} if first is None else {"Range": f"bytes={first}-{last}"}
        return mirror.get(f"{prefix}/{route}/{hash}", token=told["accessToken"], headers=asked)

    def fetch(url, first, last):
        path = url.removeprefix(mirror.url)
        status, _, body = mirror.get(path, headers={"Range": f"bytes={first}-{last}"})
        assert status == 206
        return body

    for route in xet.ROUTES:
        for first, last in ((None, None), (0, 2**30), (5, 5), (700_000, len(content) - 1)):
            status, _, body = ask_for(route, first, last)
            assert status == 200
            expected = content if last is None else content[first : last + 1]
            assert xet.content_of(json.loads(body), fetch, len(expected)) == expected, route
        assert ask_for(route, len(content), len(content) + 9)[0] == 416
    # The address of a block is enough, and nothing less is.
    for _, _, part in xet.parts_of(json.loads(ask_for("v2/reconstructions")[2])):
        path = part.url.removeprefix(mirror.url)
        assert mirror.get(path)[0] == 200
        for changed in (path[:-9] + "AAAA" + path[-5:], path.partition("?")[0]):
            assert mirror.get(changed)[0] == 403


def test_35_file_above_the_limit_of_clients__offered_by_xet_and_only_that_one(
    hub, make_repo, make_mirror, make_client
):
    limit = BIG_BYTES // 2
    repo, mirror = make_repo(), make_mirror(hub, xet={"above_bytes": limit})
    limited = f"""
        from huggingface_hub import constants
        constants.MAX_HTTP_DOWNLOAD_SIZE = {limit}
        print(json.dumps(%s({repo.id!r}, %s)))
    """
    offered = [path for path in (BIG, MORE, SMALL) if names_xet(ask(mirror.url, resolve(repo, path))[0])]
    (listed,) = [entry["path"] for entry in mirror.json(api(repo, "/tree/main"))[2] if "xetHash" in entry]
    assert offered == [listed] == [BIG]

    one, all_of_them = make_client(mirror.url), make_client(mirror.url)
    found = Path(one.run(limited % ("hf_hub_download", f"filename={BIG!r}")))
    snapshot = Path(all_of_them.run(limited % ("snapshot_download", "")))

    assert sha256_file(found) == repo.sha256(BIG)
    assert hashes(snapshot) == {path: repo.sha256(path) for path in repo.files()}
    # Without, the limit is what it is.
    plain = make_client(mirror.url, HF_HUB_DISABLE_XET="1").start(
        limited % ("hf_hub_download", f"filename={BIG!r}")
    )
    assert "too large to be downloaded" in plain.communicate(timeout=60)[1]
