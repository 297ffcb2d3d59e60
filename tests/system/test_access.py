"""The fifth promise: nobody gets what the Hub would refuse them; cold, cached, and with nobody to ask."""

import pytest

from dingospeed.testing import Generated
from tests.harness import expected

pytestmark = pytest.mark.server

LET_IN, OTHER, INVALID = "hf_letin000000", "hf_other000000", "hf_nobody00000"
FILES = {"config.json": b"{}", "secret.bin": Generated(size=300_000, seed=4)}


@pytest.fixture
def hub(hub):
    hub.add_user("ann", token=LET_IN)
    hub.add_user("bob", token=OTHER)
    for name in ("private", "gated"):
        repo = hub.add_repo(
            "models", f"org/{name}", private=name == "private", gated=name == "gated" and "manual"
        )
        repo.commit(FILES)
        repo.grant("ann")
    return hub


def secret(mirror, name, token=None, *, method="GET", revision="main"):
    return mirror.get(f"/org/{name}/resolve/{revision}/secret.bin", method=method, token=token)


EXPECTED = {
    ("private", None): (401, "RepoNotFound"),
    ("private", OTHER): (404, "RepoNotFound"),
    ("private", INVALID): (401, None),
    ("gated", None): (401, "GatedRepo"),
    ("gated", OTHER): (403, "GatedRepo"),
    ("gated", INVALID): (401, None),
}


def test_file__caller_without_right__is_refused_as_by_the_hub_cold_and_cached(mirror):
    for is_cached in (False, True):
        if is_cached:
            assert secret(mirror, "private", LET_IN)[0] == secret(mirror, "gated", LET_IN)[0] == 200
        for (name, token), expected_answer in EXPECTED.items():
            for method in ("GET", "HEAD"):
                status, headers, body = secret(mirror, name, token, method=method)

                assert (status, headers["X-Error-Code"]) == expected_answer, (name, token, method, is_cached)
                assert headers["X-Error-Message"]
                assert len(body) < 300
                assert status != 401 or headers["WWW-Authenticate"].startswith("Bearer")


def test_private__cached_and_hub_gone__is_not_told_from_a_repo_that_is_not_there(hub, make_mirror):
    mirror = make_mirror(hub, metadata={"ttl_s": 0}, access={"denied_ttl_s": 0})
    assert secret(mirror, "private", LET_IN)[0] == 200
    hub.stop()

    for flags in ((), ("--offline",)):
        mirror.restart(*flags)
        assert secret(mirror, "private", LET_IN)[0] == 200
        for token in (None, OTHER):
            for pattern in ("/{}/resolve/main/secret.bin", "/api/models/{}", "/api/models/{}/tree/main"):
                held, unknown = (
                    mirror.get(pattern.format(id), token=token) for id in ("org/private", "org/nothing")
                )
                assert (held[0], held[1]["X-Error-Message"], held[2]) == (
                    unknown[0],
                    unknown[1]["X-Error-Message"],
                    unknown[2],
                ), (pattern, token)
                assert held[0] == 503


@pytest.mark.parametrize("name", ["private", "gated"])
def test_file__caller_with_right__gets_it_cold_and_cached(hub, mirror, make_client, name):
    repo = hub.content.repo("models", f"org/{name}")

    assert make_client(mirror).snapshot(f"org/{name}", token=LET_IN) == expected(repo)
    assert make_client(mirror).snapshot(f"org/{name}", token=LET_IN) == expected(repo)
    assert hub.bytes_sent(host="cdn") == 300_000
    assert hub.leaks == []


@pytest.mark.parametrize("how", ["upstream gone", "offline"])
@pytest.mark.parametrize("name", ["private", "gated"])
def test_outage__after_restart__those_let_in_before_still_are_and_nobody_else(
    hub, mirror, make_client, name, how
):
    repo = hub.content.repo("models", f"org/{name}")
    make_client(mirror).snapshot(f"org/{name}", token=LET_IN)
    sha = repo.branches["main"]
    hub.stop()
    mirror.settings = {**mirror.settings, "access": {"allowed_ttl_s": 0, "denied_ttl_s": 0}}
    mirror.restart(*["--offline"] * (how == "offline"))

    assert make_client(mirror).snapshot(f"org/{name}", token=LET_IN) == expected(repo)
    for token in (None, OTHER, INVALID):
        for revision in ("main", sha):
            status, _, body = secret(mirror, name, token, revision=revision)
            assert status in (401, 403, 503)
            assert len(body) < 300


def test_private__listing_and_info__only_for_those_let_in(mirror):
    assert secret(mirror, "private", LET_IN)[0] == 200

    for path in ("", "/revision/main", "/tree/main?recursive=true", "/refs", "/auth-check"):
        for token in (None, OTHER, INVALID):
            status, _, body = mirror.get(f"/api/models/org/private{path}", token=token)
            assert status in (401, 404), (path, token, status)
            assert b"secret.bin" not in body
        assert mirror.get(f"/api/models/org/private{path}", token=LET_IN)[0] == 200
    body = b"paths=secret.bin"
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    assert (
        mirror.get("/api/models/org/private/paths-info/main", method="POST", body=body, headers=form)[0]
        == 401
    )


def test_gated__listed_to_all__identities_only_to_those_let_in(hub, mirror):
    path = "/api/models/org/gated/tree/main?recursive=true"

    def oid(token):
        status, _, entries = mirror.json(path, token=token)
        assert status == 200
        return next(entry["lfs"]["oid"] for entry in entries if entry["path"] == "secret.bin")

    # Whoever comes first: what one is shown must not become what the other gets.
    assert oid(None) == "*" * 64
    assert oid(LET_IN) == hub.content.repo("models", "org/gated").sha256("secret.bin")
    assert oid(None) == oid(OTHER) == "*" * 64


def test_gated__listed_first_by_a_stranger__those_let_in_still_download(hub, mirror, make_client):
    mirror.json("/api/models/org/gated/tree/main?recursive=true")

    found = make_client(mirror).snapshot("org/gated", token=LET_IN)

    assert found == expected(hub.content.repo("models", "org/gated"))


def test_public__becomes_private__cached_files_are_closed(hub, make_mirror):
    repo = hub.add_repo("models", "org/open")
    repo.commit(FILES)
    mirror = make_mirror(hub, metadata={"ttl_s": 0})
    sha = repo.branches["main"]
    assert secret(mirror, "open")[0] == 200

    repo.private = True

    assert secret(mirror, "open")[0] == 401
    assert secret(mirror, "open", revision=sha)[0] == 401


def test_token__second_line_is_no_hub__never_told(hub, second_hub, make_mirror):
    mirror = make_mirror(hub, second_hub)
    hub.fault(where="hub", kind="status", code=503)

    for token in (LET_IN, OTHER, None):
        secret(mirror, "gated", token)
        mirror.get("/api/whoami-v2", token=token)

    assert second_hub.calls
    assert not any(call.authorization for call in second_hub.calls)


def test_token__anywhere__not_in_log_metrics_or_files(mirror):
    for token in (LET_IN, OTHER, INVALID):
        secret(mirror, "gated", token)
        mirror.get("/api/whoami-v2", token=token)
    metrics = mirror.get("/metrics")[2]
    mirror.stop()

    for token in (LET_IN, OTHER, INVALID):
        assert token not in mirror.log()
        assert token.encode() not in metrics
        for path in mirror.repos.rglob("*"):
            assert token not in path.name
            assert path.is_dir() or token.encode() not in path.read_bytes()
