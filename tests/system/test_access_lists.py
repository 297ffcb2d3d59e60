"""What the operator says: whom the node's own token serves, and which repos are served and kept."""

import base64
import json

import pytest

from dingospeed.testing import Generated
from tests.harness import expected

pytestmark = pytest.mark.server

NODE, OTHER = "hf_node0000000", "hf_other000000"
FILES = {"config.json": b"{}", "secret.bin": Generated(size=300_000, seed=4)}
HERE = {"repos": ["org/*"], "networks": ["127.0.0.0/8", "::1"]}
ELSEWHERE = {"repos": ["org/*"], "networks": ["192.0.2.0/24"]}
LFS = {"Content-Type": "application/vnd.git-lfs+json", "Accept": "application/vnd.git-lfs+json"}


@pytest.fixture
def hub(hub):
    hub.add_user("node", token=NODE)
    hub.add_user("bob", token=OTHER)
    for name in ("open", "private", "gated"):
        gated = "manual" if name == "gated" else False
        repo = hub.add_repo("models", f"org/{name}", private=name == "private", gated=gated)
        repo.commit(FILES)
        repo.grant("node")
    return hub


@pytest.fixture
def make_with_token(hub, make_mirror):
    """Makes a mirror whose line has a token of its own."""

    def make(*rules, **settings):
        access = {"allowed_ttl_s": 3600, "denied_ttl_s": 3600, "node_token": list(rules)}
        lines = [{"url": hub.url, "hub": True, "token": NODE}]
        return make_mirror(hub, upstream={"lines": lines, "retries": 1}, access=access, **settings)

    return make


def resolve(mirror, name, **options):
    return mirror.get(f"/org/{name}/resolve/main/secret.bin", **options)


def questions_about(hub, mirror, name):
    """Every way to ask, as (method, path, headers, body)."""
    sha = hub.content.repo("models", "org/private").branches["main"]
    entry = hub.content.repo("models", "org/private").sha256("secret.bin")
    api, page = f"/api/models/org/{name}", f"/org/{name}"
    batch = json.dumps({"operation": "download", "objects": [{"oid": entry, "size": 300_000}]})
    got = [
        f"{page}/resolve/main/secret.bin",
        f"{page}/resolve/{sha}/secret.bin",
        f"{page}/resolve/none/secret.bin",
        f"{page}/resolve/main/none.bin",
        f"{page}/raw/main/config.json",
        f"/api/resolve-cache/models/org/{name}/{sha}/config.json",
        api,
        f"{api}?blobs=true",
        f"{api}?expand=sha",
        f"{api}/revision/{sha}",
        f"{api}/revision/none",
        f"{api}/tree/main?recursive=true",
        f"{api}/tree/main?expand=true",
        f"{api}/refs",
        f"{api}/auth-check",
        f"{api}/commits/main",
        f"{api}/discussions",
        f"{api}/xet-read-token/main",
        f"{page}/info/refs?service=git-upload-pack",
        f"{page}.git/info/lfs/objects/{entry}?size=300000",
        f"/v2{page}/manifests/latest",
        f"/v2{page}/blobs/sha256:{entry}",
    ]
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    return [
        *(("GET", path, {}, None) for path in got),
        *(("HEAD", path, {}, None) for path in got[:12]),
        ("POST", f"{api}/paths-info/main", form, "paths=secret.bin"),
        ("POST", f"{page}.git/info/lfs/objects/batch", LFS, batch),
        ("POST", f"{page}/git-upload-pack", {}, "0000"),
    ]


def shape(mirror, question, name, **options):
    """Status, the headers that tell something and the body, without the name and what is new each time."""
    method, path, headers, body = question
    status, told, text = mirror.get(path, method=method, headers=headers, body=body, **options)
    names = ("X-Error-Code", "X-Error-Message", "X-Repo-Commit", "ETag", "WWW-Authenticate", "X-Cache")
    shown = text.decode("utf-8", "replace").replace(name, "NAME")
    return status, [told[one] for one in names], shown.partition('"request_id"')[0]


