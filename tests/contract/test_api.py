"""Questions about repos: the shapes clients rely on, online and when nobody can be asked."""

import base64
import json
import subprocess
import sys
from pathlib import Path
from urllib.parse import quote

import pytest

from tests.contract.asking import (
    BIG,
    DEEP,
    EMPTY,
    FORM,
    LET_IN,
    MORE,
    OTHER,
    SMALL,
    api,
    pages,
    resolve,
)
from tests.harness import Client

pytestmark = pytest.mark.server

HARNESS_PATIENCE_S = 3
# What the constructors of huggingface_hub 0.20 read without asking whether it is there.
INFO_KEYS = {"id", "sha", "siblings", "private", "gated", "downloads", "likes", "tags"}


def paths_info(mirror, repo, paths, *, as_json=False, expand=None, revision="main"):
    """As Python clients ask, by a form; or as huggingface.js does, by JSON."""
    if as_json:
        body = json.dumps({"paths": paths, "expand": bool(expand)})
    else:
        switch = [] if expand is None else [f"expand={expand}"]
        body = "&".join([*(f"paths={quote(path)}" for path in paths), *switch])
    type = "application/json" if as_json else FORM
    path = api(repo, f"/paths-info/{revision}")
    return mirror.json(path, method="POST", body=body, headers={"Content-Type": type})


@pytest.mark.parametrize("type", ["models", "datasets", "spaces"])
def test_36_info__online_and_when_upstream_is_gone__all_that_clients_read(
    lone_hub, make_repo, make_mirror, type
):
    repo = make_repo(on=lone_hub, type=type)
    sha = repo.branches["main"]
    mirror = make_mirror(lone_hub, metadata={"ttl_s": 0})
    ways = ("", "/revision/main", f"/revision/{sha}", "/revision/HEAD")

    def check():
        for way in ways:
            status, headers, info = mirror.json(api(repo, way))
            assert status == 200
            assert set(info) >= INFO_KEYS, way
            assert (info["id"], info["sha"], info["private"], info["gated"]) == (repo.id, sha, False, False)
            assert [sibling["rfilename"] for sibling in info["siblings"]] == repo.files()
            assert headers["Content-Type"].startswith("application/json")

    check()
    lone_hub.stop()
    check()
    mirror.restart("--offline")
    check()


def test_37_info_with_blobs__any_spelling_of_true__identities(make_repo, mirror):
    repo = make_repo()

    answers = [
        mirror.json(api(repo, f"{way}?blobs={value}"))[2]["siblings"]
        for way in ("", "/revision/main")
        for value in ("true", "True", "1")
    ]
    without = mirror.json(api(repo, "?blobs=false"))[2]["siblings"]

    assert [answer == answers[0] for answer in answers] == [True] * 6
    found = {sibling["rfilename"]: sibling for sibling in answers[0]}
    for path in repo.files():
        entry = repo.entry(path)
        lfs = {"sha256": entry.sha256, "size": entry.size, "pointerSize": len(entry.pointer)}
        expected = {"rfilename": path, "blobId": entry.blob_id, "size": entry.size}
        assert found[path] == (expected | {"lfs": lfs} if entry.is_lfs else expected)
    assert without == [{"rfilename": path} for path in repo.files()]


def test_38_expand__both_spellings__only_that_and_offline_never_less_than_the_id(
    lone_hub, make_repo, make_mirror
):
    repo = make_repo(on=lone_hub)
    mirror = make_mirror(lone_hub)
    mirror.json(api(repo))
    spellings = (
        "?expand=sha&expand=gated",
        "?expand[]=sha&expand[]=gated",
        "?expand%5B%5D=sha&expand%5B%5D=gated",
    )

    for spelling in spellings:
        for way in ("", "/revision/main"):
            status, _, info = mirror.json(api(repo, way + spelling))
            assert (status, info["id"], info["sha"]) == (200, repo.id, repo.branches["main"])
            assert info["gated"] is False
            assert "siblings" not in info
    assert "sha" not in mirror.json(api(repo, "?expand[]=likes"))[2]
    lone_hub.stop()
    for spelling in (*spellings, "?expand=siblings"):
        status, _, info = mirror.json(api(repo, spelling))
        assert (status, info["id"], info["sha"]) == (200, repo.id, repo.branches["main"])


