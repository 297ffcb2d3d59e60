"""What TEST_GROUP adds to the settings of every mirror under test that is in no group.

``one``: it is the only node of a group. ``away``: its Redis takes connections and never answers.
Either way it has to do all that it does on its own.
"""

import atexit
import functools
import os
import socket
import uuid
from typing import Any

from tests.redis_server import RedisServer, free_port

VARIABLE = "TEST_GROUP"


def settings_for(host, port):
    """Sections of settings by name; the port is chosen here when it was left open."""
    which = os.environ.get(VARIABLE)
    if not which:
        return {}
    port = port or free_port(host)
    section: dict[str, Any] = {
        "redis_url": REDIS[which](),
        "group": f"test-{uuid.uuid4().hex[:12]}",
        "address": f"http://{host}:{port}",
        "secret": uuid.uuid4().hex,
        "heartbeat_s": 0.5,
    }
    return {"server": {"port": port}, "cluster": section}


@functools.lru_cache(maxsize=1)
def _running():
    server = RedisServer().start()
    atexit.register(server.close)
    return server.url


@functools.lru_cache(maxsize=1)
def _hanging():
    listener = socket.create_server(("127.0.0.1", 0), backlog=4096)
    atexit.register(listener.close)
    return f"redis://127.0.0.1:{listener.getsockname()[1]}/0"


REDIS = {"one": _running, "away": _hanging}
