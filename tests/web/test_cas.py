"""The CAS over the whole application: who is told what, who may have it, and what is made of nonsense."""

import json
import time

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dingospeed.mirror.seals import Seals
from dingospeed.store.keys import read_key
from dingospeed.testing import File, Generated
from tests import xet
from tests.web.conftest import INVALID, LET_IN, OTHER

SIZE = 300_000
FILES = {
    "a.txt": b"0123456789",
    "big.bin": Generated(size=SIZE, seed=1),
    "empty.bin": File(b"", lfs=True),
    "small.bin": File(b"of git-lfs", lfs=True),
}
CAS = "/-/xet"


@pytest.fixture
def repo(hub):
    return add(hub, "org/name")


@pytest.fixture
def app(make_app):
    return make_app(xet={"mode": "on"})


def add(hub, id, files=FILES, **access):
    repo = hub.add_repo("models", id, **access)
    repo.commit(files)
    repo.grant("ann")
    return repo


def token_of(app, repo, token=None, revision="main"):
    answer = app.get(f"{repo.api_address}/xet-read-token/{revision}", token=token)
    assert answer.status_code == 200, answer.text
    return answer.json["accessToken"]


def told_of(app, hash, token, *, route="v2/reconstructions", asked=None):
    return app.get(f"{CAS}/{route}/{hash}", token=token, headers={"Range": asked} if asked else {})


def path_of(url):
    return url.removeprefix("http://localhost")


def block_of(app, hash, token):
    """The path of the first block of a file, its ticket with it."""
    answer = told_of(app, hash, token)
    assert answer.status_code == 200, answer.text
    return path_of(xet.parts_of(answer.json)[0][2].url)


def content(app, told):
    def fetch(url, first, last):
        answer = app.get(path_of(url), headers={"Range": f"bytes={first}-{last}"})
        assert answer.status_code in (200, 206), answer.text
        return answer.data

    return xet.content_of(told, fetch)


def resealed(app, text, purpose, *, age_s):
    """The same facts, sealed some time ago."""
    key = read_key(app.repos / "keys" / "xet")
    facts = Seals(key=key).opened(purpose, text, max_age_s=60)
    assert facts is not None
    return Seals(key=key, clock=lambda: time.time() - age_s).seal(purpose, facts)


# --- what is told ------------------------------------------------------------------


@pytest.mark.parametrize("path", ["big.bin", "small.bin"])
def test_offered__file_of_lfs__in_headers_and_listings_alike(app, repo, path):
    hash, etag, sha = repo.entry(path).xet_hash, repo.etag(path), repo.branches["main"]

    for method in ("HEAD", "GET"):
        for sent in ({}, {"Range": "bytes=0-0"}, {"If-None-Match": f'"{etag}"'}):
            headers = app.get(f"/org/name/resolve/main/{path}", method=method, headers=sent).headers
            assert headers["X-Xet-Hash"] == hash
            assert "X-Xet-Hash" in headers["Access-Control-Expose-Headers"]
            assert headers["Link"] == (
                f'<http://localhost/api/models/org/name/xet-read-token/{sha}>; rel="xet-auth", '
                f'<http://localhost{CAS}/v1/reconstructions/{hash}>; rel="xet-reconstruction-info"'
            )
    for answer in (
        app.get("/api/models/org/name/tree/main?recursive=true"),
        app.get("/api/models/org/name/paths-info/main", method="POST", data={"paths": [path, "a.txt"]}),
    ):
        told = {entry["path"]: entry.get("xetHash") for entry in answer.json}
        assert (told[path], told["a.txt"]) == (hash, None)


def test_offered__no_file_of_lfs_or_an_empty_one__not(app, repo):
    for path in ("a.txt", "empty.bin"):
        headers = app.get(f"/org/name/resolve/main/{path}").headers
        assert ("X-Xet-Hash" in headers, "Link" in headers) == (False, False)


def test_offered__to_who_prefers_to_be_told__the_facts_in_place_of_the_content(app, repo):
    sent = {"Accept": "application/vnd.xet-fileinfo+json, */*", "Range": "bytes=0-0"}

    answer = app.get("/org/name/resolve/main/big.bin", headers=sent)

    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == "application/vnd.xet-fileinfo+json"
    assert answer.json["hash"] == answer.headers["X-Xet-Hash"] == repo.entry("big.bin").xet_hash
    assert answer.headers["X-Linked-Size"] == str(SIZE)
    assert "Accept" in answer.headers["Vary"]
    assert app.get("/org/name/resolve/main/a.txt", headers=sent).status_code == 206