# --- the node's own token ----------------------------------------------------------


@pytest.mark.parametrize("rules", [[], [ELSEWHERE]], ids=["no rule", "rule for others"])
def test_node_token__no_rule_for_the_caller__private_looks_like_none_to_every_question(
    hub, make_with_token, rules
):
    mirror = make_with_token(*rules)

    for is_cached in (False, True):
        if is_cached:
            assert resolve(mirror, "private", token=NODE)[0] == 200
        private, missing = (
            [shape(mirror, question, name) for question in questions_about(hub, mirror, name)]
            for name in ("private", "missing")
        )
        assert private == missing
        assert {status for status, *_ in private} == {401}


def test_node_token__no_rule__is_shown_for_no_restricted_repo(hub, make_with_token):
    mirror = make_with_token()

    for name in ("private", "gated"):
        for method, path, headers, body in questions_about(hub, mirror, name):
            mirror.get(path, method=method, headers=headers, body=body)
    mirror.get("/api/whoami-v2")

    assert hub.calls
    assert not any(call.authorization for call in hub.calls)


def test_node_token__no_rule__gated_files_and_identities_stay_closed(hub, make_with_token):
    mirror = make_with_token()

    for is_cached in (False, True):
        if is_cached:
            assert resolve(mirror, "gated", token=NODE)[0] == 200
        status, headers, _ = resolve(mirror, "gated")
        assert (status, headers["X-Error-Code"]) == (401, "GatedRepo")
        _, _, entries = mirror.json("/api/models/org/gated/tree/main")
        assert [entry["lfs"]["oid"] for entry in entries if "lfs" in entry] == ["*" * 64]


def test_node_token__public_repo__pays_for_files_and_what_is_asked_later(hub, make_with_token, make_client):
    mirror = make_with_token()

    assert make_client(mirror).snapshot("org/open") == expected(hub.content.repo("models", "org/open"))

    assert {call.authorization for call in hub.select(kind="resolve")} == {"node"}
    assert {call.authorization for call in hub.select(route="tree")} == {"node"}
    assert hub.leaks == []


def test_node_token__public_becomes_private__is_closed_as_without_it(hub, make_with_token):
    mirror = make_with_token(metadata={"ttl_s": 0})
    repo = hub.content.repo("models", "org/open")
    assert resolve(mirror, "open")[0] == 200

    repo.private = True
    repo.commit({"new.txt": b"new"})

    for path in (
        "/org/open/resolve/main/new.txt",
        f"/org/open/resolve/{repo.branches['main']}/new.txt",
        "/api/models/org/open",
        "/api/models/org/open/refs",
        "/api/models/org/open/revision/none",
    ):
        status, headers, _ = mirror.get(path)
        assert (status, headers["X-Error-Code"]) == (401, "RepoNotFound"), path


@pytest.mark.parametrize("name", ["private", "gated"])
def test_node_token__rule_matches__callers_without_a_token_get_all_of_it_even_offline(
    hub, make_with_token, make_client, name
):
    mirror = make_with_token(HERE)
    repo = hub.content.repo("models", f"org/{name}")

    assert make_client(mirror).snapshot(f"org/{name}") == expected(repo)
    assert {call.authorization for call in hub.select(kind="resolve")} == {"node"}
    hub.stop()
    mirror.restart("--offline")

    assert make_client(mirror).snapshot(f"org/{name}") == expected(repo)
    assert resolve(mirror, name)[1]["X-Cache"] in ("HIT", "STALE")
    mirror.stop()
    assert NODE not in mirror.log()
    for path in (path for path in mirror.repos.rglob("*") if path.is_file()):
        assert NODE.encode() not in path.read_bytes()


