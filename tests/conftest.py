import contextlib
import http.client
import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

ROOT = Path(__file__).parent.parent
PATIENCE_S = 30


class StubServer:
    """tests/stub_server.py, running; see there for what it answers."""

    def __init__(self, process, errors):
        self.process = process
        self._errors = errors
        self.greeting = [process.stdout.readline().rstrip(), process.stdout.readline().rstrip()]
        assert "ready on" in self.greeting[0], f"not ready, it ended with {process.wait(PATIENCE_S)}"
        self.port = int(self.greeting[1].rpartition(":")[2])

    def connect(self):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE_S)
        connection.connect()
        return connection

    def get(self, path, *, method="GET"):
        """The whole answer: status, headers and body."""
        with contextlib.closing(self.connect()) as connection:
            connection.request(method, path)
            answer = connection.getresponse()
            return answer.status, answer.headers, answer.read()

    def open(self, request, *, receive_buffer=None):
        """A bare socket on which *request* was sent."""
        sock = socket.socket()
        if receive_buffer:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        sock.settimeout(PATIENCE_S)
        sock.connect(("127.0.0.1", self.port))
        sock.sendall(request.encode())
        return sock

    def facts(self):
        return json.loads(self.get("/facts")[2])

    def end_of(self, request_id):
        """What on_end heard of that request: bytes sent and the name of the error; waits for it."""
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            ends = [end[1:] for end in self.facts()["ends"] if end[0] == request_id]
            if ends:
                assert len(ends) == 1, "told more than once"
                return tuple(ends[0])
            time.sleep(0.05)
        pytest.fail(f"the end of {request_id} never came")

    def workers(self):
        return psutil.Process(self.process.pid).children()

    def signal(self, number):
        self.process.send_signal(number)

    def wait(self, timeout_s=PATIENCE_S):
        return self.process.wait(timeout_s)

    def log(self):
        return self._errors.read_text()


@pytest.fixture(scope="session")
def stub_file(tmp_path_factory):
    """A file of 3 MiB + 77 random bytes in front of a hole that ends at 8 GiB."""
    path = tmp_path_factory.mktemp("stub") / "file"
    path.write_bytes(random.Random(7).randbytes(3 * 1024 * 1024 + 77))
    os.truncate(path, 8 * 1024**3)
    return path


class Starter:
    """Starts stub servers: ``start(STUB_STALL_S=2, DINGOSPEED_SERVER__WORKERS=2)``."""

    stub = (sys.executable, str(ROOT / "tests/stub_server.py"))

    def __init__(self, homes, stub_file):
        self._homes = homes
        self._stub_file = stub_file
        self._processes = []

    def __call__(self, program=None, **environ):
        """A server that is ready."""
        home = self._homes.mktemp("server")
        return StubServer(self.process(home, program, **environ), home / "stderr")

    def process(self, home, program=None, **environ):
        """Only the process, its stderr going to the file of that name in *home*."""
        variables = {
            "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests")]),
            "STUB_FILE": self._stub_file,
            "DINGOSPEED_SERVER__HOST": "127.0.0.1",
            "DINGOSPEED_SERVER__PORT": 0,
            "DINGOSPEED_SERVER__WORKERS": 1,
            "DINGOSPEED_CACHE__REPOS": home / "repos",
            "DINGOSPEED_CACHE__PUBLIC": home / "public",
            **environ,
        }
        ours = ("DINGOSPEED", "PROMETHEUS")
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
        with (home / "stderr").open("w") as stderr:
            process = subprocess.Popen(
                program or self.stub,
                env={**inherited, **{name: str(value) for name, value in variables.items()}},
                stdout=subprocess.PIPE,
                stderr=stderr,
                text=True,
                cwd=home,
                start_new_session=True,
            )
        self._processes.append(process)
        return process

    def end_all(self):
        for process in self._processes:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.communicate(timeout=PATIENCE_S)


@pytest.fixture(scope="module")
def start(tmp_path_factory, stub_file):
    starter = Starter(tmp_path_factory, stub_file)
    yield starter
    starter.end_all()
