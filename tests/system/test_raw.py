"""Ways to a file besides resolve, and names of repos and revisions that stand for others."""

import hashlib

import pytest

from dingospeed.testing import Generated

pytestmark = pytest.mark.server

BIG = Generated(size=1_200_000, seed=21)
PREFIXES = {"models": "", "datasets": "datasets/", "spaces": "spaces/", "kernels": "kernels/"}
LET_IN = "hf_letin000000"


@pytest.fixture(scope="module")
def hub(shared_hub):
    shared_hub.add_user("ann", token=LET_IN)
    return shared_hub


@pytest.fixture(scope="module")
def mirror(hub, shared_mirror):
    return shared_mirror


@pytest.fixture(scope="module")
def repo(hub):
    repo = hub.add_repo("models", "org/pointed")
    repo.commit({"a.txt": b"0123456789", "dir/big.safetensors": BIG})
    return repo


def test_raw__plain_file__as_resolve(repo, mirror):
    for method in ("HEAD", "GET"):
        status, headers, body = mirror.get("/org/pointed/raw/main/a.txt", method=method)

        assert (status, body) == (200, b"0123456789" if method == "GET" else b"")
        assert headers["ETag"] == f'"{repo.etag("a.txt")}"'
        assert headers["Content-Length"] == "10"
        assert headers["X-Repo-Commit"] == repo.branches["main"]


def test_raw__lfs_file__the_pointer_under_the_oid_of_the_tree(hub, repo, mirror):
    entry = repo.entry("dir/big.safetensors")
    tree = mirror.json("/api/models/org/pointed/tree/main?recursive=true")[2]
    listed = next(one for one in tree if one["path"] == "dir/big.safetensors")
    hub.reset_counters()

    for method in ("HEAD", "GET"):
        status, headers, body = mirror.get("/org/pointed/raw/main/dir/big.safetensors", method=method)

        assert (status, body) == (200, entry.pointer if method == "GET" else b"")
        assert headers["ETag"] == headers["X-Linked-Etag"] == f'"{listed["oid"]}"'
        assert headers["Content-Length"] == str(listed["lfs"]["pointerSize"])
    part = mirror.get("/org/pointed/raw/main/dir/big.safetensors", headers={"Range": "bytes=0-6"})
    assert (part[0], part[2]) == (206, b"version")
    etag = {"If-None-Match": f'"{listed["oid"]}"'}
    assert mirror.get("/org/pointed/raw/main/dir/big.safetensors", headers=etag)[0] == 304
    assert hub.calls == []


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("/org/pointed/raw/main/none", 404, "EntryNotFound"),
        ("/org/pointed/raw/none/a.txt", 404, "RevisionNotFound"),
        ("/org/none/raw/main/a.txt", 401, "RepoNotFound"),
        ("/org/pointed/raw/main/../x", 400, "BadRequest"),
    ],
)
def test_raw__missing__refused_as_by_resolve(repo, mirror, path, status, code):
    for method in ("HEAD", "GET"):
        answer = mirror.get(path, method=method)
        assert (answer[0], answer[1]["X-Error-Code"]) == (status, code)


def test_raw__pointer_of_a_gated_file__only_for_those_let_in(hub, mirror):
    repo = hub.add_repo("models", "org/pointed-gated", gated="auto")
    repo.commit({"big.bin": BIG})
    repo.grant("ann")

    assert mirror.get("/org/pointed-gated/raw/main/big.bin", token=LET_IN)[2] == repo.entry("big.bin").pointer
    assert mirror.get("/org/pointed-gated/raw/main/big.bin")[0] == 401


@pytest.mark.parametrize("type", PREFIXES)
@pytest.mark.parametrize("id", ["org/name", "single"])
def test_repo__any_type_and_form_of_id__all_ways_lead_to_it(hub, mirror, type, id):
    repo = hub.add_repo(type, id)
    content = f"{type} {id}".encode()
    repo.commit({"dir/a.txt": content})
    sha, page, api = repo.branches["main"], f"/{PREFIXES[type]}{id}", f"/api/{type}/{id}"

    for path in (
        *(
            f"{page}/{way}/{revision}/dir/a.txt"
            for way in ("resolve", "raw")
            for revision in ("main", sha, "HEAD")
        ),
        f"/api/resolve-cache/{type}/{id}/{sha}/dir/a.txt",
    ):
        status, headers, body = mirror.get(path)
        assert (status, body, headers["X-Repo-Commit"]) == (200, content, sha), path
        assert mirror.get(path, method="HEAD")[0] == 200
    for revision in ("main", "HEAD"):
        assert mirror.json(f"{api}/revision/{revision}")[2]["sha"] == sha
        assert mirror.json(f"{api}/tree/{revision}")[2][0]["path"] == "dir"
        assert mirror.json(f"{api}/tree/{revision}/dir")[2][0]["path"] == "dir/a.txt"
        form = {"body": b"paths=dir/a.txt", "headers": {"Content-Type": "application/x-www-form-urlencoded"}}
        assert mirror.json(f"{api}/paths-info/{revision}", method="POST", **form)[2][0]["path"] == "dir/a.txt"
    assert mirror.json(api)[2]["id"] == id
    assert mirror.json(f"{api}/refs")[2]["branches"][0]["targetCommit"] == sha
    assert mirror.get(f"{api}/auth-check")[0] == 200


def test_head__as_a_revision__costs_no_call_where_main_is_known(hub, repo, mirror):
    mirror.get("/org/pointed/resolve/main/a.txt")
    hub.reset_counters()

    status, headers, body = mirror.get("/org/pointed/resolve/HEAD/a.txt")

    assert (status, body) == (200, b"0123456789")
    assert headers["X-Repo-Commit"] == repo.branches["main"]
    assert hub.calls == []


def test_options__through_gunicorn__a_browser_may_resume_with_a_token(repo, mirror):
    asked = {
        "Origin": "https://page.example",
        "Access-Control-Request-Method": "GET",
        "Access-Control-Request-Headers": "authorization,range",
    }

    status, headers, body = mirror.get("/org/pointed/resolve/main/a.txt", method="OPTIONS", headers=asked)
    answer = mirror.get(
        "/org/pointed/resolve/main/a.txt", headers={"Origin": asked["Origin"], "Range": "bytes=0-0"}
    )

    assert (status, body) == (204, b"")
    assert headers["Access-Control-Allow-Headers"] == "authorization,range"
    assert "GET" in headers["Access-Control-Allow-Methods"]
    assert answer[0] == 206
    exposed = {name.strip().lower() for name in answer[1]["Access-Control-Expose-Headers"].split(",")}
    assert {"content-range", "etag", "x-repo-commit", "x-linked-size", "x-error-code"} <= exposed


def test_range_of_one_byte__first_request__has_all_that_hf_hub_reads(repo, mirror):
    status, headers, body = mirror.get(
        "/org/pointed/resolve/main/dir/big.safetensors", headers={"Range": "bytes=0-0"}
    )

    assert (status, len(body)) == (206, 1)
    assert headers["Content-Range"] == f"bytes 0-0/{BIG.size}"
    assert headers["X-Repo-Commit"] == repo.branches["main"]
    sha256 = hashlib.sha256(bytes(BIG)).hexdigest()
    assert headers["ETag"] == headers["X-Linked-Etag"] == f'"{sha256}"'
