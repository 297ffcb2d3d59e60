"""What the node tells of its own doing, over two real workers."""

import json
import re
import socket
import time
from contextlib import closing

import pytest

from dingospeed.testing import Generated
from tests.harness import mirrors_in, wait_until

pytestmark = pytest.mark.server

ADMIN = "the-admin-token"
TOKEN = "hf_aTokenOfSomebodys0000"


@pytest.fixture(scope="module")
def mirror(shared_hub, tmp_path_factory):
    shared_hub.add_user("ann", token=TOKEN)
    with mirrors_in(tmp_path_factory.mktemp("watched")) as make:
        yield make(shared_hub, admin={"token": ADMIN}, log={"format": "json"})


@pytest.fixture
def repo(shared_hub, request):
    repo = shared_hub.add_repo("models", f"org/{request.node.name[5:60]}".rstrip("_.-"))
    repo.commit({"a.txt": b"words", "big.bin": Generated(size=40_000_000, seed=9)})
    return repo


def told(mirror, path):
    return mirror.json(path, token=ADMIN)[2]


def about(entries, repo):
    return [entry for entry in entries if entry["repo"] == f"models/{repo.id}"]


def reading(mirror, path, *, token=None):
    """A connection on which *path* was asked for and the first bytes of the answer were read."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    sock.settimeout(60)
    sock.connect(("127.0.0.1", mirror.port))
    given = f"Authorization: Bearer {token}\r\n" if token else ""
    sock.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\n{given}\r\n".encode())
    sock.recv(1024)
    return sock


def access_lines(mirror, path):
    lines = [json.loads(line) for line in mirror.log().splitlines() if line.startswith("{")]
    return [line for line in lines if line["logger"] == "dingospeed.access" and line["path"] == path]


def test_transfers__a_slow_client__every_worker_tells_of_it_until_it_left(mirror, repo):
    path = f"/{repo.id}/resolve/main/big.bin"
    with closing(reading(mirror, path, token=TOKEN)):
        wait_until(lambda: about(told(mirror, "/-/transfers")["transfers"], repo))
        # Asked often enough that both workers have answered.
        seen = [about(told(mirror, "/-/transfers")["transfers"], repo) for _ in range(20)]

    assert all(len(found) == 1 for found in seen)
    [one] = seen[0]
    assert (one["file"], one["size"], one["cache"], one["address"]) == (
        "big.bin",
        40_000_000,
        "MISS",
        "127.0.0.1",
    )
    assert one["revision"] == repo.branches["main"]
    assert 0 < one["bytes"] < one["size"]
    assert re.fullmatch("[0-9a-f]{8}", one["who"])

    wait_until(lambda: about(told(mirror, "/-/transfers")["ended"], repo))
    [ended] = about(told(mirror, "/-/transfers")["ended"], repo)
    assert ended["result"] == "left"
    assert about(told(mirror, "/-/transfers")["transfers"], repo) == []
    assert TOKEN not in json.dumps([seen, ended])


def test_transfers__nobody_in_particular_asks__is_told_nothing(mirror):
    for path in ("/-/transfers", "/-/traffic", "/-/events"):
        assert mirror.get(path)[0] == 401
        assert mirror.get(path, token="another")[0] == 401


def test_workers__asked__tell_of_their_lines_and_their_pulse(mirror):
    workers = told(mirror, "/-/transfers")["workers"]

    assert sorted(worker["pid"] for worker in workers) == sorted(one.pid for one in mirror.workers())
    assert all(abs(worker["beat_at"] - time.time()) < 30 for worker in workers)
    assert all(worker["lag"]["worst_s"] >= 0 for worker in workers)
    assert {line["state"] for worker in workers for line in worker["lines"]} == {"healthy"}


def test_traffic__file_twice__hour_and_top_lists_have_it_also_after_a_restart(shared_hub, tmp_path):
    repo = shared_hub.add_repo("models", "org/counted")
    repo.commit({"a.bin": Generated(size=300_000, seed=3)})
    with mirrors_in(tmp_path) as make:
        mirror = make(shared_hub, admin={"token": ADMIN})
        for _ in range(2):
            assert mirror.get(f"/{repo.id}/resolve/main/a.bin")[0] == 200
        mirror.restart()

        found = told(mirror, "/-/traffic")

    total = {
        name: sum(hour[name] for hour in found["hours"])
        for name in ("requests", "hits", "bytes", "hit_bytes", "fetched_bytes")
    }
    assert total == {
        "requests": 2,
        "hits": 1,
        "bytes": 600_000,
        "hit_bytes": 300_000,
        "fetched_bytes": 300_000,
    }
    assert found["repos"] == [{"repo": "models/org/counted", "bytes": 600_000}]
    assert found["clients"] == [{"address": "127.0.0.1", "bytes": 600_000}]


def test_events__listened_to__tell_of_transfers_as_they_go(mirror, repo):
    with (
        closing(reading(mirror, f"/{repo.id}/resolve/main/big.bin")),
        closing(mirror.connect()) as connection,
    ):
        connection.request("GET", "/-/events", headers={"Authorization": f"Bearer {ADMIN}"})
        answer = connection.getresponse()
        assert answer.headers["Content-Type"].startswith("text/event-stream")

        for line in iter(answer.readline, b""):
            if line.startswith(b"data: ") and about(json.loads(line[6:])["transfers"], repo):
                break
        else:
            pytest.fail("the transfer was never told of")


def test_events__more_listeners_than_places__are_sent_away_and_places_come_back(mirror):
    def listen():
        connection = mirror.connect()
        connection.request("GET", "/-/events", headers={"Authorization": f"Bearer {ADMIN}"})
        return connection, connection.getresponse()

    listeners = [listen() for _ in range(40)]
    statuses = [answer.status for _, answer in listeners]
    for connection, _ in listeners:
        connection.close()

    assert 16 <= statuses.count(200) <= 32
    assert statuses.count(503) == 40 - statuses.count(200)

    def is_let_in_again():
        connection, answer = listen()
        connection.close()
        return answer.status == 200

    wait_until(is_let_in_again)


def test_events__the_mirror_is_told_to_stop__listeners_do_not_keep_it(shared_hub, tmp_path):
    with mirrors_in(tmp_path) as make:
        mirror = make(shared_hub, admin={"token": ADMIN}, server={"graceful_timeout_s": 600})
        with closing(mirror.connect()) as connection:
            connection.request("GET", "/-/events", headers={"Authorization": f"Bearer {ADMIN}"})
            connection.getresponse().readline()

            mirror.stop()  # Waits for a minute at most.

    assert mirror.process.returncode == 0


def test_access_log__file_and_api_and_refusal__one_line_each_with_all_there_is_to_tell(mirror, repo):
    file, api, secret = f"/{repo.id}/resolve/main/a.txt", f"/api/models/{repo.id}", "hf_inAPath0123456789"

    mirror.get(file, token=TOKEN, headers={"X-Amzn-Trace-Id": "the-id"})
    mirror.get(f"{api}?token={secret}", method="GET")
    mirror.get(f"/{repo.id}/resolve/main/none.txt")
    mirror.get(f"/{secret}")

    wait_until(lambda: access_lines(mirror, file))
    [line] = access_lines(mirror, file)
    assert {name: line[name] for name in ("id", "address", "method", "status", "bytes", "result")} == {
        "id": "the-id",
        "address": "127.0.0.1",
        "method": "GET",
        "status": 200,
        "bytes": 5,
        "result": "complete",
    }
    assert (line["repo"], line["file"], line["cache"]) == (f"models/{repo.id}", "a.txt", "MISS")
    assert line["rate"] > 0
    assert re.fullmatch("[0-9a-f]{8}", line["who"])
    [line] = access_lines(mirror, api)
    assert (line["status"], line["who"], line["repo"]) == (200, "-", f"models/{repo.id}")
    assert line["bytes"] > 0
    [line] = access_lines(mirror, f"/{repo.id}/resolve/main/none.txt")
    assert (line["status"], line["cache"]) == (404, "-")
    wait_until(lambda: access_lines(mirror, "/hf_***"))
    assert TOKEN not in mirror.log()
    assert secret not in mirror.log()
