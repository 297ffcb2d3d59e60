"""The mirror of a worker, put together: it begins nothing by itself."""

import threading

import pytest

from dingospeed.config import load_settings
from dingospeed.services import connect
from dingospeed.testing import FakeHub
from tests.redis_server import redis  # noqa: F401

SECRET = "long-enough-for-a-group"


@pytest.fixture
def hub():
    with FakeHub() as hub:
        yield hub


@pytest.fixture
def settings_of(hub, tmp_path):
    def make(**cluster):
        environ = {f"DINGOSPEED_CLUSTER__{name.upper()}": value for name, value in cluster.items()}
        return load_settings(None, environ, {"--repos": str(tmp_path / "repos"), "--upstream": [hub.url]})

    return make


def test_connect__a_node_of_its_own__asks_nobody_and_runs_no_thread(settings_of, hub):
    before = threading.enumerate()

    parts = connect(settings_of())

    assert parts.group is None
    assert parts.lent is None
    assert threading.enumerate() == before
    assert hub.calls == []


def test_connect__in_a_group__does_not_go_to_redis_before_its_start(settings_of, hub, redis):  # noqa: F811
    settings = settings_of(redis_url=redis.url, secret=SECRET, address="http://127.0.0.1:1")
    before, connections = threading.enumerate(), connections_to(redis)

    parts = connect(settings)

    assert parts.group is not None
    assert parts.group.told()["nodes"] == []
    assert threading.enumerate() == before
    assert connections_to(redis) == connections


def connections_to(redis):  # noqa: F811
    return redis.client.info("stats")["total_connections_received"]
