"""Requests of every form: bad ones are refused in the Hub's shape, and no answer names the upstream."""

import json
from urllib.parse import urlsplit

import pytest

from dingospeed.testing import Generated

pytestmark = pytest.mark.server

BIG = Generated(size=200_000, seed=6)


@pytest.fixture(scope="module")
def hub(shared_hub):
    return shared_hub


@pytest.fixture(scope="module")
def mirror(shared_mirror):
    return shared_mirror


@pytest.fixture(scope="module")
def repo(hub):
    return make_repo(hub, "org/model")


def make_repo(hub, id):
    repo = hub.add_repo("models", id)
    repo.commit({"a.txt": b"0123456789", "empty": b"", "big.bin": BIG, "dir/b.txt": b"b"})
    return repo


@pytest.mark.parametrize("path", ["a.txt", "big.bin"])
@pytest.mark.parametrize(
    ("header", "start", "stop"),
    [
        ("bytes=0-0", 0, 1),
        ("bytes=2-5", 2, 6),
        ("bytes=3-", 3, None),
        ("bytes=-4", -4, None),
        ("bytes=-99999999", 0, None),
        ("bytes=5-99999999", 5, None),
        ("bytes=0-", 0, None),
    ],
)
def test_range__satisfiable__exactly_that_part_cold_and_cached(
    hub, mirror, request, path, header, start, stop
):
    # Content of its own, so that it is cold.
    name = f"org/range-{abs(hash(request.node.name))}"
    repo = hub.add_repo("models", name)
    seed = abs(hash(name)) % 10_000
    repo.commit({"a.txt": name.encode(), "big.bin": Generated(size=200_000 + seed, seed=seed)})
    content = repo.content(path)
    wanted = content[start:stop]
    first = len(content) + start if start < 0 else start

    for _ in range(2):
        status, headers, body = mirror.get(f"/{name}/resolve/main/{path}", headers={"Range": header})

        assert (status, body) == (206, wanted)
        assert headers["Content-Range"] == f"bytes {first}-{first + len(wanted) - 1}/{len(content)}"
        assert headers["Content-Length"] == str(len(wanted))
        assert mirror.get(f"/{name}/resolve/main/{path}")[2] == content


@pytest.mark.parametrize("header", ["bytes=10-", "bytes=10-20", "bytes=-0", "bytes=99999999999999999999-"])
def test_range__behind_the_end__416_with_the_size(repo, mirror, header):
    status, headers, _ = mirror.get("/org/model/resolve/main/a.txt", headers={"Range": header})

    assert (status, headers["Content-Range"]) == (416, "bytes */10")


@pytest.mark.parametrize(
    "header",
    [
        "bytes=5-3",
        "bytes=a-b",
        "bytes=",
        "bytes=-",
        "lines=0-1",
        "bytes=0-1,3-4",
        "bytes=--1",
        "x" * 500,
        "bytes=0x1-",
    ],
)
def test_range__senseless_or_several__the_whole_file(repo, mirror, header):
    status, _, body = mirror.get("/org/model/resolve/main/a.txt", headers={"Range": header})

    assert (status, body) == (200, b"0123456789")


def test_empty_file__all_ways__no_server_error(repo, mirror):
    assert mirror.get("/org/model/resolve/main/empty")[::2] == (200, b"")
    assert mirror.get("/org/model/resolve/main/empty", method="HEAD")[1]["Content-Length"] == "0"
    for header in ("bytes=0-0", "bytes=0-", "bytes=-5"):
        assert mirror.get("/org/model/resolve/main/empty", headers={"Range": header})[::2] == (200, b"")


def test_head_and_get__same_file__same_status_and_headers(repo, mirror):
    for path in ("a.txt", "big.bin", "missing"):
        _, head, _ = mirror.get(f"/org/model/resolve/main/{path}", method="HEAD")
        _, get, _ = mirror.get(f"/org/model/resolve/main/{path}")
        volatile = {"date", "x-request-id", "x-cache"}
        assert {name.lower(): value for name, value in head.items() if name.lower() not in volatile} == {
            name.lower(): value for name, value in get.items() if name.lower() not in volatile
        }


def test_file__headers__all_that_clients_read(repo, mirror):
    sha = repo.branches["main"]

    status, headers, _ = mirror.get("/org/model/resolve/main/big.bin", method="HEAD")

    assert status == 200
    assert headers["X-Repo-Commit"] == sha
    assert headers["ETag"] == headers["X-Linked-Etag"] == f'"{repo.sha256("big.bin")}"'
    assert headers["Content-Length"] == headers["X-Linked-Size"] == str(BIG.size)
    assert headers["Accept-Ranges"] == "bytes"
    assert "Content-Encoding" not in headers
    assert headers["Content-Disposition"] == "inline; filename*=UTF-8''big.bin; filename=\"big.bin\";"


def test_if_none_match__same_etag__304(repo, mirror):
    etag = f'"{repo.etag("a.txt")}"'

    status, headers, body = mirror.get("/org/model/resolve/main/a.txt", headers={"If-None-Match": etag})

    assert (status, body, headers["ETag"]) == (304, b"", etag)
    assert headers["X-Repo-Commit"] == repo.branches["main"]


