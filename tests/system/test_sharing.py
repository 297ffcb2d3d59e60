"""The second promise: one upstream copy, whoever asks, whoever dies."""

import contextlib
import hashlib
import http.client
import threading
import time

import pytest

from dingospeed.testing import Generated
from tests.harness import PATIENCE_S, all_at_once, wait_until

pytestmark = pytest.mark.server

SIZE = 200_000_000
PATH = "/org/big/resolve/main/big.bin"


@pytest.fixture
def big(hub):
    repo = hub.add_repo("models", "org/big")
    repo.commit({"big.bin": Generated(size=SIZE, seed=9)})
    return repo


def download(mirror, path=PATH, headers=None):
    """The sha256 of what one client gets, and how long after its request the first byte came."""
    began = time.monotonic()
    connection = mirror.connect()
    with contextlib.closing(connection):
        connection.request("GET", path, headers=headers or {})
        answer = connection.getresponse()
        assert answer.status in (200, 206), answer.read()
        digest, first_s, length = hashlib.sha256(), None, 0
        while data := answer.read1(1 << 20):
            first_s = first_s if first_s is not None else time.monotonic() - began
            digest.update(data)
            length += len(data)
        if length != int(answer.headers["Content-Length"]):
            raise http.client.IncompleteRead(b"", int(answer.headers["Content-Length"]) - length)
        return digest.hexdigest()


def test_eight_clients__cold_over_two_workers__one_copy_upstream(hub, big, make_mirror):
    mirror = make_mirror(hub, download={"block_bytes": 1 << 20, "segment_blocks": 32, "read_ahead": 8})

    results = all_at_once([lambda: download(mirror)] * 8)

    assert results == [big.sha256("big.bin")] * 8
    assert hub.bytes_sent(host="cdn") == SIZE


def test_follower__in_either_worker__sees_bytes_before_a_block_is_whole(hub, big, make_mirror):
    mirror = make_mirror(hub, download={"block_bytes": 1 << 20, "segment_blocks": 8})
    # One connection upstream gives half a block, then nothing for a while.
    hub.fault(where="cdn", kind="stall", after=500_000, seconds=30)
    connections = [mirror.connect() for _ in range(8)]

    with contextlib.ExitStack() as stack:
        for connection in connections:
            stack.enter_context(contextlib.closing(connection))
            connection.request("GET", PATH)
        first = [connection.getresponse().read1(1) for connection in connections]

    assert len(set(first)) == 1
    assert first[0] == big.content("big.bin")[:1]


def test_client__killed_at_half__only_the_rest_comes_from_upstream(hub, big, mirror):
    hub.fault(where="cdn", kind="rate", bytes_per_s=20_000_000)
    connection = mirror.connect()
    connection.request("GET", PATH)
    answer = connection.getresponse()
    got = b""
    while len(got) < SIZE // 8:
        got += answer.read(1 << 20)
    connection.close()
    wait_until(lambda: "left" in mirror.log(), "the end of the abandoned transfer")
    quiet = -1
    while quiet != (quiet := hub.bytes_sent(host="cdn")):
        time.sleep(0.5)
    assert quiet < SIZE  # Nobody fetches on for a client that left.
    hub.clear_faults()

    rest = mirror.get(PATH, headers={"Range": f"bytes={len(got)}-"})

    assert rest[0] == 206
    assert got + rest[2] == big.content("big.bin")
    assert hub.bytes_sent(host="cdn") == SIZE


def test_worker__killed_while_filling__the_others_clients_finish_and_nothing_wrong_remains(hub, big, mirror):
    hub.fault(where="cdn", kind="rate", bytes_per_s=10_000_000)
    clients = [threading.Thread(target=lambda: results.append(attempt(mirror))) for _ in range(8)]
    results: list[str] = []
    for client in clients:
        client.start()
    wait_until(
        lambda: sum(clients_of(worker, mirror.port) for worker in mirror.workers()) == 8,
        "all are connected",
    )
    victim = min(mirror.workers(), key=lambda worker: clients_of(worker, mirror.port))
    spared = 8 - clients_of(victim, mirror.port)
    wait_until(lambda: hub.bytes_sent(host="cdn") > SIZE // 10, "some was filled")

    victim.kill()
    for client in clients:
        client.join(PATIENCE_S)

    right = big.sha256("big.bin")
    assert results.count(right) >= spared > 0
    assert set(results) <= {right, "broken"}
    hub.clear_faults()
    mirror.restart()
    assert download(mirror) == right
    # A killed worker may have been in the middle of a block in each of its segments; whole blocks were kept.
    assert hub.bytes_sent(host="cdn") < SIZE * 1.05


def attempt(mirror):
    try:
        return download(mirror)
    except (http.client.HTTPException, ConnectionError):
        return "broken"


def clients_of(worker, port):
    """How many clients a worker serves now."""
    here = [connection for connection in worker.net_connections("tcp") if connection.status == "ESTABLISHED"]
    return sum(connection.laddr.port == port for connection in here)