def test_offered__hub_tells_no_hash__the_sha256_leads_to_the_file(repo, app, make_app):
    app.get("/org/name/resolve/main/a.txt")
    forget_hashes(app)
    app = make_app(xet={"mode": "on"})
    sha256 = repo.sha256("small.bin")

    assert app.get("/org/name/resolve/main/small.bin", method="HEAD").headers["X-Xet-Hash"] == sha256
    told = told_of(app, sha256, token_of(app, repo)).json
    assert content(app, told) == b"of git-lfs"


def forget_hashes(app):
    """As if the listing had come over a line that tells of no Xet."""
    for path in (app.repos / "api").rglob("trees/*.json"):
        entries = json.loads(path.read_text())
        for entry in entries:
            entry.pop("xetHash", None)
        path.write_text(json.dumps(entries))


@pytest.mark.parametrize("mode", ["auto", "off"])
def test_hidden__any_file__no_answer_names_xet(repo, make_app, mode):
    app = make_app(xet={"mode": mode})

    for path in ("/org/name/resolve/main/big.bin", "/api/models/org/name/tree/main", "/api/models/org/name"):
        answer = app.get(path)
        assert answer.status_code == 200
        assert "xet" not in f"{answer.headers}{answer.get_data()!r}".lower()


def test_off__every_route_of_the_cas__is_not_there(repo, make_app):
    app = make_app(xet={"mode": "off"})

    for path in (f"{CAS}/v2/reconstructions/{'a' * 64}", f"{CAS}/blocks/{'a' * 64}/0?ticket=x"):
        answer = app.get(path)
        assert answer.status_code == 404
        assert "HF_HUB_DISABLE_XET=1" in answer.headers["X-Error-Message"]


# --- tokens and addresses ------------------------------------------------------------


@pytest.mark.parametrize(
    ("sent", "told"),
    [
        ({"Host": "mirror.lan:8090"}, "http://mirror.lan:8090"),
        ({"X-Forwarded-Host": "hub.example", "X-Forwarded-Prefix": "/hf"}, "http://hub.example/hf"),
        ({"X-Forwarded-Prefix": "/team-a/hf/"}, "http://localhost/team-a/hf"),
        ({"X-Forwarded-Prefix": "//evil.example"}, "http://localhost"),
        ({"X-Forwarded-Prefix": "/a/../b"}, "http://localhost"),
        ({"X-Forwarded-Prefix": '/"><script>'}, "http://localhost"),
        ({"X-Forwarded-Prefix": "/"}, "http://localhost"),
    ],
)
def test_addresses__behind_a_trusted_proxy__are_what_the_client_used(repo, make_app, sent, told):
    app = make_app(xet={"mode": "on"}, server={"trusted_proxies": ["127.0.0.1"]})
    api = "/api/models/org/name"

    token = app.get(f"{api}/xet-read-token/main", headers=sent)
    assert token.json["casUrl"] == token.headers["X-Xet-Cas-Url"] == told + CAS
    hash = repo.entry("big.bin").xet_hash
    answer = app.get(f"{CAS}/v2/reconstructions/{hash}", token=token.json["accessToken"], headers=sent)
    assert all(part.url.startswith(f"{told}{CAS}/blocks/") for _, _, part in xet.parts_of(answer.json))
    assert f"<{told}{api}/" in app.get("/org/name/resolve/main/big.bin", headers=sent).headers["Link"]
    assert f"<{told}{api}/tree/" in app.get(f"{api}/tree/main?limit=1", headers=sent).headers["Link"]


def test_addresses__proxy_that_is_not_trusted__is_not_believed(app, repo):
    sent = {"X-Forwarded-Host": "evil.example", "X-Forwarded-Prefix": "/evil"}

    answer = app.get("/api/models/org/name/xet-read-token/main", headers=sent)

    assert answer.json["casUrl"] == f"http://localhost{CAS}"


def test_moved__behind_a_trusted_proxy__redirect_keeps_the_prefix(hub, repo, make_app):
    app = make_app(server={"trusted_proxies": ["127.0.0.1"]})
    hub.move("models", "org/old", "org/name")

    answer = app.get("/org/old/resolve/main/a.txt", headers={"X-Forwarded-Prefix": "/hf"})

    assert (answer.status_code, answer.headers["Location"]) == (307, "/hf/org/name/resolve/main/a.txt")


