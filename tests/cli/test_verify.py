"""`dingospeed verify`: what is wrong is found, and with --repair had anew."""

import json
from functools import partial

import pytest

from dingospeed.cli.exits import Exit
from dingospeed.testing import Generated
from tests.cache import Cache, content, etag_of
from tests.harness import wait_until

pytestmark = pytest.mark.server

SIZE = 300_000
PATH = "/org/model/resolve/main/weights.bin"


@pytest.fixture(scope="module")
def repo(hub):
    repo = hub.add_repo("models", "org/model")
    repo.commit({"weights.bin": Generated(size=SIZE, seed=3), "config.json": b'{"a": 1}\n', "empty.txt": b""})
    return repo


@pytest.fixture
def verify(mirror, repo, invoke):
    """Run the command on the mirror's cache, when all of the repo is there."""
    for path in ("weights.bin", "config.json", "empty.txt"):
        assert mirror.get(f"/org/model/resolve/main/{path}")[2] == repo.content(path)
    # Clients are not kept waiting for the disk.
    wait_until(lambda: {repo.etag(path) for path in repo.files("main")} <= mirror.sealed())
    config = str(mirror.folder / "mirror.yaml")
    return partial(invoke, Cache(mirror.repos), "verify", "--config", config)


def blob_of(mirror, etag):
    return mirror.repos / "blobs" / etag[:2] / etag


def damage(path, at=1000):
    with path.open("r+b") as file:
        file.seek(at)
        byte = file.read(1)
        file.seek(at)
        file.write(bytes([byte[0] ^ 1]))


def test_verify__all_is_right__code_0(verify):
    ran = verify()

    assert ran.exit_code == Exit.OK
    assert "3 blobs" in ran.output
    assert "0 damaged" in ran.output


def test_verify__a_bit_flipped__is_named_and_left(mirror, repo, verify):
    path = blob_of(mirror, repo.etag("weights.bin"))
    damage(path)

    ran = verify("--json")

    assert ran.exit_code == Exit.NOT_ALL_WELL
    [found] = json.loads(ran.stdout)["damaged"]
    assert (found["repo"], found["path"], found["outcome"]) == ("models/org/model", "weights.bin", "found")
    assert path.exists()
    assert verify("--repair").exit_code == Exit.OK


def test_repair__a_bit_flipped__set_aside_and_fetched_anew(mirror, hub, repo, verify):
    path = blob_of(mirror, repo.etag("weights.bin"))
    damage(path)
    hub.reset_counters()

    ran = verify("--repair")

    assert ran.exit_code == Exit.OK, ran.output
    assert "repaired" in ran.output
    assert path.read_bytes() == repo.content("weights.bin")
    assert list(path.parent.glob(f"{path.name}.damaged-*"))
    assert hub.bytes_sent(host="cdn") == SIZE
    assert mirror.get(PATH)[2] == repo.content("weights.bin")
    assert verify().exit_code == Exit.OK


@pytest.mark.parametrize("change", [lambda data: data[:-1], lambda data: data + b"x", lambda data: b""])
def test_repair__another_length__is_fetched_anew(mirror, repo, verify, change):
    path = blob_of(mirror, repo.etag("config.json"))
    path.write_bytes(change(path.read_bytes()))

    assert verify("--repair").exit_code == Exit.OK
    assert path.read_bytes() == repo.content("config.json")


def test_repair__sealing_was_interrupted__is_finished_and_nothing_fetched(mirror, hub, repo, verify):
    content = repo.content("weights.bin")
    path = blob_of(mirror, repo.etag("weights.bin"))
    path.unlink()
    cache = Cache(mirror.repos)
    cache.half_filled(content, held=SIZE)
    cache.layout.partial(etag_of(content)).rename(path)
    hub.reset_counters()

    ran = verify("--repair")

    assert ran.exit_code == Exit.OK
    assert path.read_bytes() == content
    assert hub.bytes_sent(host="cdn") == 0


def test_repair__offline__set_aside_and_left_to_the_next_request(mirror, repo, verify, run_command):
    path = blob_of(mirror, repo.etag("weights.bin"))
    damage(path)

    # In a process of its own, as a shell would.
    arguments = ("verify", "--repair", "--json", "--repos", mirror.repos)
    ran = run_command(*arguments, DINGOSPEED_UPSTREAM__OFFLINE="true")

    assert ran.code == Exit.NOT_ALL_WELL
    [found] = ran.json["damaged"]
    assert found["outcome"] == "set aside"
    assert not path.exists()
    assert mirror.get(PATH)[2] == repo.content("weights.bin")
    wait_until(path.exists)


def test_verify__one_repo__others_are_not_looked_at(tmp_path, invoke):
    cache = Cache(tmp_path / "repos")
    one, two = content(100, 1), content(100, 2)
    cache.repo("org/one", {"a": one})
    cache.repo("org/two", {"b": two})
    for each in (one, two):
        cache.blob(each)
    damage(cache.layout.sealed(etag_of(two)), at=10)

    assert invoke(cache, "verify", "--repo", "org/one").exit_code == Exit.OK
    assert invoke(cache, "verify", "--repo", "org/two").exit_code == Exit.NOT_ALL_WELL


def test_repair__of_no_repo__set_aside(tmp_path, invoke):
    cache = Cache(tmp_path / "repos")
    etag = cache.blob(content(100, 1))
    damage(cache.layout.sealed(etag), at=10)

    ran = invoke(cache, "verify", "--repair", "--json", DINGOSPEED_UPSTREAM__OFFLINE="true")

    assert ran.exit_code == Exit.NOT_ALL_WELL
    [found] = json.loads(ran.stdout)["damaged"]
    assert (found["outcome"], found["why"]) == ("set aside", "no repo known here names it")