def test_39_tree__of_all_and_of_a_folder__paths_from_the_root(make_repo, mirror):
    repo = make_repo({"nested/ünï dir/x.txt": b"x"})
    everything = [
        SMALL,
        EMPTY,
        BIG,
        "nested",
        "nested/a",
        DEEP,
        MORE,
        "nested/ünï dir",
        "nested/ünï dir/x.txt",
    ]

    def listed(rest):
        status, headers, entries = mirror.json(api(repo, f"/tree/main{rest}"))
        assert (status, headers["X-Repo-Commit"]) == (200, repo.branches["main"])
        return {entry["path"] for entry in entries}

    assert listed("?recursive=true") == listed("?recursive=True") == set(everything)
    assert listed("") == listed("?recursive=false") == {SMALL, EMPTY, BIG, "nested"}
    for folder in ("nested", "nested/"):
        assert listed(f"/{folder}") == {"nested/a", MORE, "nested/ünï dir"}
        assert listed(f"/{folder}?recursive=true") == {
            "nested/a",
            DEEP,
            MORE,
            "nested/ünï dir",
            "nested/ünï dir/x.txt",
        }
    assert listed("/nested%2Fa") == listed("/nested/a") == {DEEP}
    assert listed(f"/{quote('nested/ünï dir', safe='')}") == {"nested/ünï dir/x.txt"}
    for missing in ("data", "nested%2Fb", f"{SMALL}", "additional_chat_templates"):
        status, headers, body = mirror.json(api(repo, f"/tree/main/{missing}"))
        assert (status, headers["X-Error-Code"]) == (404, "EntryNotFound")
        assert headers["X-Repo-Commit"] == repo.branches["main"]
        assert body["error"]


def test_40_tree_without_limit__many_files__a_thousand_at_once_and_all_through_links(hub, make_repo, mirror):
    repo = make_repo({f"d{number % 50}/{number:05}.txt": b"" for number in range(60_000)}, only=True)

    status, _, first = mirror.json(api(repo, "/tree/main?recursive=true"))
    assert status == 200
    assert len(first) >= 1000
    for query in ("?recursive=true", "?recursive=true&limit=1000"):
        found = [entry["path"] for page in pages(mirror, api(repo, f"/tree/main{query}")) for entry in page]
        assert len(found) == 60_050
        assert {path for path in found if "/" in path} == set(repo.files())


def foreign_cursor(path):
    """As text-generation-webui makes one up from the last path it saw."""
    inner = base64.b64encode(json.dumps({"file_name": path}, separators=(",", ":")).encode())
    return base64.b64encode(inner + b":50").decode().replace("=", "%3D")


def test_41_tree__cursor_made_up_by_the_client__goes_on_and_ends(make_repo, mirror):
    repo = make_repo({f"part-{number}.bin": b"%d" % number for number in range(5)})
    seen: list[str] = []

    cursor = ""
    for _ in range(20):
        query = f"?cursor={cursor}" if cursor else ""
        status, _, entries = mirror.json(api(repo, f"/tree/main{query}"))
        assert status == 200
        if not entries:
            break
        seen += [entry["path"] for entry in entries]
        cursor = foreign_cursor(seen[-1])

    assert entries == []
    assert sorted(seen) == sorted({path.partition("/")[0] for path in repo.files()})
    middle = mirror.json(api(repo, f"/tree/main?cursor={foreign_cursor(seen[2])}"))[2]
    assert [entry["path"] for entry in middle] == seen[3:]
    # One that the commit of today does not have: on from where it would be.
    gone = mirror.json(api(repo, f"/tree/main?cursor={foreign_cursor('part-2.binary')}"))[2]
    assert [entry["path"] for entry in gone] == ["part-3.bin", "part-4.bin"]


def test_42_entries__of_trees__have_the_keys_of_the_hub(make_repo, mirror):
    repo = make_repo()
    sha = repo.branches["main"]

    for entry in mirror.json(api(repo, "/tree/main?recursive=true"))[2]:
        path = entry["path"]
        if entry["type"] == "directory":
            assert entry == {
                "type": "directory",
                "path": path,
                "size": 0,
                "oid": repo.commits[sha].trees[path],
            }
            continue
        file = repo.entry(path)
        expected = {"type": "file", "path": path, "size": file.size, "oid": file.blob_id}
        if file.is_lfs:
            expected["lfs"] = {"oid": file.sha256, "size": file.size, "pointerSize": len(file.pointer)}
        assert entry == expected


def test_43_paths_info__by_form_and_by_json__the_same_without_what_is_missing(make_repo, mirror):
    repo = make_repo({"a b+c.txt": b"x"})
    paths = [BIG, "missing.txt", "nested", SMALL, "a b+c.txt", "nested/none"]

    answers = [paths_info(mirror, repo, paths, as_json=as_json, expand=False) for as_json in (False, True)]

    tree = {entry["path"]: entry for entry in mirror.json(api(repo, "/tree/main?recursive=true"))[2]}
    for status, _, entries in answers:
        assert status == 200
        assert {entry["path"]: entry for entry in entries} == {
            path: tree[path] for path in (BIG, "nested", SMALL, "a b+c.txt")
        }
    assert paths_info(mirror, repo, ["missing.txt"])[::2] == (200, [])
    assert paths_info(mirror, repo, [SMALL])[2] == [tree[SMALL]]
    for as_json, expand in ((False, True), (False, "true"), (True, True)):
        (entry,) = paths_info(mirror, repo, [BIG], as_json=as_json, expand=expand)[2]
        assert entry["lastCommit"]["id"] == repo.branches["main"]
        assert entry["lfs"]["oid"] == repo.sha256(BIG)


