"""Commands that speak to a running mirror: found and let in, or told why not."""

import socket

import pytest

from dingospeed.cli.exits import Exit
from dingospeed.cli.mirror_client import MirrorClient, MirrorRefuses, NoMirror, mirror_of

pytestmark = pytest.mark.server


def options(**given):
    return {"config": None, "repos": None, "server": None, "admin_token": None, **given}


@pytest.fixture
def elsewhere(tmp_path):
    """Options of a command on another machine, without the cache's own key."""
    return lambda **given: options(repos=str(tmp_path / "repos"), **given)


def test_mirror_of__on_its_machine__is_let_in_without_configuration(mirror):
    client = mirror_of(options(config=str(mirror.folder / "mirror.yaml"), server=mirror.url))

    assert client.get("/-/status")["node"]["workers"] == 2


def test_mirror_of__address_of_the_settings__is_reached(mirror, monkeypatch):
    monkeypatch.setenv("DINGOSPEED_SERVER__PORT", str(mirror.port))
    monkeypatch.setenv("DINGOSPEED_SERVER__HOST", "0.0.0.0")

    assert mirror_of(options(repos=str(mirror.repos))).get("/-/status")["lines"]


def test_mirror_of__proxy_and_netrc_set__neither_is_used(mirror, monkeypatch, tmp_path):
    netrc = tmp_path / "netrc"
    netrc.write_text("default login a password b\n")
    monkeypatch.setenv("NETRC", str(netrc))
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)

    client = mirror_of(options(repos=str(mirror.repos), server=mirror.url))

    assert client.get("/-/status")


def test_mirror_of__key_can_not_be_read__says_what_is_needed(mirror, elsewhere):
    with pytest.raises(MirrorRefuses, match="--admin-token") as refused:
        mirror_of(elsewhere(server=mirror.url)).get("/-/status")

    assert refused.value.exit_code == Exit.REFUSED
    assert refused.value.status == 401


def test_mirror_of__token_given__is_let_in_and_a_wrong_one_is_not(mirror, elsewhere):
    token = (mirror.repos / "keys" / "admin").read_text().strip()

    assert mirror_of(elsewhere(server=mirror.url, admin_token=token)).get("/-/status")
    with pytest.raises(MirrorRefuses):
        mirror_of(elsewhere(server=mirror.url, admin_token=token[::-1])).get("/-/status")


def test_mirror_of__another_machine__does_not_get_the_key_of_this_cache(mirror):
    client = mirror_of(options(repos=str(mirror.repos), server="http://mirror.example:8090"))

    assert not client.has_token


def test_get__nobody_listens__says_where(elsewhere):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"

        with pytest.raises(NoMirror, match=url) as failed:
            mirror_of(elsewhere(server=url)).get("/-/status")

    assert failed.value.exit_code == Exit.NO_MIRROR


def test_get__an_answer_that_is_no_json__is_not_from_a_mirror(mirror):
    with pytest.raises(NoMirror, match="no dingospeed"):
        MirrorClient(mirror.url, None).get("/")


def test_get__no_such_route__tells_what_the_mirror_says(mirror):
    with pytest.raises(MirrorRefuses, match=mirror.url) as refused:
        MirrorClient(mirror.url, None).get("/-/nowhere")

    assert refused.value.status == 404


def test_lines__an_answer_of_many__come_one_by_one(mirror):
    lines = list(MirrorClient(mirror.url, None).lines("/"))

    assert lines == mirror.get("/")[2].decode().splitlines()


@pytest.mark.parametrize("url", ["mirror:8090", "ftp://mirror", "http://", "http://a:b@mirror"])
def test_server__no_url__ends_with_code_2(run_command, url):
    ran = run_command("status", "--server", url)

    assert ran.code == Exit.WRONG_USE
    assert "expected a URL such as" in ran.err


def test_status__mirror_runs__tells_node_lines_and_disk(mirror, run_command):
    ran = run_command("status", "--repos", mirror.repos, "--server", mirror.url)

    assert ran.code == Exit.OK
    assert "2 workers, online" in ran.out
    assert "free of" in ran.out
    assert "healthy" in ran.out


def test_status__as_json__is_what_the_mirror_told(mirror, run_command):
    ran = run_command("status", "--repos", mirror.repos, "--server", mirror.url, "--json")

    assert ran.code == Exit.OK
    assert ran.json["disk"]["free_bytes"] > 0
    assert ran.json["node"]["cache"] == str(mirror.repos)


def test_status__no_mirror__code_tells(run_command, tmp_path):
    ran = run_command("status", "--repos", tmp_path, "--server", "http://127.0.0.1:9")

    assert ran.code == Exit.NO_MIRROR
    assert ran.out == ""


def test_status__without_the_token__is_refused(mirror):
    assert mirror.get("/-/status")[0] == 401
    assert mirror.get("/-/status", token="x")[0] == 401
