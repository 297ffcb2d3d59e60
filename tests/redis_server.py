"""redis-server on a free port, as the tests want it: paused, emptied, killed and started again."""

import signal
import socket
import subprocess
import tempfile
import time
from contextlib import closing, contextmanager
from typing import Any

import pytest
import redis as library

PATIENCE_S = 30


def free_port(host="127.0.0.1"):
    with closing(socket.socket()) as probe:
        probe.bind((host, 0))
        return probe.getsockname()[1]


class RedisServer:
    """One redis-server. *options* are those of its command line."""

    def __init__(self, *options, host="127.0.0.1"):
        self.host = host
        self.port = free_port()
        self.url = f"redis://{host}:{self.port}/0"
        self.client: Any = library.Redis(host=host, port=self.port, decode_responses=True)
        self.ports = {"port": self.port}
        self._options = options
        self._folder = tempfile.TemporaryDirectory(prefix="dingospeed-redis-")
        self.process: Any = None

    def start(self):
        ports = " ".join(f"--{name} {port}" for name, port in self.ports.items())
        listen = f"{ports} --bind {self.host} --protected-mode no"
        options = f"{listen} --dir {self._folder.name} --appendonly no --save"
        command = ["redis-server", *options.split(), "", *self._options]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        deadline = time.monotonic() + PATIENCE_S
        while not self._answers():
            assert self.process.poll() is None, "redis-server did not start"
            assert time.monotonic() < deadline, "redis-server never answered"
            time.sleep(0.02)
        return self

    def kill(self):
        """It is gone with all that it held."""
        self.process.kill()
        self.process.wait(PATIENCE_S)

    def pause(self):
        """It takes connections and answers nothing."""
        self.process.send_signal(signal.SIGSTOP)

    def wake(self):
        self.process.send_signal(signal.SIGCONT)

    @contextmanager
    def watched(self):
        """All commands that come in meanwhile, each as one text; one that the watcher sends ends the list."""
        seen: list[str] = []
        with self.client.monitor() as monitor:
            yield seen
            self.client.echo("the end")
            while "the end" not in (command := monitor.next_command()["command"]):
                seen.append(command)

    def everything(self):
        """All keys and values as one text."""
        read = {"string": self.client.get, "hash": self.client.hgetall, "set": self.client.smembers}
        read["zset"] = lambda key: self.client.zrange(key, 0, -1)
        return " ".join(f"{key} {read[self.client.type(key)](key)}" for key in self.client.scan_iter())

    def commands(self):
        """How many commands it has done, by name."""
        return {
            name.removeprefix("cmdstat_"): stat["calls"]
            for name, stat in self.client.info("commandstats").items()
        }

    def close(self):
        self.client.close()
        if self.process is not None and self.process.poll() is None:
            self.kill()
        self._folder.cleanup()

    def _answers(self):
        try:
            return self.client.ping()
        except library.RedisError:
            return False


@pytest.fixture
def redis():
    server = RedisServer().start()
    yield server
    server.close()


@pytest.fixture(scope="module")
def shared_redis():
    server = RedisServer().start()
    yield server
    server.close()