def test_44_refs__online_and_of_a_cached_repo_offline__names_and_commits(lone_hub, make_repo, make_mirror):
    """Offline also where nobody asked for them before: llama.cpp begins with this question."""
    repo, only_files = make_repo(on=lone_hub), make_repo(on=lone_hub)
    sha = repo.branches["main"]
    repo.tag("v1", sha)
    repo.pull_request(1, sha)
    repo.convert("parquet", sha)
    mirror = make_mirror(lone_hub, metadata={"ttl_s": 0})

    def refs(query=""):
        status, _, found = mirror.json(api(repo, f"/refs{query}"))
        assert status == 200
        return found

    for _ in ("online", "offline"):
        found = refs()
        assert found["branches"] == [{"name": "main", "ref": "refs/heads/main", "targetCommit": sha}]
        assert found["tags"] == [{"name": "v1", "ref": "refs/tags/v1", "targetCommit": sha}]
        assert [ref["name"] for ref in found["converts"]] == ["parquet"]
        assert "pullRequests" not in found
        for query in ("?include_prs=1", "?include_prs=true"):
            assert [ref["ref"] for ref in refs(query)["pullRequests"]] == ["refs/pr/1"]
        mirror.get(resolve(only_files, SMALL))
        lone_hub.stop()
    mirror.restart("--offline")
    status, _, found = mirror.json(api(only_files, "/refs"))
    assert status == 200
    assert found["branches"] == [
        {"name": "main", "ref": "refs/heads/main", "targetCommit": only_files.branches["main"]}
    ]
    assert found["tags"] == []


def test_45_other_questions__of_different_callers__passed_on_and_never_shared(hub, make_repo, mirror):
    private, gated, public = make_repo(private=True), make_repo(gated="auto"), make_repo()
    callers = (LET_IN, None, OTHER)

    for first in callers:  # Whoever comes first decides nothing.
        for token in (first, *callers):
            if token is not None:
                who = mirror.json("/api/whoami-v2", token=token)[2]
                assert who["name"] == ("ann" if token == LET_IN else "bob")
                assert who["auth"]["accessToken"]["role"] == "read"
            else:
                assert mirror.get("/api/whoami-v2")[0] == 401
            for rest in ("/commits/main", "/auth-check", "/discussions", "/discussions?p=0"):
                is_in = token == LET_IN
                status = mirror.get(api(private, rest), token=token)[0]
                assert status == (200 if is_in else 404 if token else 401), (rest, token)
                assert mirror.get(api(public, rest), token=token)[0] == 200
            assert mirror.get(api(gated, "/auth-check"), token=token)[0] == (
                200 if token == LET_IN else 403 if token else 401
            )
            for query in ("search=org", "author=org", "search=org&full=true", "search=org&limit=1000"):
                found = {one["id"] for one in mirror.json(f"/api/models?{query}", token=token)[2]}
                assert public.id in found
                assert (private.id in found) == (token == LET_IN), (query, token)
    commits = mirror.json(api(public, "/commits/main?expand[]=formatted"))[2]
    assert [commit["id"] for commit in commits] == [public.branches["main"]]
    assert {call.authorization for call in hub.select(route="whoami-v2")} == {"ann", "bob", None}


def test_46_questions_of_no_use__upstream_hangs__answered_here_in_time(lone_hub, make_mirror):
    mirror = make_mirror(lone_hub)
    lone_hub.fault("any", "latency", seconds=60)
    lone_hub.reset_counters()

    def ask(method, path):
        connection = mirror.connect()
        connection.timeout = HARNESS_PATIENCE_S
        connection.request(method, path, headers={"User-Agent": "python-httpx/0.28.1"})
        answer = connection.getresponse()
        body = answer.read()
        connection.close()
        return answer.status, body

    status, body = ask("GET", "/api/agent-harnesses")
    assert (status, json.loads(body)) == (200, {"harnesses": {}, "standardEnvVars": []})
    for topic in ("hf_hub", "gradio/initiated", "spaces/some/thing"):
        for method in ("HEAD", "GET"):
            assert ask(method, f"/api/telemetry/{topic}")[0] // 100 == 2
    assert lone_hub.calls == []