NUL, LONG = "%00", "x" * 300
BAD_FILES = [
    ("org/model", "main", "../../etc/passwd"),
    ("org/model", "main", "%2e%2e/%2e%2e/etc/passwd"),
    ("org/model", "main", "..%2F..%2Fetc%2Fpasswd"),
    ("org/model", "main", f"a{NUL}b"),
    ("org/model", "main", LONG),
    ("org/model", "main", "a/" * 2100 + "b"),
    ("org/model", "main", "%ff%fe"),
    ("org/model", "..", "a.txt"),
    ("org/model", "..%2F..%2F..", "a.txt"),
    ("org/model", NUL, "a.txt"),
    ("org/model", "r" * 400, "a.txt"),
    ("org/model", "%0a", "a.txt"),
    ("..", "main", "a.txt"),
    ("%2e%2e/%2e%2e", "main", "a.txt"),
    ("org/..", "main", "a.txt"),
    (f"org/mo{NUL}del", "main", "a.txt"),
    (f"org/{LONG}", "main", "a.txt"),
    ("-x/y", "main", "a.txt"),
    ("datasets/..", "main", "a.txt"),
    ("org/%2e%2e%2f%2e%2e", "main", "a.txt"),
]
BAD_TREES = ["..", "a/../b", NUL, LONG, "a//b", "%ff", "..%2F..%2Fetc"]
BAD_API = [
    "models/..",
    "models/../x",
    "datasets/%2e%2e/x/revision/main",
    f"models/org/model/revision/{NUL}",
    "models/org/model/revision/..",
    "models/org/model/refs/..",
    "models/org/model/commits/%2e%2e",
    "unknown/org/model/tree/main",
    "unknown/org/model/revision/main",
    "models/org/model/tree/main?limit=x",
    "models/org/model/tree/main?limit=-1",
    "models/org/model/tree/main?cursor=%00",
    "resolve-cache/models/org/model/main/../x",
    "resolve-cache/what/org/model/main/x",
]
BAD = [
    *(f"/{repo}/resolve/{revision}/{path}" for repo, revision, path in BAD_FILES),
    *(f"/api/models/org/model/tree/main/{path}" for path in BAD_TREES),
    *(f"/api/{rest}" for rest in BAD_API),
]


@pytest.mark.parametrize("path", BAD, ids=lambda path: path[:60])
def test_bad_request__any__hubs_error_shape_and_nothing_outside(repo, mirror, path):
    before, held = set(mirror.folder.iterdir()), set(mirror.repos.iterdir())

    status, headers, body = mirror.get(path)

    assert 400 <= status < 500, (status, body)
    assert headers["X-Error-Message"]
    assert b"Traceback" not in body
    if path.startswith("/api/"):
        assert json.loads(body)["error"]
    assert set(mirror.folder.iterdir()) == before
    assert "nobody foresaw" not in mirror.log()
    assert {entry.name for entry in set(mirror.repos.iterdir()) - held} <= {"api", "access", "blobs", "run"}


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
@pytest.mark.parametrize(
    "path", ["/api/repos/create", "/api/models/org/model/commit/main", "/org/model/resolve/main/a.txt", "/"]
)
def test_write__any__refused_with_a_reason(repo, mirror, method, path):
    status, headers, _ = mirror.get(path, method=method, body=b"{}")

    assert status == 403
    assert "read-only" in headers["X-Error-Message"]


def test_answers__all_kinds__name_no_upstream_and_no_xet(hub, repo, mirror):
    repo.commit({f"many/{index}.txt": b"x" for index in range(30)})
    hub.content.page_size = 10
    hosts = [urlsplit(hub.url).netloc, urlsplit(hub.cdn_url).netloc, "huggingface.co", "hf.co"]
    sha = repo.branches["main"]
    api, files = "/api/models/org/model", "/org/model/resolve"
    asked = [
        ("GET", path)
        for path in (
            *(f"{api}{rest}" for rest in ("", "?blobs=true", "/revision/main", f"/revision/{sha}")),
            f"{api}?expand=siblings&expand=sha",
            *(
                f"{api}/tree/main{rest}"
                for rest in ("", "?recursive=true", "?limit=5", "?expand=true", "/many")
            ),
            *(f"{api}/{rest}" for rest in ("refs", "commits/main", "nothing")),
            *("/api/models?search=org&limit=1", "/api/whoami-v2", "/api/models/org/none"),
            *(f"{files}/{rest}" for rest in ("main/a.txt", "main/big.bin", "main/none", "none/a.txt")),
            *("/org/none/resolve/main/x", "/metrics", "/", "/-/healthz"),
        )
    ]
    asked += [("HEAD", path) for _, path in asked]

    for method, path in asked:
        status, headers, body = mirror.get(path, method=method)
        assert status < 500, (path, status, body)
        text = f"{headers}" + ("" if path.startswith("/metrics") else body.decode("utf-8", "replace"))
        for host in hosts:
            assert host not in text, (method, path)
        assert "xethash" not in text.lower(), (method, path)
        assert not any(name.lower().startswith("x-xet") for name in headers)
        assert "xet" not in headers.get("Link", "")


def test_tree__in_pages__links_lead_to_the_mirror_and_to_all(repo, mirror):
    seen, path = [], "/api/models/org/model/tree/main?recursive=true&limit=2"
    while path:
        status, headers, entries = mirror.json(path)
        assert status == 200
        assert len(entries) <= 2
        seen += [entry["path"] for entry in entries]
        link = headers.get("Link", "")
        assert not link or link.startswith(f"<{mirror.url}/api/")
        path = link.partition(mirror.url)[2].partition(">")[0]

    assert seen == ["a.txt", "big.bin", "dir", "dir/b.txt", "empty"]
