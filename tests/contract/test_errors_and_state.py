"""Refusals told apart by their codes, faults never taken for refusals, and what outlives an outage."""

import contextlib
import re
import socket
import threading

import pytest

from dingospeed.testing import Generated
from tests.contract.asking import (
    BIG,
    DEEP,
    EMPTY,
    FORM,
    INVALID,
    LET_IN,
    MORE,
    OTHER,
    SMALL,
    api,
    resolve,
)
from tests.harness import expected

pytestmark = pytest.mark.server

METHODS = ("HEAD", "GET")
STARS = "*" * 64


def code(answer):
    return answer[0], answer[1]["X-Error-Code"]


def ways_to(repo, *, revision="main", path=SMALL):
    """All ways to a repo, its info and listing first."""
    return [
        f"{repo.api_address}/revision/{revision}",
        f"{repo.api_address}/tree/{revision}?recursive=true",
        f"{repo.api_address}/tree/{revision}?expand=true",
        f"{repo.api_address}/commits/{revision}",
        f"{repo.address}/resolve/{revision}/{path}",
        f"{repo.address}/raw/{revision}/{path}",
    ]


class Missing:
    """A repo that there is not."""

    address = "/org/no-such-repo"
    api_address = "/api/models/org/no-such-repo"


def test_50_refusals__all__carry_the_code_clients_know_them_by(hub, make_repo, mirror):
    """Also those for which the Hub itself sends none: a repo that the anonymous may not know of.
    Two have no code on the Hub, and clients want none: an unknown token, and a repo that is disabled.
    """
    repo, gated, private = make_repo(), make_repo(gated="manual"), make_repo(private=True)
    sha = repo.branches["main"]
    about = ("", "/refs", "/auth-check", "/discussions")
    none = [*ways_to(Missing), *(Missing.api_address + rest for rest in about)]
    hidden = [*ways_to(private), *(api(private, rest) for rest in about)]
    nowhere = ways_to(repo, revision="no-such-revision")
    absent = [
        *(f"{repo.address}/{way}/main/none.txt" for way in ("resolve", "raw")),
        *(api(repo, f"/tree/main/none{query}") for query in ("", "?expand=true")),
        f"/api/resolve-cache/models/{repo.id}/{sha}/none.txt",
    ]
    locked = [resolve(gated, SMALL), resolve(gated, BIG), resolve(gated, "none"), api(gated, "/auth-check")]
    expected_answers = [
        *((path, token, (404 if token else 401, "RepoNotFound")) for path in none for token in (None, OTHER)),
        *(
            (path, token, (404 if token else 401, "RepoNotFound"))
            for path in hidden
            for token in (None, OTHER)
        ),
        *((path, token, (404, "RevisionNotFound")) for path in nowhere for token in (None, OTHER)),
        *((path, token, (404, "EntryNotFound")) for path in absent for token in (None, OTHER)),
        *((path, token, (403 if token else 401, "GatedRepo")) for path in locked for token in (None, OTHER)),
    ]

    for path, token, answer in expected_answers:
        for method in METHODS:
            found = mirror.get(path, method=method, token=token)
            assert code(found) == answer, (method, path, token)
            assert found[1]["X-Error-Message"]
            assert found[0] != 401 or found[1]["WWW-Authenticate"]
    form = {"Content-Type": FORM}
    for asked, answer in (
        (f"{Missing.api_address}/paths-info/main", (401, "RepoNotFound")),
        (api(repo, "/paths-info/no-such-revision"), (404, "RevisionNotFound")),
    ):
        assert code(mirror.get(asked, method="POST", body=f"paths={SMALL}", headers=form)) == answer
    repo.disabled = True
    status, headers, _ = mirror.get(api(repo, "/commits/main"))
    assert (status, headers["X-Error-Message"]) == (403, "Access to this resource is disabled.")


def test_51_exists__over_plain_http__false_and_no_exception(make_repo, mirror, make_client):
    repo, private = make_repo(), make_repo(private=True)
    client = make_client(mirror.url)
    code = f"""
        repo, private, path = {repo.id!r}, {private.id!r}, {SMALL!r}
        there = [repo_exists(repo), file_exists(repo, path), revision_exists(repo, "main")]
        not_there = [
            *(repo_exists(id) for id in ("org/none", "none", private)),
            *(file_exists(id, path) for id in ("org/none", private)),
            file_exists(repo, "none"), file_exists(repo, path, revision="none"),
            *(revision_exists(id, "main") for id in ("org/none", private)),
            revision_exists(repo, "none"),
        ]
        print(json.dumps(there + not_there))
    """

    assert mirror.url.startswith("http://")
    for token in (None, OTHER):
        assert client.run(code, token=token) == [True] * 3 + [False] * 10