def test_node_token__rule_matches__git_and_lfs_too(hub, make_with_token):
    mirror = make_with_token(HERE)

    asked = [one for one in questions_about(hub, mirror, "private") if "/info/" in one[1]]
    statuses = [mirror.get(path, method=how, headers=sent, body=body)[0] for how, path, sent, body in asked]

    assert statuses == [200, 200, 200]


def test_node_token__rule_matches__who_sends_a_token_is_judged_by_that(make_with_token):
    mirror = make_with_token(HERE)
    assert resolve(mirror, "private")[0] == 200

    assert resolve(mirror, "private", token=OTHER)[0] == 404
    assert resolve(mirror, "gated", token=OTHER)[0] == 403
    basic = base64.b64encode(f"u:{OTHER}".encode()).decode()
    path = "/org/private/info/refs?service=git-upload-pack"
    assert mirror.get(path, headers={"Authorization": f"Basic {basic}"})[0] == 404


def test_node_token__rule_matches_but_not_this_repo__is_closed(hub, make_with_token):
    hub.add_repo("datasets", "other/data", private=True).grant("node")
    hub.content.repo("datasets", "other/data").commit(FILES)
    mirror = make_with_token(HERE)

    assert mirror.get("/datasets/other/data/resolve/main/config.json")[0] == 401


def test_node_token__right_revoked__is_closed(hub, make_with_token):
    mirror = make_with_token(HERE)
    mirror.settings["access"].update({"allowed_ttl_s": 0, "denied_ttl_s": 0})
    mirror.restart()
    assert resolve(mirror, "gated")[0] == resolve(mirror, "private")[0] == 200

    for name in ("gated", "private"):
        hub.content.repo("models", f"org/{name}").revoke("node")

    assert [resolve(mirror, name)[0] for name in ("gated", "private")] == [401, 401]


def test_node_token__hub_does_not_know_it__public_repos_work_and_the_log_tells(hub, make_with_token):
    mirror = make_with_token(HERE)
    hub.content.remove_user("node")

    assert resolve(mirror, "open")[0] == 200
    assert resolve(mirror, "private")[0] in (401, 503)
    assert "does not take its own token" in mirror.log()


@pytest.mark.parametrize(
    ("came_from", "status"), [("127.0.0.9", 200), ("203.0.113.5", 401), ("nonsense", 401)]
)
def test_node_token__behind_a_trusted_proxy__the_callers_own_address_counts(
    make_with_token, came_from, status
):
    mirror = make_with_token({"repos": ["org/*"], "networks": ["127.0.0.9"]})
    mirror.settings["server"] = {"trusted_proxies": ["127.0.0.1"]}
    mirror.restart()

    headers = {"X-Forwarded-For": f"127.0.0.9, {came_from}"}

    assert resolve(mirror, "private", headers=headers)[0] == status


def test_node_token__proxy_nobody_trusts__its_word_for_the_address_does_not_count(make_with_token):
    mirror = make_with_token({"repos": ["org/*"], "networks": ["127.0.0.9"]})

    assert resolve(mirror, "private", headers={"X-Forwarded-For": "127.0.0.9"})[0] == 401


# --- revocation by token --------------------------------------------------------------


@pytest.mark.parametrize("how", ["revoked", "token gone"])
def test_caller__loses_their_right__is_refused_though_all_is_cached(hub, make_mirror, how):
    mirror = make_mirror(hub, access={"allowed_ttl_s": 0, "denied_ttl_s": 0})
    assert [resolve(mirror, name, token=NODE)[0] for name in ("private", "gated")] == [200, 200]

    if how == "revoked":
        for name in ("private", "gated"):
            hub.content.repo("models", f"org/{name}").revoke("node")
    else:
        hub.content.remove_user("node")

    statuses = [404, 403] if how == "revoked" else [401, 401]
    assert [resolve(mirror, name, token=NODE)[0] for name in ("private", "gated")] == statuses
    hub.stop()
    mirror.restart("--offline")
    assert all(resolve(mirror, name, token=NODE)[0] in (403, 503) for name in ("private", "gated"))


