"""Redis away for a while, or the network in uneven pieces, while clients download all the time."""

import os
import threading
import time
import zlib
from functools import partial

import pytest

from dingospeed.testing import Generated
from tests.group import Group, alive, download, groups_in
from tests.harness import all_at_once, mirrors_in, wait_until
from tests.links import Links
from tests.redis_server import free_port, redis, shared_redis  # noqa: F401

pytestmark = [pytest.mark.server, pytest.mark.timeout(300)]

# How long Redis stays away.
OUTAGE_S = float(os.environ.get("TEST_OUTAGE_S", "3"))
SIZE = 24 << 20
READ_AHEAD = 4
SETTINGS = {
    "download": {"block_bytes": 1 << 18, "segment_blocks": 8, "read_ahead": READ_AHEAD},
    "cluster": {"connect_s": 0.5, "read_s": 2},
}
# For one file a node alone needs so long; then nobody is done before the outside is let go.
SLOW_S = OUTAGE_S + 120
FILES = [f"file{number}.bin" for number in range(7)]


@pytest.fixture(scope="module")
def group(shared_hub, shared_redis, tmp_path_factory):  # noqa: F811
    with groups_in(tmp_path_factory.mktemp("outage"), shared_redis) as make:
        yield make(shared_hub, nodes=3, **SETTINGS)


def add_files(hub, name):
    repo = hub.add_repo("models", f"org/{name}")
    files = {file: Generated(size=SIZE, seed=zlib.crc32(f"{name} {file}".encode())) for file in FILES}
    repo.commit(files)
    return repo


def path_of(repo, name):
    return f"/{repo.id}/resolve/main/{name}"


class Client:
    """Downloads files of a repo, one after the other, from one node."""

    def __init__(self, node, repo, names):
        self.got: dict[str, str] = {}
        self._node = node
        self._repo = repo
        self._names = names
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self):
        for name in self._names:
            self.got[name] = download(self._node, path_of(self._repo, name))

    @property
    def is_at_work(self):
        return self._thread.is_alive()

    def ends(self):
        self._thread.join(SLOW_S)
        return self.got


class Copies:
    """How many copies of a file came from outside since now."""

    def __init__(self, hub):
        self._hub = hub
        self._before = hub.bytes_sent(host="cdn")

    @property
    def count(self):
        return (self._hub.bytes_sent(host="cdn") - self._before) / SIZE


def slowed(hub):
    hub.fault(where="cdn", kind="rate", bytes_per_s=SIZE / READ_AHEAD / SLOW_S)


def one_copy_again(group, hub, repo):
    """Whether a file that nobody has yet, asked of all nodes at once, comes from outside once."""
    for name in FILES[2:]:
        copies = Copies(hub)
        path = path_of(repo, name)
        results = all_at_once([partial(download, node, path) for node in group.nodes])
        assert results == [repo.sha256(name)] * len(group.nodes)
        if copies.count == 1:
            return True
    return False


def pause(redis):  # noqa: F811
    redis.pause()
    return redis.wake


def shut_down(redis):  # noqa: F811
    """As by its administrator; it comes back with nothing."""
    redis.process.terminate()
    redis.process.wait(30)
    return redis.start


@pytest.mark.parametrize("stop", [pause, shut_down])
def test_redis__away_in_mid_transfer__clients_go_on_with_right_bytes_and_one_copy_again_after(
    group, shared_hub, stop
):
    repo, copies = add_files(shared_hub, stop.__name__), Copies(shared_hub)
    first, second = FILES[:2]
    slowed(shared_hub)
    clients = [Client(node, repo, [first]) for node in group.nodes]
    wait_until(lambda: copies.count > 0, "some came from outside")

    start_again = stop(group.redis)
    until, seen = time.monotonic() + OUTAGE_S, copies.count
    # Somebody comes for the first time, too.
    clients += [Client(node, repo, [second]) for node in group.nodes]
    wait_until(lambda: time.monotonic() > until, "the time is over")
    assert copies.count > seen
    start_again()

    group.together()
    assert all(client.is_at_work for client in clients)
    shared_hub.clear_faults()
    rights = [{name: repo.sha256(name)} for name in [first] * 3 + [second] * 3]
    assert [client.ends() for client in clients] == rights
    # Of each of the two at worst a second copy.
    assert 2 <= copies.count <= 4
    assert one_copy_again(group, shared_hub, repo)


def test_network__in_uneven_pieces__right_bytes_and_one_copy_again_when_it_is_mended(
    hub,
    redis,  # noqa: F811
    tmp_path,
):
    repo, copies = add_files(hub, "pieces"), Copies(hub)
    with mirrors_in(tmp_path) as make:
        group = Group(redis, make, [hub], SETTINGS)
        links = Links(group.nodes)
        try:
            for number in range(3):
                add_behind_proxies(group, links, redis, number)
            group.together()
            slowed(hub)
            clients = [Client(node, repo, FILES[:2]) for node in group.nodes]
            wait_until(lambda: copies.count > 0, "some came from outside")

            # The first sees the second, which does not see Redis, which the third sees, but not the first.
            links.cut("n1", "redis")
            links.cut("n0", "n2")

            wait_until(lambda: alive(group.nodes[0]) == {"n0", "n2"}, "the second is not heard any more")
            assert all(client.is_at_work for client in clients)
            hub.clear_faults()
            right = {name: repo.sha256(name) for name in FILES[:2]}
            assert [client.ends() for client in clients] == [right] * 3
            # First and third can not help each other, and the second fetches what it owned before.
            assert 2 < copies.count <= 2 * (2 + 1 / 3)

            links.mend()

            group.together()
            assert one_copy_again(group, hub, repo)
        finally:
            links.close()


def add_behind_proxies(group, links, redis, number):  # noqa: F811
    host, id = f"127.0.0.{2 + number}", f"n{number}"
    port = free_port(host)
    node_host, node_port = links.to(id, (host, port))
    redis_host, redis_port = links.to("redis", (redis.host, redis.port), of=id)
    group.add(
        server={"host": host, "port": port},
        cluster={
            "address": f"http://{node_host}:{node_port}",
            "redis_url": f"redis://{redis_host}:{redis_port}/0",
        },
    )