def test_52_missing_file__remembered_by_the_client_under_the_commit(hub, make_repo, mirror, make_client):
    repo = make_repo()
    sha = repo.branches["main"]
    client = make_client(mirror.url)
    mirror.get(resolve(repo, SMALL))
    hub.reset_counters()

    for method in METHODS:
        status, headers, _ = mirror.get(resolve(repo, "adapter_config.json"), method=method)
        assert (status, headers["X-Error-Code"], headers["X-Repo-Commit"]) == (404, "EntryNotFound", sha)
    found = client.run(
        f"""
        try:
            hf_hub_download({repo.id!r}, "adapter_config.json")
        except errors.EntryNotFoundError:
            print(json.dumps("not found"))
        """.replace("errors.", "__import__('huggingface_hub.errors').errors.")
    )

    assert found == "not found"
    assert list(client.home.glob(f"hub/*/.no_exist/{sha}/adapter_config.json"))
    assert hub.calls == []


FAULTS = {
    "timeout": ("latency", {"seconds": 60}),
    "refuse": ("refuse", {}),
    "500": ("status", {"code": 500}),
    "503": ("status", {"code": 503}),
    "504": ("status", {"code": 504}),
    "429": ("status", {"code": 429, "retry_after": 600}),
    "portal": ("html_200", {}),
    "cut": ("cut", {"after": 1}),
}


@pytest.mark.parametrize("name", [*FAULTS, "tls"])
def test_53_upstream__fails_in_any_way__not_taken_for_a_refusal(lone_hub, make_repo, make_mirror, name):
    """A 429 of the upstream may also be told as one of ours."""
    new, known = (make_repo(on=lone_hub) for _ in range(2))
    mirror = make_mirror(
        lone_hub,
        metadata={"ttl_s": 0},
        upstream={"timeouts": {"connect_s": 1, "read_s": 0.5}, "probe_s": 0.2},
    )
    for path in (SMALL, BIG):
        mirror.get(resolve(known, path))
    mirror.json(api(known, "/tree/main"))
    if name == "tls":
        # Plain HTTP where TLS is awaited.
        mirror.lines = [{"url": lone_hub.url.replace("http://", "https://"), "hub": True}]
        mirror.restart()
    else:
        kind, arguments = FAULTS[name]
        lone_hub.fault("any", kind, **arguments)
    unavailable = (429, 503) if name == "429" else (502, 503, 504)

    cold = [
        *ways_to(new),
        resolve(new, BIG),
        api(new),
        api(new, "/refs"),
        "/api/whoami-v2",
        "/api/models?search=x",
    ]
    cold += [f"{new.address}/info/refs?service=git-upload-pack", f"/v2/{new.id}/manifests/latest"]
    for path in cold:
        for token in (None, LET_IN):
            status, headers, _ = mirror.get(path, token=token)
            assert status in unavailable, path
            assert headers["X-Error-Code"] is None
            assert headers["Retry-After"].isdecimal()
    for path in (SMALL, BIG):
        assert mirror.get(resolve(known, path))[::2] == (200, known.content(path))
    for rest in ("", "/revision/main", "/tree/main", "/refs"):
        assert mirror.get(api(known, rest))[0] == 200
    assert mirror.get(resolve(known, "none"))[0] == 404


def test_54_upstream_gone__all_that_is_cached__downloads_by_sha_and_by_branch(
    lone_hub, make_repo, make_mirror, make_client
):
    model, dataset, by_file = (
        make_repo(on=lone_hub),
        make_repo(on=lone_hub, type="datasets"),
        make_repo(on=lone_hub),
    )
    mirror = make_mirror(lone_hub, metadata={"ttl_s": 0})
    make_client(mirror.url).snapshot(model.id)
    make_client(mirror.url).snapshot(dataset.id, repo_type="dataset")
    for path in (SMALL, BIG):
        mirror.get(resolve(by_file, path))
    lone_hub.stop()

    for flags in ((), ("--offline",)):
        mirror.restart(*flags)
        for repo, type in ((model, "model"), (dataset, "dataset")):
            for revision in ("main", repo.branches["main"]) if not flags else (None,):
                found = make_client(mirror.url).snapshot(repo.id, repo_type=type, revision=revision)
                assert found == expected(repo)
        # As clients before 1.0 do: the files from the info, then each by its own.
        info = mirror.json(api(model, "/revision/main"))[2]
        for sibling in info["siblings"]:
            status, headers, _ = mirror.get(resolve(model, sibling["rfilename"], info["sha"]), method="HEAD")
            assert (status, headers["X-Repo-Commit"]) == (200, info["sha"])
        for path in (SMALL, BIG):
            for revision in ("main", by_file.branches["main"]):
                assert mirror.get(resolve(by_file, path, revision))[::2] == (200, by_file.content(path))