def test_made_up_tokens__any_number__leave_no_grant_on_disk(hub, mirror):
    for number in range(30):
        assert resolve(mirror, "gated", token=f"hf_madeup{number:05}")[0] == 401

    folder = mirror.repos / "access"
    assert [path.name for path in folder.rglob("*") if path.is_file()] == []


# --- which repos ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "lists",
    [
        {"deny": ["org/priv*"]},
        {"allow": ["org/open", "org/gated"]},
        {"allow": ["*"], "deny": ["models/ORG/p*"]},
    ],
    ids=["denied", "not allowed", "allowed and denied"],
)
def test_lists__repo_is_not_served__every_question_is_refused_and_nobody_asked(hub, make_mirror, lists):
    mirror = make_mirror(hub, access=lists)
    hub.reset_counters()

    for question in questions_about(hub, mirror, "private"):
        status, (code, message, *_), text = shape(mirror, question, "private", token=NODE)

        assert (status, message, code) == (403, "This mirror does not serve this repo", None), question
        assert question[0] == "HEAD" or message in text

    assert not [call for call in hub.calls if "private" in call.path]
    assert resolve(mirror, "open")[0] == resolve(mirror, "gated", token=NODE)[0] == 200


@pytest.mark.parametrize(
    "path",
    [
        "/api/models/Org/Private/discussions",
        "/api/models/org%2Fprivate/discussions",
        "/api/%6Dodels/org/private/discussions",
        "/api/MODELS/org/private/discussions",
        "/api/MODELS/org/private",
        "/api/models/org/private.git/discussions",
        "/api/resolve%2Dcache/models/org/private/main/config.json",
        "//org/private/resolve/main/config.json",
        "/org%2Fprivate/resolve/main/config.json",
        "/org/private.git/info/refs?service=git-upload-pack",
        "/v2/org/private/manifests/latest",
        "/api/models/org/private?expand=sha",
        "/api/models/org/private/anything/at/all",
    ],
)
def test_lists__denied_repo_by_another_spelling__is_refused_all_the_same(hub, make_mirror, path):
    mirror = make_mirror(hub, access={"deny": ["org/private"]})
    hub.reset_counters()

    assert mirror.get(path, token=NODE)[0] == 403

    assert not [call for call in hub.calls if "private" in call.path.lower()]


def test_lists__by_default__everything_else_of_the_api_is_still_forwarded(hub, make_mirror):
    mirror = make_mirror(hub, access={"allow": ["org/open"]})

    assert mirror.get("/api/models?limit=1")[0] == 200
    assert mirror.get("/api/whoami-v2", token=NODE)[0] == 200


def test_lists__not_cached__is_served_each_time_from_outside_and_not_kept(hub, make_mirror, make_client):
    mirror = make_mirror(hub, access={"no_cache": ["org/open"]})
    repo = hub.content.repo("models", "org/open")

    for times in (1, 2):
        assert make_client(mirror).snapshot("org/open") == expected(repo)
        assert hub.bytes_sent(host="cdn") == 300_000 * times

    assert mirror.sealed() == set()
    assert not list((mirror.repos / "blobs").rglob("*.partial"))
    status, headers, body = resolve(mirror, "open", headers={"Range": "bytes=5-9"})
    assert (status, headers["X-Cache"], len(body)) == (206, "MISS", 5)


def test_lists__not_cached_and_same_content_is_held_for_another_repo__comes_from_here(hub, make_mirror):
    mirror = make_mirror(hub, access={"cache": ["org/open"]})
    assert resolve(mirror, "open")[0] == 200
    hub.reset_counters()

    status, headers, _ = resolve(mirror, "gated", token=NODE)

    assert (status, headers["X-Cache"]) == (200, "HIT")
    assert hub.bytes_sent(host="cdn") == 0
