"""The second promise: one upstream copy, whoever asks, whoever dies."""

import contextlib
import http.client
import os
import signal
import threading
import time

import pytest

from dingospeed.testing.hub import Generated
from tests.harness import all_at_once, wait_until

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
    import hashlib

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


def test_worker__killed_while_filling__others_finish_and_nothing_wrong_remains(hub, big, mirror):
    hub.fault(where="cdn", kind="rate", bytes_per_s=10_000_000)
    threading.Timer(1.5, lambda: os.kill(mirror.workers()[0].pid, signal.SIGKILL)).start()

    results = all_at_once([lambda: download(mirror)] * 8)

    finished = [result for result in results if isinstance(result, str)]
    broken = [result for result in results if not isinstance(result, str)]
    assert set(finished) <= {big.sha256("big.bin")}
    assert all(isinstance(error, (http.client.IncompleteRead, ConnectionError)) for error in broken), broken
    assert finished or broken
    hub.clear_faults()
    mirror.restart()
    assert download(mirror) == big.sha256("big.bin")
    # A killed worker may have been in the middle of a block in each of its segments; whole blocks were kept.
    assert hub.bytes_sent(host="cdn") < SIZE * 1.1