@pytest.mark.parametrize("gated", ["manual", "auto"])
def test_55_gated__without_right__refused_cold_and_cached_and_listed_truthfully(make_repo, mirror, gated):
    repo = make_repo(gated=gated)
    sha = repo.branches["main"]

    for is_cached in (False, True):
        if is_cached:
            assert mirror.get(resolve(repo, BIG), token=LET_IN)[2] == repo.content(BIG)
        for path in (BIG, SMALL):
            for way in (resolve(repo, path), resolve(repo, path, sha), f"{repo.address}/raw/main/{path}"):
                for method in METHODS:
                    assert code(mirror.get(way, method=method)) == (401, "GatedRepo")
                    assert code(mirror.get(way, method=method, token=OTHER)) == (403, "GatedRepo")
        assert mirror.get(f"/api/resolve-cache/models/{repo.id}/{sha}/{SMALL}")[0] == 401
        for token in (None, OTHER, LET_IN):
            for rest in ("", "/revision/main", f"/revision/{sha}", "?expand=gated"):
                assert mirror.json(api(repo, rest), token=token)[2]["gated"] == gated
    # Nor is a name of its content a right to it, at the repo itself or by way of one that is open to all.
    oid, open_to_all = repo.sha256(BIG), make_repo()
    for token in (None, OTHER):
        for one, statuses in ((repo, (401, 403)), (open_to_all, (404,))):
            assert mirror.get(f"{one.address}.git/info/lfs/objects/{oid}", token=token)[0] in statuses
            assert mirror.get(f"/v2/{one.id}/blobs/sha256:{oid}", token=token)[0] in statuses


def test_56_unknown_token__anywhere__told_in_the_words_of_the_hub(make_repo, mirror):
    """What is shown to the anonymous may also be shown to a token that is none; never more than that."""
    repo, gated, private = make_repo(), make_repo(gated="auto"), make_repo(private=True)
    invalid = (401, "Invalid credentials in Authorization header", None)

    def told(path, method="GET"):
        status, headers, body = mirror.get(path, method=method, token=INVALID)
        return (status, headers["X-Error-Message"], headers["X-Error-Code"]), body

    for _ in range(2):
        about = [api(private, rest) for rest in ("", "/auth-check", "/discussions")]
        for path in (*ways_to(private), *about, resolve(private, BIG)):
            for method in METHODS:
                assert told(path, method)[0] == invalid, (method, path)
        for path in (resolve(gated, SMALL), resolve(gated, BIG), api(gated, "/auth-check"), "/api/whoami-v2"):
            for method in METHODS:
                assert told(path, method)[0] == invalid, (method, path)
        for path in (
            api(gated),
            api(gated, "/tree/main"),
            api(repo),
            resolve(repo, SMALL),
            resolve(repo, BIG),
        ):
            answer, body = told(path)
            assert answer == invalid or (answer[0], body) == mirror.get(path)[::2], path
        for one in (gated, private):
            mirror.get(resolve(one, BIG), token=LET_IN)


def test_57_starred_identities__seen_first_by_a_stranger__never_taken_for_any(
    hub, make_repo, mirror, make_client
):
    repo = make_repo(gated="auto")
    tree = api(repo, "/tree/main?recursive=true")

    for token in (None, OTHER):
        oids = {
            entry["path"]: entry["lfs"]["oid"]
            for entry in mirror.json(tree, token=token)[2]
            if "lfs" in entry
        }
        assert oids == {BIG: STARS, MORE: STARS}
        mirror.get(api(repo, "?blobs=true"), token=token)
    for _ in range(2):
        for path in (BIG, MORE):
            status, headers, _ = mirror.get(resolve(repo, path), method="HEAD", token=LET_IN)
            assert (status, headers["ETag"]) == (200, f'"{repo.sha256(path)}"')
        for path in (tree, api(repo, "?blobs=true"), api(repo, "/tree/main?expand=true")):
            assert "**" not in mirror.get(path, token=LET_IN)[2].decode()
        assert make_client(mirror.url).snapshot(repo.id, token=LET_IN) == expected(repo)
    assert not [path for path in mirror.repos.rglob("*") if "*" in path.name]
    assert STARS not in mirror.get(resolve(repo, BIG), method="HEAD")[1].as_string()


