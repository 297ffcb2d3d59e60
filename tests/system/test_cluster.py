"""Groups of real nodes over a real Redis: who is there, and one copy from outside for all."""

import itertools
import json
import subprocess
import sys
import textwrap
from functools import partial

import pytest

from dingospeed.testing import Generated
from tests.group import alive, download, groups_in, reached, seen
from tests.harness import all_at_once, wait_until
from tests.redis_server import redis, shared_redis  # noqa: F401

pytestmark = pytest.mark.server


@pytest.fixture
def make_group(tmp_path, redis):  # noqa: F811
    with groups_in(tmp_path, redis) as make:
        yield make


def test_group__one_is_killed_and_one_stopped__told_apart_and_joined_again(hub, make_group):
    group = make_group(hub, nodes=3, server={"workers": 2})
    first, second, third = group.nodes

    second.kill()
    third.stop()

    wait_until(lambda: alive(first) == {"n0"}, "both are gone")
    assert [node["id"] for node in seen(first)["nodes"] if node["state"] == "lost"] == ["n1"]
    for node in (second, third):
        node.start()
    group.together()


def test_node__with_the_name_of_another__says_so_serves_on_its_own_and_joins_when_that_is_gone(
    hub, make_group
):
    repo = hub.add_repo("models", "org/one")
    repo.commit({"file.bin": Generated(size=3 << 20, seed=6)})
    path, etag = "/org/one/resolve/main/file.bin", repo.sha256("file.bin")
    group = make_group(hub, nodes=2)
    first, second = group.nodes
    twin = group.add(cluster={"node_id": "n0"})

    assert download(twin, path) == etag

    wait_until(twin.sealed, "it keeps what it has")
    wait_until(lambda: "is named n0 already; expected another cluster.node_id" in twin.log(), "it says so")
    assert "is named n0 already" in seen(twin)["trouble"]
    assert seen(twin)["nodes"] == []
    addresses = {node["id"]: node["address"] for node in seen(second)["nodes"]}
    assert addresses["n0"] == first.settings["cluster"]["address"]
    assert not group.redis.client.exists(f"dingospeed:blob:{etag}")

    first.stop()

    wait_until(lambda: reached(twin) == {"n0", "n1"}, "it has the name for itself")
    wait_until(
        lambda: group.redis.client.hget(f"dingospeed:blob:{etag}", "n0") == "*", "and tells what it has"
    )


def test_nodes__of_a_mirror_on_its_own__says_so(mirror):
    assert "in no group" in mirror.command("nodes")
    assert seen(mirror) == {"id": None, "is_current": True, "trouble": "", "nodes": [], "traffic": []}


def test_mirror__on_its_own__never_imports_redis(tmp_path):
    code = """
        import sys
        from dingospeed.app import create_app
        from dingospeed.config import load_settings
        create_app(load_settings(None, {}, {"--repos": sys.argv[1]}))
        print("redis" in sys.modules)
    """
    command = [sys.executable, "-c", textwrap.dedent(code), str(tmp_path / "repos")]

    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)

    assert done.stdout.strip() == "False"


# --- four nodes that all of these share -------------------------------------------------------

SIZE = 64 << 20
SETTINGS = {
    "download": {"block_bytes": 1 << 20, "segment_blocks": 8, "read_ahead": 4},
    # On a machine that is busy with other tests nobody is lost for being slow.
    "cluster": {"heartbeat_s": 1.5, "read_s": 9},
}


@pytest.fixture(scope="module")
def group(shared_hub, shared_redis, tmp_path_factory):  # noqa: F811
    with groups_in(tmp_path_factory.mktemp("group"), shared_redis) as make:
        yield make(shared_hub, nodes=4, **SETTINGS)


class Big:
    """A repo of its own for each test, with one large file."""

    numbers = itertools.count()

    def __init__(self, hub):
        number = next(self.numbers)
        self.hub = hub
        self.repo = hub.add_repo("models", f"org/big{number}")
        self.repo.commit({"big.bin": Generated(size=SIZE, seed=100 + number)})
        self.path = f"/org/big{number}/resolve/main/big.bin"
        self.etag = self.repo.sha256("big.bin")
        self._before = hub.bytes_sent(host="cdn")

    @property
    def from_outside(self):
        return self.hub.bytes_sent(host="cdn") - self._before


@pytest.fixture
def big(shared_hub):
    return Big(shared_hub)


def test_four_nodes__two_clients_each_all_cold__one_copy_from_outside(group, big):
    before = [fetched(node) for node in group.nodes]

    results = all_at_once([lambda node=node: download(node, big.path) for node in group.nodes * 2])

    assert results == [big.etag] * 8
    assert big.from_outside == SIZE
    # Four links add up: each gave a quarter.
    assert [fetched(node) - already for node, already in zip(group.nodes, before, strict=True)] == [
        SIZE // 4
    ] * 4
    for node in group.nodes:
        wait_until(lambda node=node: big.etag in node.sealed(), "every node has it")


def fetched(node):
    """Bytes of files that a node had from outside."""
    text = node.get("/metrics")[2].decode()
    lines = [line for line in text.splitlines() if line.startswith("dingospeed_upstream_bytes_total{")]
    return sum(float(line.rpartition(" ")[2]) for line in lines)


