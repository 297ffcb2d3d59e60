"""Limits of one client, over two workers: bytes and questions, each by its own gate."""

import http.client
import socket
from contextlib import closing

import pytest

from dingospeed.testing import Generated
from tests.harness import wait_until

pytestmark = pytest.mark.server

SIZE = 40_000_000


@pytest.fixture
def limited(hub, make_mirror):
    """A mirror with *limits* and a file that is held."""

    def make(**limits):
        hub.add_repo("models", "org/model").commit({"big.bin": Generated(SIZE, seed=3), "a.txt": b"words"})
        mirror = make_mirror(hub, server={"limits": limits})
        for path in ("big.bin", "a.txt"):
            assert mirror.get(f"/org/model/resolve/main/{path}")[0] == 200
        return mirror

    return make


def begin(mirror, path, *, source="127.0.0.1"):
    """A download whose client has read no more than the status."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 32768)
    sock.settimeout(60)
    sock.bind((source, 0))
    sock.connect(("127.0.0.1", mirror.port))
    sock.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
    return sock, sock.recv(12)[9:12]


def test_transfers__more_than_one_client_may__429_and_others_go_on(limited):
    mirror = limited(client_transfers=2)
    path = "/org/model/resolve/main/big.bin"
    held = [begin(mirror, path) for _ in range(2)]

    third, status = begin(mirror, path)
    other, other_status = begin(mirror, path, source="127.0.0.5")

    assert [got for _, got in held] == [b"200", b"200"]
    assert status == b"429"
    assert b"Retry-After: 5" in third.recv(65536)
    assert other_status == b"200"
    # Questions have a gate of their own, and a download that has ended makes room.
    assert mirror.get("/api/models/org/model/revision/main")[0] == 200
    held[0][0].close()
    wait_until(lambda: begin(mirror, path)[1] == b"200", "room")
    for sock in (held[1][0], third, other):
        sock.close()


def ask(mirror, path, *, source="127.0.0.1"):
    connection = http.client.HTTPConnection("127.0.0.1", mirror.port, timeout=60, source_address=(source, 0))
    with closing(connection):
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.headers["Retry-After"]


def test_questions__more_than_one_client_may__429_and_others_go_on(limited):
    mirror = limited(client_questions=1)
    question = "/api/models/org/model/revision/main"
    # It lasts as long as its client likes.
    slow = socket.create_connection(("127.0.0.1", mirror.port), timeout=60)
    slow.sendall(
        b"POST /api/models/org/model/paths-info/main HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
        b"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 11\r\n\r\npaths="
    )
    wait_until(lambda: list((mirror.repos / "run").glob("question*")), "the question")

    assert ask(mirror, question, source="127.0.0.5") == (200, None)
    assert ask(mirror, "/-/healthz") == (200, None)
    assert ask(mirror, question) == (429, "5")

    slow.sendall(b"a.txt")
    with closing(slow), slow.makefile("rb") as answer:
        assert answer.readline().startswith(b"HTTP/1.1 200")
        answer.read()
    assert ask(mirror, question) == (200, None)