def test_58_upstream_limits_the_rate__waited_for_or_stale_or_told_with_seconds(
    lone_hub, make_repo, make_mirror
):
    new, known, waited = (make_repo(on=lone_hub) for _ in range(3))
    mirror = make_mirror(lone_hub, metadata={"ttl_s": 0})
    mirror.get(resolve(known, SMALL))
    mirror.get(api(known))

    short = lone_hub.fault("api", "status", code=429, retry_after=1, times=1)
    assert mirror.get(resolve(waited, SMALL))[::2] == (200, waited.content(SMALL))
    assert short.hits == 1
    lone_hub.rate_limits.set("api", 0, window_s=600)
    for method in METHODS:
        assert mirror.get(resolve(known, SMALL), method=method)[0] == 200
        assert mirror.get(api(known, "/revision/main"), method=method)[0] == 200
        for path in (resolve(new, SMALL), api(new), api(new, "/tree/main"), "/api/models?search=x"):
            status, headers, _ = mirror.get(path, method=method)
            assert (status, headers["X-Error-Code"]) == (429, None), path
            assert 0 < int(headers["Retry-After"]) <= 600


class Counting:
    """A way to the mirror on which requests are counted, and nothing else happens."""

    def __init__(self, port):
        self.requests: list[str] = []
        self._to = ("127.0.0.1", port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self):
        self._listener.close()

    def _accept(self):
        with contextlib.suppress(OSError):
            while True:
                client = self._listener.accept()[0]
                server = socket.create_connection(self._to)
                threading.Thread(target=self._pass, args=(client, server, True), daemon=True).start()
                threading.Thread(target=self._pass, args=(server, client, False), daemon=True).start()

    def _pass(self, source, target, is_counted):
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                if is_counted:
                    self.requests += re.findall(
                        r"^([A-Z]+ \S+) HTTP/1.1\r$", data.decode("latin-1"), re.MULTILINE
                    )
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)


def test_59_second_snapshot__of_an_unchanged_repo__one_request_and_no_call_upstream(
    hub, make_repo, mirror, make_client
):
    repo = make_repo()

    with contextlib.closing(Counting(mirror.port)) as counting:
        client = make_client(counting.url)
        first = client.snapshot(repo.id)
        assert len(counting.requests) > len(repo.files())
        counting.requests.clear()
        hub.reset_counters()
        second = client.snapshot(repo.id)

    assert first == second == expected(repo)
    assert counting.requests == [f"GET /api/models/{repo.id}/revision/main"]
    assert hub.calls == []


def test_60_answers__by_commit_and_by_branch__never_change_and_change_in_time(
    lone_hub, make_repo, make_mirror
):
    repo = make_repo(on=lone_hub)
    sha = repo.branches["main"]
    eager, patient = (
        make_mirror(lone_hub, metadata={"ttl_s": 0}),
        make_mirror(lone_hub, metadata={"ttl_s": 3600}),
    )
    by_commit = [
        *(resolve(repo, path, sha) for path in (SMALL, BIG, DEEP, EMPTY, "new.txt")),
        *(
            api(repo, f"/{rest}")
            for rest in (f"tree/{sha}?recursive=true", f"tree/{sha}/nested", f"revision/{sha}")
        ),
        api(repo, f"/revision/{sha}?blobs=true"),
    ]

    def answers(mirror):
        kept = ("etag", "content-length", "x-repo-commit", "x-error-code", "link")
        found = [mirror.get(path) for path in by_commit]
        return [(status, [headers[name] for name in kept], body) for status, headers, body in found]

    def named(mirror):
        headers = mirror.get(resolve(repo, SMALL), method="HEAD")[1]
        info = mirror.json(api(repo, "/revision/main"))[2]
        assert headers["X-Repo-Commit"] == info["sha"]
        assert mirror.get(api(repo, "/tree/main"))[1]["X-Repo-Commit"] == info["sha"]
        return info["sha"], headers["ETag"]

    before = [answers(mirror) for mirror in (eager, patient)]
    assert named(eager) == named(patient) == (sha, f'"{repo.etag(SMALL)}"')
    new = repo.commit({SMALL: b"{}", "new.txt": b"new", BIG: Generated(70_000, seed=60)}, delete=[DEEP])
    repo.grant("bob")

    assert named(eager) == (new, f'"{repo.etag(SMALL)}"')
    assert eager.get(resolve(repo, "new.txt"))[2] == b"new"
    assert eager.get(resolve(repo, DEEP))[0] == 404
    assert named(patient)[0] == sha
    assert [answers(mirror) for mirror in (eager, patient)] == before
    lone_hub.stop()
    for mirror in (eager, patient):
        mirror.restart()
    assert [answers(mirror) for mirror in (eager, patient)] == before
