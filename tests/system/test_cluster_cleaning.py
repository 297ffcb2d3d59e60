"""Cleaning on one of two real nodes: what the other holds goes first, what it keeps stays."""

import os
import subprocess
import sys
import time

import pytest

from dingospeed.testing import Generated
from tests.group import groups_in
from tests.harness import PROGRAM, bare_environ, wait_until
from tests.redis_server import redis  # noqa: F401

pytestmark = pytest.mark.server

MIB = 1 << 20


def clean(node, limit):
    command = [sys.executable, "-c", PROGRAM, "clean", "--config", str(node.folder / "mirror.yaml")]
    command += ["--limit", str(limit), "--yes"]
    done = subprocess.run(command, env=bare_environ(), capture_output=True, check=False, timeout=60)
    return done.returncode


def test_clean__of_two_nodes__the_other_s_copy_counts_and_so_does_its_pin(hub, tmp_path, redis):  # noqa: F811
    etags = {}
    for number, name in enumerate(("kept", "only", "both")):
        repo = hub.add_repo("models", f"org/{name}")
        repo.commit({"x.bin": Generated(size=2 * MIB, seed=50 + number)})
        etags[name] = repo.etag("x.bin")
    path = "/org/{}/resolve/main/x.bin"
    with groups_in(tmp_path, redis) as make:
        first, second = make(hub, nodes=2).nodes
        for name in etags:
            assert first.get(path.format(name))[0] == 200
        assert second.get(path.format("both"))[0] == 200
        # It knows of the file, and holds nothing of it.
        assert second.get(path.format("kept"), method="HEAD")[0] == 200
        second.command("pin", "org/kept")

        def holders(name):
            said = redis.client.hgetall(f"dingospeed:blob:{etags[name]}")
            return {node for node, what in said.items() if what == "*"}

        expected = {"kept": {"n0"}, "only": {"n0"}, "both": {"n0", "n1"}}
        for name, nodes in expected.items():
            wait_until(lambda name=name, nodes=nodes: holders(name) == nodes, f"{name} is told of")
        is_pinned = lambda: redis.client.hexists("dingospeed:pins", etags["kept"])  # noqa: E731
        wait_until(is_pinned, "the pin is told")
        now = time.time()
        # By use alone "kept" would be the first, and "both" the last.
        for age, name in enumerate(("both", "only", "kept")):
            used = now - 100 * (age + 1)
            os.utime(first.repos / "blobs" / etags[name][:2] / etags[name], (used, used))

        assert clean(first, 5 * MIB) == 0
        assert first.sealed() == {etags["kept"], etags["only"]}
        assert holders("both") == {"n1"}

        assert clean(first, 0) == 1
        assert first.sealed() == {etags["kept"]}
        assert holders("kept") == {"n0"}

        second.command("unpin", "org/kept")
        wait_until(lambda: not is_pinned(), "the pin is taken back")
        assert clean(first, 0) == 0
        assert first.sealed() == set()