def test_47_json__of_every_answer__is_compact(make_repo, mirror):
    """hfd.sh looks for ``"gated":`` and ``"rfilename":"`` without a parser."""
    repo = make_repo()
    asked = [
        *(
            api(repo, rest)
            for rest in ("", "?blobs=true", "?expand=siblings", "/revision/main", "/tree/main")
        ),
        *(api(repo, rest) for rest in ("/tree/main?expand=true", "/refs", "/commits/main", "/discussions")),
        *(
            api(repo, rest)
            for rest in ("/tree/main/none", "/revision/none", "/xet-read-token/main", "/nothing")
        ),
        *(
            "/api/models?search=org&full=true",
            "/api/agent-harnesses",
            "/api/models/org/no-such-repo",
            "/api/nothing",
        ),
    ]

    bodies = [mirror.get(path)[2] for path in asked]
    bodies.append(mirror.get("/api/whoami-v2", token=LET_IN)[2])
    bodies.append(mirror.get("/api/repos/create", method="POST", body=b"{}")[2])

    for body in bodies:
        assert body.decode() == json.dumps(json.loads(body), separators=(",", ":"), ensure_ascii=False)
    assert b'"rfilename":"' in bodies[0]
    assert b'"gated":false' in bodies[0]


def test_48_cache_verify__after_a_download__no_mismatch(make_repo, mirror, make_client):
    model, dataset = make_repo(), make_repo(type="datasets")
    client = make_client(mirror.url)
    client.snapshot(model.id)
    client.snapshot(dataset.id, repo_type="dataset")

    for more in ([model.id], [dataset.id, "--repo-type", "dataset"]):
        found = hf(client, "cache", "verify", *more)
        assert found.returncode == 0, found.stdout + found.stderr
    (blob,) = client.home.glob(f"hub/*/blobs/{model.sha256(BIG)}")
    blob.write_bytes(b"not that")
    assert hf(client, "cache", "verify", model.id).returncode != 0


def hf(client: Client, *words: str) -> "subprocess.CompletedProcess[str]":
    command = [str(Path(sys.executable).with_name("hf")), *words]
    return subprocess.run(command, env=client.environ(), capture_output=True, text=True, check=False)


WRITES = [
    ("POST", "/api/repos/create"),
    ("DELETE", "/api/repos/delete"),
    ("POST", "/api/repos/move"),
    ("POST", "/api/validate-yaml"),
    ("POST", "{api}/preupload/main"),
    ("POST", "{api}/commit/main"),
    ("POST", "{api}/branch/new"),
    ("DELETE", "{api}/branch/main"),
    ("POST", "{api}/tag/main"),
    ("DELETE", "{api}/tag/v1"),
    ("POST", "{api}/super-squash/main"),
    ("POST", "{api}/lfs-files/batch"),
    ("PUT", "{api}/settings"),
    ("POST", "{api}/discussions"),
    ("POST", "{api}/discussions/1/comment"),
    ("POST", "{api}/user-access-request/handle"),
    ("GET", "{api}/xet-write-token/main"),
    ("POST", "{page}.git/info/lfs/objects/batch"),
    ("POST", "{page}/git-receive-pack"),
    ("GET", "{page}/info/refs?service=git-receive-pack"),
    ("POST", "/api/buckets/org/name/batch"),
    ("PUT", "{page}/resolve/main/config.json"),
    ("PATCH", "{page}/resolve/main/config.json"),
    ("DELETE", "{page}/resolve/main/config.json"),
    ("PUT", "/v2/org/name/manifests/latest"),
    ("POST", "/v2/org/name/blobs/uploads/"),
    ("POST", "/"),
]
UNKNOWN = [
    "/api/nothing/here",
    "{api}/nothing",
    "{page}/nothing/main/x",
    "/nothing",
    "/buckets/org/name/resolve/x",
]


def test_49_writes_and_unknown_routes__of_anybody__refused_with_a_reason(hub, make_repo, mirror):
    repo = make_repo()
    mirror.get(api(repo))
    hub.reset_counters()
    asked = [*WRITES, *(("GET", path) for path in UNKNOWN)]

    for method, path in asked:
        for token in (None, LET_IN):
            path = path.format(api=repo.api_address, page=repo.address)
            body = None if method == "GET" else json.dumps({"operation": "upload", "objects": []})
            status, headers, body = mirror.get(path, method=method, token=token, body=body)

            assert status in (403, 404, 405), (method, path)
            assert headers["X-Error-Message"], (method, path)
            assert b"Traceback" not in body
            if path.startswith("/api/"):
                assert json.loads(body)["error"] == headers["X-Error-Message"], (method, path)
    assert {call.method for call in hub.calls} <= {"GET", "HEAD"}
    assert hub.select(path_contains="xet-write-token") == []
    assert hub.select(path_contains="receive-pack") == []
