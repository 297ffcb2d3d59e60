"""`dingospeed explain`: the truth about a request, without making it."""

import json

import pytest

from dingospeed.cli.exits import Exit
from dingospeed.testing import Generated
from tests.cache import Cache
from tests.harness import mirrors_in, wait_until

pytestmark = pytest.mark.server

TOKEN = "hf_granted"


@pytest.fixture(scope="module")
def mirror(hub, tmp_path_factory):
    hub.add_user("granted", token=TOKEN)
    for name, options in (("public", {}), ("gated", {"gated": "manual"}), ("denied", {})):
        repo = hub.add_repo("models", f"org/{name}", **options)
        repo.commit(
            {"held.bin": Generated(size=100_000, seed=1), "other.bin": Generated(size=300_000, seed=2)}
        )
        repo.grant("granted")
    with mirrors_in(tmp_path_factory.mktemp("mirrors")) as make:
        mirror = make(hub, access={"deny": ["org/denied"], "allowed_ttl_s": 3600, "denied_ttl_s": 3600})
        mirror.get("/org/public/resolve/main/held.bin")
        mirror.get("/org/gated/resolve/main/held.bin", token=TOKEN)
        mirror.get("/org/gated/resolve/main/held.bin")
        wait_until(mirror.sealed, "the file was sealed")
        yield mirror


@pytest.fixture
def explain(mirror, hub, invoke):
    def run(path, *arguments, **environ):
        hub.reset_counters()
        before = files_in(mirror.repos)
        config = ("--config", str(mirror.folder / "mirror.yaml"), "--server", mirror.url)
        ran = invoke(Cache(mirror.repos), "explain", mirror.url + path, *config, *arguments, **environ)
        assert hub.calls == []
        assert files_in(mirror.repos) == before
        return ran

    return run


def files_in(repos):
    """All that is remembered, with size and time."""
    folders = ("api", "access", "blobs", "keys", "pins")
    paths = [path for folder in folders for path in (repos / folder).rglob("*") if path.is_file()]
    return {str(path): (path.stat().st_size, path.stat().st_mtime_ns) for path in paths}


def test_explain__held_file__answered_from_the_cache(explain):
    ran = explain("/org/public/resolve/main/held.bin")

    assert ran.exit_code == Exit.OK
    assert "Answered from the cache." in ran.output
    for word in ("is served", "still believed", "was public", "100000 bytes", "all of it is here", "healthy"):
        assert word in ran.output


def test_explain__part_of_it_is_here__tells_how_much(explain, mirror, hub):
    Cache(mirror.repos).half_filled(
        hub.content.repo("models", "org/public").content("other.bin"), held=65_536
    )

    ran = explain("/org/public/resolve/main/other.bin")

    assert ran.exit_code == Exit.OK
    assert "65536 of 300000 bytes are here" in ran.output
    assert "if upstream gives what is missing here (content)" in ran.output


def test_explain__unknown_repo__has_to_be_asked(explain):
    ran = explain("/org/unknown/resolve/main/held.bin", "--json")

    found = json.loads(ran.stdout)
    assert ran.exit_code == Exit.OK
    assert [each["bearing"] for each in found["findings"][:3]] == ["fine", "asks", "asks"]
    assert "if upstream gives" in found["verdict"]


def test_explain__unknown_and_offline__fails(explain):
    ran = explain("/org/unknown/resolve/main/held.bin", DINGOSPEED_UPSTREAM__OFFLINE="true")

    assert ran.exit_code == Exit.NOT_ALL_WELL
    assert "nobody can be asked" in ran.output


def test_explain__held_and_offline__answered(explain):
    ran = explain("/org/public/resolve/main/held.bin", DINGOSPEED_UPSTREAM__OFFLINE="true")

    assert ran.exit_code == Exit.OK
    assert "Answered from the cache." in ran.output


def test_explain__denied_by_the_rules__refused_and_says_which(explain):
    ran = explain("/org/denied/resolve/main/held.bin")

    assert ran.exit_code == Exit.NOT_ALL_WELL
    assert "access.deny" in ran.output


def test_explain__gated__depends_on_the_caller(explain):
    url = "/org/gated/resolve/main/held.bin"

    assert explain(url, "--token", TOKEN).exit_code == Exit.OK
    nobody = explain(url)
    assert nobody.exit_code == Exit.NOT_ALL_WELL
    assert "shows no token" in nobody.output
    asks = (url, "--token", "hf_stranger")
    stranger = explain(*asks)
    assert "nothing is known of the caller" in stranger.output
    assert (
        explain(url, "--token", "hf_stranger", DINGOSPEED_UPSTREAM__OFFLINE="true").exit_code
        == Exit.NOT_ALL_WELL
    )
    for ran in (nobody, stranger):
        assert "hf_" not in ran.output


def test_explain__no_such_file__refused(explain):
    ran = explain("/org/public/resolve/main/none.bin")

    assert ran.exit_code == Exit.NOT_ALL_WELL
    assert "there is no none.bin" in ran.output


def test_explain__api_of_a_repo__is_understood(explain):
    ran = explain("/api/models/org/public/revision/main")

    assert ran.exit_code == Exit.OK
    assert "Answered from the cache." in ran.output


def test_explain__no_mirror_runs__the_rest_is_explained(mirror, run_command):
    config = mirror.folder / "mirror.yaml"
    url = "/org/public/resolve/main/held.bin"

    ran = run_command("explain", url, "--config", config, "--server", "http://127.0.0.1:9")

    assert ran.code == Exit.OK
    assert "no mirror runs" in ran.out


@pytest.mark.parametrize(
    "url", ["http://x/", "/org/public", "/api/nothing/a/b", "/a/b/resolve/main/../x", "::"]
)
def test_explain__no_url_of_the_hub__code_2(mirror, invoke, url):
    assert invoke(Cache(mirror.repos), "explain", url).exit_code == Exit.WRONG_USE
