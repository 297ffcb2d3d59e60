"""Redis behind Sentinel: the master is lost, and another becomes it."""

import subprocess

import pytest

from dingospeed.cluster.link import Link
from dingospeed.errors import LinkDown
from tests.harness import wait_until
from tests.redis_server import RedisServer, free_port


@pytest.fixture
def master():
    server = RedisServer().start()
    yield server
    server.close()


@pytest.fixture
def replica(master):
    server = RedisServer("--replicaof", "127.0.0.1", str(master.port)).start()
    yield server
    server.close()


@pytest.fixture
def sentinel_port(master, replica, tmp_path):
    port = free_port()
    config = tmp_path / "sentinel.conf"
    config.write_text(
        f"port {port}\nbind 127.0.0.1\ndir {tmp_path}\n"
        f"sentinel monitor ours 127.0.0.1 {master.port} 1\n"
        "sentinel down-after-milliseconds ours 300\n"
        "sentinel failover-timeout ours 3000\n"
    )
    command = ["redis-server", str(config), "--sentinel"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    yield port
    process.kill()
    process.wait(30)


def says(link, *command):
    try:
        return link.run([command])[0]
    except LinkDown:
        return None


def test_link__master_is_lost__goes_on_with_the_next(master, replica, sentinel_port):
    link = Link(f"redis+sentinel://127.0.0.1:{sentinel_port}/ours/0", timeout_s=0.5)
    wait_until(lambda: says(link, "SET", "key", "before"), "the sentinel knows the master")
    wait_until(lambda: replica.client.get("key") == "before", "the replica has it")

    master.kill()

    # Until then there is nobody who takes a write, and the link says so.
    wait_until(lambda: says(link, "SET", "key", "after"), "the replica has become the master")
    assert replica.client.get("key") == "after"
    link.close()
