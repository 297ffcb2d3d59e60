"""A group in network namespaces: each node has a slow link to the outside and a fast one to the others.

Needs root and a kernel with bridges, veth and tbf; scripts/cluster-lab runs it. It measures, so nothing else
should be going on:

    alone      one node, one client: how long its own link takes
    together   four nodes, two clients each, all cold: four links add up
    cut        the same, and the inside link of one node is cut in mid-transfer
"""

import argparse
import contextlib
import json
import os
import subprocess
import tempfile
import threading
import time
from pathlib import Path

from dingospeed.testing import FakeHub, Generated
from dingospeed.testing.fake import Address
from tests.group import Group, download
from tests.harness import Mirror, all_at_once, wait_until
from tests.redis_server import RedisServer

OUTSIDE, INSIDE = "10.98.77", "10.99.77"
PATH = "/org/big/resolve/main/big.bin"
PORT = 8090


def run(command):
    subprocess.run(command.split(), check=True)


def quietly(command):
    subprocess.run(command.split(), check=False, capture_output=True)


class Lab:
    """Two bridges, and a namespace for each node; *link_bytes_per_s* is what a node gets from outside."""

    def __init__(self, link_bytes_per_s, nodes):
        self.link_bytes_per_s = link_bytes_per_s
        self.nodes = nodes

    def __enter__(self):
        self._tear_down()
        for name, net in (("dsout", OUTSIDE), ("dsin", INSIDE)):
            run(f"ip link add {name} type bridge")
            run(f"ip addr add {net}.1/24 dev {name}")
            run(f"ip link set {name} up")
        for node in range(self.nodes):
            self._add(node)
        return self

    def __exit__(self, *error):
        self._tear_down()

    def cut(self, node):
        run(f"ip link set dsi{node} down")

    def mend(self, node):
        run(f"ip link set dsi{node} up")

    def _add(self, node):
        space = f"ds{node}"
        run(f"ip netns add {space}")
        run(f"ip -n {space} link set lo up")
        for kind, bridge, net in (("o", "dsout", OUTSIDE), ("i", "dsin", INSIDE)):
            here, there = f"ds{kind}{node}", f"e{kind}{node}"
            run(f"ip link add {here} type veth peer name {there}")
            run(f"ip link set {there} netns {space}")
            run(f"ip link set {here} master {bridge} up")
            run(f"ip -n {space} addr add {net}.{10 + node}/24 dev {there}")
            run(f"ip -n {space} link set {there} up")
        # What leaves the bridge towards the node is what it downloads.
        rate = self.link_bytes_per_s * 8
        run(f"tc qdisc add dev dso{node} root tbf rate {rate}bit burst 256kb latency 100ms")

    def _tear_down(self):
        for node in range(self.nodes):
            quietly(f"ip netns del ds{node}")
            quietly(f"ip link del dso{node}")
            quietly(f"ip link del dsi{node}")
        for name in ("dsout", "dsin"):
            quietly(f"ip link del {name}")


class LabNode(Mirror):
    """A mirror in a namespace of its own."""

    def __init__(self, node, *arguments):
        super().__init__(*arguments)
        self.prefix = ["ip", "netns", "exec", f"ds{node}"]


@contextlib.contextmanager
def group_in(lab, hub, redis, folder, nodes):
    """A group of so many nodes of *lab*, with empty caches."""
    made: list[LabNode] = []

    def make(*hubs, **settings):
        node = len(made)
        own = folder / f"node{node}"
        own.mkdir()
        host = f"{INSIDE}.{10 + node}"
        settings["server"] = {**settings["server"], "host": host, "port": PORT}
        settings["cluster"] = {**settings["cluster"], "address": f"http://{host}:{PORT}"}
        lines = [{"url": hub.url, "hub": True} for hub in hubs]
        made.append(LabNode(node, own, lines, settings))
        return made[-1].start()

    settings = {
        "download": {"block_bytes": 1 << 20, "segment_blocks": 8, "read_ahead": 8},
        "upstream": {"timeouts": {"connect_s": 3, "read_s": 6}},
        "cluster": {"heartbeat_s": 1, "redis_s": 1, "group": f"lab-{folder.name}"},
    }
    try:
        group = Group(redis, make, [hub], settings)
        for _ in range(nodes):
            group.add()
        yield group.together()
    finally:
        for node in made:
            node.stop()


def timed(calls):
    began = time.monotonic()
    results = all_at_once(calls)
    return time.monotonic() - began, results


def experiment(lab, hub, redis, size, nodes, clients, *, cut=None):
    """One cold file for all; what it took and what came from outside."""
    right = hub.content.repo("models", "org/big").sha256("big.bin")
    with tempfile.TemporaryDirectory(prefix="dingospeed-lab-") as name:
        with group_in(lab, hub, redis, Path(name), nodes) as group:
            before = hub.bytes_sent(host="cdn")
            if cut is not None:
                threading.Thread(target=_cut, args=(lab, hub, before + size // 4, cut), daemon=True).start()
            asked = [node for index, node in enumerate(group.nodes) if index != cut] * clients
            took_s, results = timed([lambda node=node: download(node, PATH) for node in asked])
            if cut is not None:
                lab.mend(cut)
        copies = (hub.bytes_sent(host="cdn") - before) / size
    return {
        "nodes": nodes,
        "clients": len(asked),
        "took_s": round(took_s, 2),
        "right": results.count(right),
        "copies_from_outside": round(copies, 3),
    }


def _cut(lab, hub, at_bytes, node):
    wait_until(lambda: hub.bytes_sent(host="cdn") > at_bytes, "a quarter came")
    lab.cut(node)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--mib", type=int, default=256, help="size of the file")
    parser.add_argument("--link", type=int, default=6_000_000, help="bytes/s of a node's link to the outside")
    parser.add_argument("--nodes", type=int, default=4)
    given = parser.parse_args()
    if os.getuid():
        parser.error("namespaces need root")
    size = given.mib << 20
    hub = FakeHub(address=Address(f"{OUTSIDE}.1", 0, 0, None))
    redis = RedisServer(host=f"{INSIDE}.1")
    with Lab(given.link, given.nodes) as lab, hub, contextlib.closing(redis.start()):
        hub.add_repo("models", "org/big").commit({"big.bin": Generated(size=size, seed=5)})
        alone = experiment(lab, hub, redis, size, 1, 1)
        together = experiment(lab, hub, redis, size, given.nodes, 2)
        cut = experiment(lab, hub, redis, size, given.nodes, 1, cut=given.nodes - 1)
    share = round(together["took_s"] / alone["took_s"], 3)
    told = {"alone": alone, "together": together, "together_of_alone": share, "cut": cut}
    print(json.dumps(told, indent=2))
    ok = all(told[name]["right"] == told[name]["clients"] for name in ("alone", "together", "cut"))
    raise SystemExit(0 if ok else 1)


if __name__ == "__main__":
    main()