@pytest.mark.parametrize("route", xet.ROUTES)
@pytest.mark.parametrize(
    "asked", [None, "bytes=0-99", "bytes=7-7", "bytes=200000-", "bytes=299999-999999999"]
)
def test_reconstruction__any_range__leads_to_those_bytes(app, repo, route, asked):
    whole, token = repo.content("big.bin"), token_of(app, repo)
    first, _, last = (asked or "bytes=0-").removeprefix("bytes=").partition("-")

    answer = told_of(app, repo.entry("big.bin").xet_hash, token, route=route, asked=asked)

    assert answer.status_code == 200
    wanted = whole[int(first) : int(last) + 1 if last else None]
    assert content(app, answer.json)[: len(wanted)] == wanted


def test_reconstruction__behind_the_end__416(app, repo):
    answer = told_of(
        app, repo.entry("big.bin").xet_hash, token_of(app, repo), asked=f"bytes={SIZE}-{SIZE + 9}"
    )

    assert (answer.status_code, answer.headers["Content-Range"]) == (416, f"bytes */{SIZE}")


def test_reconstruction__empty_file__has_no_blocks(app, repo):
    answer = told_of(app, repo.entry("empty.bin").xet_hash, token_of(app, repo))

    assert (answer.status_code, answer.json["terms"], answer.json["xorbs"]) == (200, [], {})


def test_block__head_and_get_and_ranges__agree(app, repo):
    path = block_of(app, repo.entry("big.bin").xet_hash, token_of(app, repo))

    whole, head = app.get(path), app.get(path, method="HEAD")

    assert (whole.status_code, head.status_code, head.data) == (200, 200, b"")
    assert head.headers["Content-Length"] == whole.headers["Content-Length"] == str(len(whole.data))
    for first, last in ((0, 0), (3, 12), (131_070, 131_090), (len(whole.data) - 1, len(whole.data))):
        answer = app.get(path, headers={"Range": f"bytes={first}-{last}"})
        assert (answer.status_code, answer.data) == (206, whole.data[first : last + 1])
    assert app.get(path, headers={"Range": f"bytes={len(whole.data)}-"}).status_code == 416


def test_telemetry__of_clients__is_swallowed(hub, app):
    for path in ("/v1/telemetry", f"{CAS}/v1/telemetry"):
        assert app.get(path, method="POST", data=b"{}").status_code == 204
    assert hub.calls == []


# --- who may -----------------------------------------------------------------------------


@pytest.fixture(params=["private", "gated"])
def closed(request, hub):
    return add(
        hub, "org/closed", private=request.param == "private", gated=request.param == "gated" and "auto"
    )


def test_token__caller_without_right__as_for_the_files(app, closed):
    for token in (None, OTHER, INVALID):
        answer = app.get("/api/models/org/closed/xet-read-token/main", token=token)
        file = app.get("/org/closed/resolve/main/a.txt", token=token)

        assert (answer.status_code, answer.headers.get("X-Error-Code")) == (
            file.status_code,
            file.headers.get("X-Error-Code"),
        )
        assert answer.status_code in (401, 403, 404)
        assert "X-Xet-Access-Token" not in answer.headers


def test_closed_repo__caller_with_right__gets_cold_content_in_their_own_name(hub, app, closed):
    told = told_of(app, closed.entry("big.bin").xet_hash, token_of(app, closed, LET_IN)).json

    assert content(app, told) == closed.content("big.bin")


def test_closed_repo__its_token_and_address__do_not_show_the_callers(app, closed):
    token = token_of(app, closed, LET_IN)
    path = block_of(app, closed.entry("big.bin").xet_hash, token)

    assert LET_IN not in token + path


@pytest.mark.parametrize("header", [None, "", INVALID, "xet_" + "0" * 40])
def test_reconstruction__no_token_of_ours__401(app, repo, header):
    assert told_of(app, repo.entry("big.bin").xet_hash, header).status_code == 401


def test_token__forged_or_run_out_or_a_ticket__401(app, closed):
    hash, token = closed.entry("big.bin").xet_hash, token_of(app, closed, LET_IN)
    ticket = block_of(app, hash, token).partition("?ticket=")[2]

    for bad in (token[:40] + ("A" if token[40] != "A" else "B") + token[41:], ticket):
        assert told_of(app, hash, bad).status_code == 401
    # Clients are told an hour; clocks differ, so it is good for a day.
    assert told_of(app, hash, resealed(app, token, "token", age_s=4_000)).status_code == 200
    assert told_of(app, hash, resealed(app, token, "token", age_s=86_500)).status_code == 401