def test_node__cold_while_another_has_it__takes_it_from_there(group, big):
    first, second = group.nodes[:2]
    assert download(first, big.path) == big.etag
    wait_until(lambda: big.etag in first.sealed(), "the first has it all")
    wait_until(lambda: group.redis.client.hget(f"dingospeed:blob:{big.etag}", "n0") == "*", "it is told")
    before = sum(traffic(second).values())

    wait_until(lambda: x_cache(second, big) == "PEER", "the second knows")
    assert download(second, big.path) == big.etag
    assert x_cache(first, big) == "HIT"

    assert big.from_outside == SIZE
    # It had its own cells already, at most a quarter and a row's rest.
    wait_until(lambda: sum(traffic(second).values()) - before >= SIZE // 2, "what went between them is seen")


def x_cache(node, big):
    return node.get(big.path, method="HEAD")[1]["X-Cache"]


def traffic(node):
    return {(way["from"], way["to"]): way["bytes"] for way in seen(node)["traffic"]}


def test_cached_file__asked_for_many_times__redis_is_asked_nothing_about_it(group, big):
    node = group.nodes[0]
    assert download(node, big.path) == big.etag
    is_told = partial(group.redis.client.hget, f"dingospeed:blob:{big.etag}", "n0")
    wait_until(lambda: is_told() == "*", "it is cached, and the group is told")
    wait_until(lambda: is_counted(group, big), "and so is that it was read once from its beginning")
    ranges = [f"bytes={start}-{start + 99}" for start in range(1, 100)]

    with group.redis.watched() as commands:
        for asked in ranges:
            assert node.get(big.path, headers={"Range": asked})[0] == 206

    about_it = [command for command in commands if big.etag in command]
    # The owners' own cells may still be told of.
    assert not [command for command in about_it if not command.startswith(("HSET", "EXPIRE"))]


def is_counted(group, big):
    asked = group.redis.client
    return any(asked.zscore(hour, f"{big.etag}:{SIZE}") for hour in asked.keys("dingospeed:heat:*"))


def test_public_repo__asked_of_four_nodes__its_answers_come_from_outside_once(group, big):
    calls = len(big.hub.calls)

    heads = all_at_once([lambda node=node: node.get(big.path, method="HEAD")[:2] for node in group.nodes])

    assert [status for status, _ in heads] == [200] * 4
    assert {headers["X-Repo-Commit"] for _, headers in heads} == {big.repo.branches["main"]}
    assert sorted(call.route for call in big.hub.calls[calls:]) == ["revision", "tree"]


def test_private_repo__its_caller_asks_two_nodes__each_asks_the_hub_with_that_token(group, shared_hub):
    shared_hub.add_user("ann", token="hf_ann0000000")
    repo = shared_hub.add_repo("models", "ann/secret", private=True)
    repo.grant("ann")
    repo.commit({"file.bin": Generated(size=3 << 20, seed=2)})
    path = "/ann/secret/resolve/main/file.bin"

    for node in group.nodes[:2]:
        assert download(node, path, {"Authorization": "Bearer hf_ann0000000"}) == repo.sha256("file.bin")
        assert node.get(path)[0] == 401
        assert node.get(path, token="hf_other")[0] in (401, 404)

    assert "hf_ann" not in "".join(node.log() for node in group.nodes)
    assert "hf_ann" not in group.redis.everything()


def test_nodes__without_the_admin_token__refused(group):
    assert group.nodes[0].get("/-/nodes")[0] == 401


def test_nodes__asked_on_the_command_line__shows_all(group):
    told = json.loads(group.nodes[0].command("nodes", "--json"))
    table = group.nodes[0].command("nodes")

    assert {node["id"] for node in told["nodes"]} == {"n0", "n1", "n2", "n3"}
    assert told["id"] == "n0"
    assert all(node["disk_total"] > 0 for node in told["nodes"])
    assert "n0 *" in table
    assert group.nodes[1].settings["cluster"]["address"] in table


def test_redis__is_silent__what_is_cached_is_served(group, big):
    node = group.nodes[0]
    assert download(node, big.path) == big.etag
    wait_until(lambda: big.etag in node.sealed(), "it is cached")

    group.redis.pause()
    try:
        assert download(node, big.path) == big.etag
    finally:
        group.redis.wake()
    group.together()


# --- several copies -------------------------------------------------------------------------


def test_hot_blob__two_copies_wanted__made_and_made_anew_when_a_node_is_lost(hub, make_group):
    repo = hub.add_repo("models", "org/hot")
    repo.commit({"hot.bin": Generated(size=3 << 20, seed=4)})
    etag, path = repo.sha256("hot.bin"), "/org/hot/resolve/main/hot.bin"
    accel = {"trusted_proxies": ["127.0.0.1"], "accel": "nginx"}
    group = make_group(hub, nodes=3, cluster={"replicas": 2, "hot_reads": 2}, server=accel)
    first = group.nodes[0]

    # Read twice from its beginning, once by way of nginx.
    assert download(first, path) == etag
    wait_until(first.sealed, "it is complete")
    headers = first.get(path, headers={"X-Accel-Support": "nginx"})[1]
    assert headers["X-Accel-Redirect"].endswith(etag)

    wait_until(lambda: holding(group, etag) == 2, "there are two copies")
    lost = next(node for node in group.nodes if etag in node.sealed())
    lost.kill()
    wait_until(lambda: holding(group, etag) - (etag in lost.sealed()) == 2, "there are two again")
    assert hub.bytes_sent(host="cdn") == 3 << 20


def holding(group, etag):
    return sum(etag in node.sealed() for node in group.nodes)
