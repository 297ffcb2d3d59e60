"""A group in network namespaces: the nodes are near each other, and the outside is slow.

Needs root and a kernel with bridges, veth and tbf; scripts/cluster-lab runs it. It measures, so nothing else
should be going on. Each node has a link to the outside of its own first, then all share one:

    alone      one node, one client
    together   four nodes, two clients each, all cold: their links add up, or they share the one
    cut        the same with links of their own, and the inside link of one node is cut in mid-transfer
"""

import argparse
import contextlib
import http.client
import json
import multiprocessing
import os
import platform
import subprocess
import tempfile
import threading
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from dingospeed.config.settings import Download
from dingospeed.testing import FakeHub, Generated
from dingospeed.testing.fake import Address
from tests.group import Group, download
from tests.harness import Mirror, wait_until
from tests.redis_server import RedisServer

OUTSIDE, INSIDE = "10.98.77", "10.99.77"
PATH = "/org/big/resolve/main/big.bin"
PORT = 8090
PATIENCE_S = 600
# The default, as it is without settings; the harness has smaller ones.
DOWNLOAD = {name: getattr(Download(), name) for name in ("block_bytes", "segment_blocks", "read_ahead")}
# Beyond this a shaper would hold back what it should let through.
TICK_S = 0.01


def run(command):
    subprocess.run(command.split(), check=True)


def quietly(command):
    subprocess.run(command.split(), check=False, capture_output=True)


class Lab:
    """Two bridges, and a namespace for each node. What comes from outside is limited to *bytes_per_s*: for
    each node, or when it *is_shared* for all together.
    """

    def __init__(self, bytes_per_s, nodes, *, is_shared=False):
        self.bytes_per_s = bytes_per_s
        self.nodes = nodes
        self.is_shared = is_shared

    def __enter__(self):
        self._tear_down()
        for name, net in (("dsout", OUTSIDE), ("dsin", INSIDE)):
            run(f"ip link add {name} type bridge")
            run(f"ip addr add {net}.1/24 dev {name}")
            run(f"ip link set {name} up")
        for node in range(self.nodes):
            self._add(node)
        # What leaves the bridge towards the nodes is what they download.
        for device in ["dsout"] if self.is_shared else [f"dso{node}" for node in range(self.nodes)]:
            burst = max(256 << 10, int(self.bytes_per_s * TICK_S))
            shape = f"tbf rate {self.bytes_per_s * 8}bit burst {burst} latency 100ms"
            run(f"tc qdisc add dev {device} root {shape}")
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
        "download": DOWNLOAD,
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


class Door:
    """A node, to a client in a process of its own."""

    def __init__(self, host):
        self.host = host

    def connect(self):
        return http.client.HTTPConnection(self.host, PORT, timeout=PATIENCE_S)


def client(host, begin):
    """The sha256 of what comes, and the seconds that took; begun with all others."""
    begin.wait(PATIENCE_S)
    began = time.monotonic()
    return download(Door(host), PATH), time.monotonic() - began


def ask(hosts):
    """What clients of *hosts* get, all at once, in order."""
    context = multiprocessing.get_context("spawn")
    with context.Manager() as manager, ProcessPoolExecutor(len(hosts), mp_context=context) as pool:
        begin = manager.Barrier(len(hosts))
        return list(pool.map(client, hosts, [begin] * len(hosts)))


def experiment(lab, hub, redis, nodes, clients, *, cut=None):
    """One cold file for all; what it took each node and what came from outside."""
    repo = hub.content.repo("models", "org/big")
    size = repo.at("main").entries["big.bin"].payload.size
    with tempfile.TemporaryDirectory(prefix="dingospeed-lab-") as name:
        with group_in(lab, hub, redis, Path(name), nodes) as group:
            before = hub.bytes_sent(host="cdn")
            if cut is not None:
                threading.Thread(target=_cut, args=(lab, hub, before + size // 4, cut), daemon=True).start()
            hosts = [node.host for index, node in enumerate(group.nodes) if index != cut]
            answers = ask(hosts * clients)
            if cut is not None:
                lab.mend(cut)
        copies = (hub.bytes_sent(host="cdn") - before) / size
    took = [max(seconds for _, seconds in answers[index :: len(hosts)]) for index in range(len(hosts))]
    return {
        "nodes": nodes,
        "clients": len(answers),
        "right": [digest for digest, _ in answers].count(repo.sha256("big.bin")),
        "took_s": [round(seconds, 2) for seconds in took],
        "copies_from_outside": round(copies, 3),
    }


def _cut(lab, hub, at_bytes, node):
    wait_until(lambda: hub.bytes_sent(host="cdn") > at_bytes, "a quarter came")
    lab.cut(node)


def compare(lab, hub, redis, nodes):
    """One node alone, then all together."""
    alone = experiment(lab, hub, redis, 1, 1)
    together = experiment(lab, hub, redis, nodes, 2)
    share = round(max(together["took_s"]) / alone["took_s"][0], 3)
    return {"alone": alone, "together": together, "slowest_of_alone": share}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--mib", type=int, default=1024, help="size of the file")
    parser.add_argument("--link", type=int, default=20_000_000, help="bytes/s of a node's own link outside")
    parser.add_argument("--shared", type=int, default=80_000_000, help="bytes/s of the link that all share")
    parser.add_argument("--nodes", type=int, default=4)
    parser.add_argument("--only", choices=("links", "shared", "cut"), help="one part of it")
    given = parser.parse_args()
    if os.getuid():
        parser.error("namespaces need root")
    hub = FakeHub(address=Address(f"{OUTSIDE}.1", 0, 0, None))
    hub.add_repo("models", "org/big").commit({"big.bin": Generated(size=given.mib << 20, seed=5)})
    told: dict[str, object] = {
        "machine": f"{os.cpu_count()} processors, {platform.system()} {platform.release()}",
        "mib": given.mib,
    }
    for part in [given.only] if given.only else ["links", "shared", "cut"]:
        is_shared = part == "shared"
        rate = given.shared if is_shared else given.link
        redis = RedisServer(host=f"{INSIDE}.1")
        with Lab(rate, given.nodes, is_shared=is_shared) as lab, hub, contextlib.closing(redis.start()):
            if part == "cut":
                found = experiment(lab, hub, redis, given.nodes, 1, cut=given.nodes - 1)
            else:
                found = compare(lab, hub, redis, given.nodes)
        told[part] = {"bytes_per_s": rate, **found}
        print(json.dumps(told, indent=2), flush=True)


if __name__ == "__main__":
    main()
