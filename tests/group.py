"""Groups of real nodes: gunicorn processes on addresses 127.0.0.x, one Redis for all."""

import hashlib
import http.client
from contextlib import closing, contextmanager

from tests.harness import mirrors_in, wait_until
from tests.redis_server import free_port

SECRET = "the-secret-of-this-test-s-group"


class Group:
    """Nodes that know each other through *redis*; they take from *hubs*."""

    def __init__(self, redis, make, hubs, settings):
        self.redis = redis
        self.nodes = []
        self._make = make
        self._hubs = hubs
        self._settings = settings

    def add(self, **settings):
        """One more node, with one worker unless told otherwise, started."""
        host = f"127.0.0.{2 + len(self.nodes)}"
        port = free_port(host)
        own = {
            "server": {"host": host, "port": port, "workers": 1},
            "cluster": {
                "redis_url": self.redis.url,
                "node_id": f"n{len(self.nodes)}",
                "address": f"http://{host}:{port}",
                "secret": SECRET,
                "heartbeat_s": 0.3,
                "redis_s": 0.5,
            },
        }
        merged = {**self._settings, **settings}
        for section, values in own.items():
            merged[section] = {**values, **self._settings.get(section, {}), **settings.get(section, {})}
        node = self._make(*self._hubs, **merged)
        self.nodes.append(node)
        return node

    def together(self):
        """Wait until all see and reach each other, and that by what Redis says now."""
        ids = {node.settings["cluster"]["node_id"] for node in self.nodes}
        for node in self.nodes:
            wait_until(lambda node=node: reached(node) == ids, f"all reach {ids}")
        return self


def download(node, path, headers=None):
    """The sha256 of what one client of *node* gets. Raises when that is cut short."""
    with closing(node.connect()) as connection:
        connection.request("GET", path, headers=headers or {})
        answer = connection.getresponse()
        assert answer.status in (200, 206), answer.read()
        digest, left = hashlib.sha256(), int(answer.headers["Content-Length"])
        while data := answer.read1(1 << 20):
            digest.update(data)
            left -= len(data)
        if left:
            raise http.client.IncompleteRead(b"", left)
        return digest.hexdigest()


def seen(node):
    """What a node says of its group."""
    token = (node.repos / "keys" / "admin").read_text().strip()
    return node.json("/-/nodes", token=token)[2]


def alive(node):
    return {member["id"] for member in seen(node)["nodes"] if member["state"] != "lost"}


def reached(node):
    told = seen(node)
    return {member["id"] for member in told["nodes"] if told["is_current"] and member.get("is_reachable")}


@contextmanager
def groups_in(folder, redis):
    """A function that makes groups: ``make(hub, nodes=3, download={...})``."""
    with mirrors_in(folder) as make_mirror:

        def make(*hubs, nodes, **settings):
            group = Group(redis, make_mirror, hubs, settings)
            for _ in range(nodes):
                group.add()
            return group.together()

        yield make