def test_ticket__forged_or_run_out_or_a_token__403_and_clients_ask_for_another(app, closed):
    token = token_of(app, closed, LET_IN)
    path, _, ticket = block_of(app, closed.entry("big.bin").xet_hash, token).partition("?ticket=")

    assert app.get(f"{path}?ticket={resealed(app, ticket, 'ticket', age_s=21_000)}").status_code == 200
    assert app.get(f"{path}?ticket={resealed(app, ticket, 'ticket', age_s=21_700)}").status_code == 403
    for bad in ("", token, ticket[:40] + ("A" if ticket[40] != "A" else "B") + ticket[41:]):
        for method in ("GET", "HEAD"):
            assert app.get(f"{path}?ticket={bad}", method=method).status_code == 403


def test_ticket__for_one_file__opens_no_other(hub, app, repo):
    token = token_of(app, repo)
    paths = [block_of(app, repo.entry(path).xet_hash, token) for path in ("big.bin", "small.bin")]
    tickets = [path.partition("?ticket=")[2] for path in paths]

    crossed = paths[0].replace(tickets[0], tickets[1])

    assert app.get(crossed).status_code == 404
    assert app.get(paths[0].replace("/0?", "/1?")).status_code == 404


def test_token__for_one_repo__opens_no_other(hub, app, repo, closed):
    secret = {"secret.bin": Generated(size=1000, seed=9)}
    add(hub, "org/secret", secret, private=True)
    hash = hub.content.repo("models", "org/secret").entry("secret.bin").xet_hash
    assert (
        told_of(app, hash, token_of(app, hub.content.repo("models", "org/secret"), LET_IN)).status_code == 200
    )

    for token in (token_of(app, repo), token_of(app, closed, LET_IN)):
        assert told_of(app, hash, token).status_code == 404


def test_closed_repo__right_taken_away__token_and_ticket_open_nothing_more(closed, make_app):
    app = make_app(access={"allowed_ttl_s": 0, "denied_ttl_s": 0}, metadata={"ttl_s": 0})
    hash, token = closed.entry("big.bin").xet_hash, token_of(app, closed, LET_IN)
    path = block_of(app, hash, token)
    assert app.get(path).status_code == 200

    closed.revoke("ann")

    assert told_of(app, hash, token).status_code in (401, 403, 404)
    for method in ("GET", "HEAD"):
        assert app.get(path, method=method).status_code in (401, 403, 404)


def test_repo__closed_meanwhile__what_was_made_for_all_opens_nothing_more(hub, repo, make_app):
    app = make_app(metadata={"ttl_s": 0})
    hash, token = repo.entry("big.bin").xet_hash, token_of(app, repo)
    path = block_of(app, hash, token)

    repo.private = True

    assert told_of(app, hash, token).status_code == 401
    assert app.get(path).status_code == 401


def test_repo__denied_by_the_operator_meanwhile__opens_nothing_more(repo, app, make_app):
    hash, token = repo.entry("big.bin").xet_hash, token_of(app, repo)
    path = block_of(app, hash, token)

    denying = make_app(access={"deny": ["org/*"]})

    assert told_of(denying, hash, token).status_code == 403
    assert denying.get(path).status_code == 403


def test_repo__moved_meanwhile__starts_anew(hub, repo, make_app):
    app = make_app(metadata={"ttl_s": 0})
    hash, token = repo.entry("big.bin").xet_hash, token_of(app, repo)

    hub.move("models", "org/name", "org/new")

    assert told_of(app, hash, token).status_code == 401


def test_other_node_with_the_same_key__takes_what_this_one_made(repo, app, make_app):
    token = token_of(app, repo)

    path = block_of(make_app(), repo.entry("big.bin").xet_hash, token)

    assert make_app(upstream={"offline": True, "lines": []}).get(path).status_code == 503
    assert app.get(path).status_code == 200
    assert make_app(upstream={"offline": True, "lines": []}).get(path).status_code == 200


def test_group_of_nodes__same_secret__one_takes_what_another_made(repo, make_app, tmp_path):
    """Whoever spreads requests over the nodes sends one to this, the next to that."""
    group = {"redis_url": "redis://127.0.0.1:1", "address": "http://127.0.0.1:2", "secret": "s" * 32}
    nodes = [
        make_app(cluster=group, cache={"repos": tmp_path / name, "public": tmp_path / "public"})
        for name in ("a", "b")
    ]
    stranger = make_app(cluster={**group, "secret": "t" * 32})
    hash, token = repo.entry("small.bin").xet_hash, token_of(nodes[0], repo)

    path = block_of(nodes[1], hash, token)

    assert nodes[0].get(path).status_code == 200
    assert stranger.get(path).status_code == 403
    assert told_of(stranger, hash, token).status_code == 401


