"""Groups of real nodes over a real Redis: who is there."""

import json
import subprocess
import sys
import textwrap

import pytest

from tests.group import alive, groups_in, seen
from tests.harness import wait_until
from tests.redis_server import redis  # noqa: F401

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


def test_nodes__without_the_admin_token__refused(hub, make_group):
    [node] = make_group(hub, nodes=1).nodes

    assert node.get("/-/nodes")[0] == 401


def test_nodes__asked_on_the_command_line__shows_all(hub, make_group):
    group = make_group(hub, nodes=2)

    told = json.loads(group.nodes[0].command("nodes", "--json"))
    table = group.nodes[0].command("nodes")

    assert {node["id"] for node in told["nodes"]} == {"n0", "n1"}
    assert told["id"] == "n0"
    assert all(node["disk_total"] > 0 for node in told["nodes"])
    assert "n0 *" in table
    assert group.nodes[1].settings["cluster"]["address"] in table


def test_nodes__of_a_mirror_on_its_own__says_so(mirror):
    assert "in no group" in mirror.command("nodes")
    assert seen(mirror) == {"id": None, "nodes": []}


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