# --- which file it is ---------------------------------------------------------------------


def test_hash__listing_held_came_without__is_looked_up_once_more(hub, repo, app, make_app):
    app.get("/api/models/org/name/tree/main")
    forget_hashes(app)
    app, hash = make_app(), repo.entry("big.bin").xet_hash
    token = token_of(app, repo)
    hub.reset_counters()

    assert [told_of(app, hash, token).status_code for _ in range(3)] == [200] * 3
    assert [told_of(app, "0" * 64, token).status_code for _ in range(3)] == [404] * 3
    assert len(hub.select(route="tree")) == 1


def test_hash__unknown_and_nobody_to_ask__404(repo, app, make_app):
    app.get("/api/models/org/name/tree/main")
    offline = make_app(upstream={"offline": True, "lines": []})

    assert told_of(offline, "0" * 64, token_of(offline, repo)).status_code == 404


def test_hash__of_what_the_branch_has_become__with_a_token_of_before(repo, make_app):
    app = make_app(metadata={"ttl_s": 0})
    token = token_of(app, repo)
    repo.commit({"new.bin": File(b"added later", lfs=True)})
    app.get("/api/models/org/name/tree/main")

    told = told_of(app, repo.entry("new.bin").xet_hash, token).json

    assert content(app, told) == b"added later"


def test_hash__listing_can_not_be_had__is_no_reason_to_say_that_it_is_unknown(hub, closed, make_app):
    app = make_app()
    token = token_of(app, closed, LET_IN)
    hub.fault("any", "status", code=500, path="/tree/")

    assert told_of(app, closed.entry("big.bin").xet_hash, token).status_code in (502, 503)


# --- never a wrong byte --------------------------------------------------------------------


def test_content__wrong_once__who_began_before_starts_over_and_gets_the_right(hub, repo, app):
    """The client checks nothing. A rest that is right would complete what it holds to a wrong file."""
    hash, token = repo.entry("big.bin").xet_hash, token_of(app, repo)
    path = block_of(app, hash, token)
    hub.fault("cdn", "corrupt", offset=5, times=3)

    assert app.get(path).status_code == 502

    assert app.get(path).status_code == 404
    assert told_of(app, hash, token).status_code == 404
    told = told_of(app, hash, token_of(app, repo)).json
    assert content(app, told) == repo.content("big.bin")


# --- nonsense ---------------------------------------------------------------------------------

METHODS = st.sampled_from(["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH"])
WORDS = st.text(
    st.characters(min_codepoint=0x21, max_codepoint=0x7E, exclude_characters="#"), max_size=70
) | st.sampled_from(
    ["..", "%2e%2e", "%00", "0" * 64, "*" * 64, "a" * 63, "A" * 64, "-1", "99999999999999999999"]
)
PREFIXES = st.sampled_from(
    [*(f"{CAS}/{route}/" for route in xet.ROUTES), f"{CAS}/v3/reconstructions/", f"{CAS}/blocks/", f"{CAS}/"]
)
RANGES = st.sampled_from(
    ["bytes=0-0", "bytes=5-", "bytes=-5", "bytes=9999999999-", "lines=1-2", "bytes=5-1,2-3"]
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    method=METHODS,
    prefix=PREFIXES,
    parts=st.lists(WORDS, min_size=1, max_size=3),
    ticket=st.none() | WORDS,
    asked=st.none() | RANGES,
    shows_token=st.booleans(),
)
def test_nonsense__anywhere_in_the_cas__only_4xx_and_nothing_made(
    repo, app, method, prefix, parts, ticket, asked, shows_token
):
    token = token_of(app, repo)
    told_of(app, "1" * 64, token)  # The listing is held, and was looked at again.
    before = {path.relative_to(app.repos) for path in app.repos.rglob("*")}
    path = prefix + "/".join(parts) + (f"?ticket={ticket}" if ticket is not None else "")

    answer = app.get(
        path, method=method, token=token if shows_token else None, headers={"Range": asked} if asked else {}
    )

    assert 400 <= answer.status_code < 500, (method, path, answer.text)
    assert answer.headers["X-Error-Message"]
    after = {path.relative_to(app.repos) for path in app.repos.rglob("*")}
    assert {path for path in after - before if path.parts[0] != "run"} == set()
