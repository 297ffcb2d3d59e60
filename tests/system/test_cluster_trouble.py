"""Nodes, peers and Redis in trouble: right bytes always, a second copy at worst, one again by itself."""

import http.client
import signal
import threading
import time
from urllib.parse import urlencode

import pytest

from dingospeed.cluster.signing import Signer
from dingospeed.testing import Generated
from tests.group import SECRET, alive, download, groups_in
from tests.harness import PATIENCE_S, all_at_once, wait_until
from tests.redis_server import redis  # noqa: F401

pytestmark = pytest.mark.server

SIZE = 24 << 20
PATH = "/org/big/resolve/main/big.bin"
SEGMENT = 2 << 20
SETTINGS = {
    "download": {"block_bytes": 1 << 18, "segment_blocks": 8, "read_ahead": 4},
    # Silence is noticed within a test's time.
    "cluster": {"connect_s": 0.5, "read_s": 1},
}


@pytest.fixture
def make_group(hub, tmp_path, redis):  # noqa: F811
    with groups_in(tmp_path, redis) as make:
        yield lambda nodes: make(hub, nodes=nodes, **SETTINGS)


@pytest.fixture
def big(hub):
    repo = hub.add_repo("models", "org/big")
    later = {f"next{number}.bin": Generated(size=SIZE, seed=10 + number) for number in range(5)}
    repo.commit({"big.bin": Generated(size=SIZE, seed=9), **later})
    return repo


@pytest.fixture
def slow(hub):
    """Every connection to the outside gives two megabytes a second."""
    return hub.fault(where="cdn", kind="rate", bytes_per_s=1_500_000)


class Download:
    """A client that is patient: cut short it comes again, as real ones do."""

    def __init__(self, node, path=PATH):
        self.result = None
        self._arguments = (node, path)
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self):
        for _ in range(5):
            try:
                self.result = download(*self._arguments)
                return
            except (http.client.HTTPException, OSError) as error:
                self.result = repr(error)

    def ends(self):
        self._thread.join(PATIENCE_S)
        return self.result


def some_came(hub):
    wait_until(lambda: hub.bytes_sent(host="cdn") > SIZE // 8, "some came from outside")


def send(node, number):
    for process in (*node.workers(), node.process):
        process.send_signal(number)


def test_node__killed_in_mid_transfer__clients_of_the_others_get_right_bytes(hub, big, slow, make_group):
    group = make_group(3)
    first, second, third = group.nodes
    clients = [Download(first), Download(second)]
    some_came(hub)

    third.kill()

    assert [client.ends() for client in clients] == [big.sha256("big.bin")] * 2
    # What the lost one had is fetched again, nothing else: it owned a third.
    assert hub.bytes_sent(host="cdn") < SIZE * 1.5


def test_node__paused_in_mid_transfer_and_woken__right_bytes_and_one_copy_again(hub, big, slow, make_group):
    group = make_group(3)
    first, _, third = group.nodes
    clients = [Download(node) for node in group.nodes]
    some_came(hub)

    send(third, signal.SIGSTOP)
    results = [client.ends() for client in clients[:2]]
    wait_until(lambda: alive(first) == {"n0", "n1"}, "the paused one is lost")
    send(third, signal.SIGCONT)

    assert results == [big.sha256("big.bin")] * 2
    assert clients[2].ends() == big.sha256("big.bin")
    assert hub.bytes_sent(host="cdn") <= 2 * SIZE
    group.together()
    hub.clear_faults()
    assert any(comes_once(group, hub, big, f"next{number}.bin") for number in range(5))


def comes_once(group, hub, repo, name):
    """Whether a file that nobody has yet, asked of all nodes, comes from outside once."""
    before, path = hub.bytes_sent(host="cdn"), PATH.replace("big.bin", name)
    results = all_at_once([lambda node=node: download(node, path) for node in group.nodes])
    assert results == [repo.sha256(name)] * len(group.nodes)
    return hub.bytes_sent(host="cdn") - before == SIZE


def test_redis__hangs_in_mid_transfer_then_comes_back_empty__right_bytes_and_one_copy_again(
    hub,
    big,
    slow,
    make_group,
    redis,  # noqa: F811
):
    group = make_group(3)
    first, second, third = group.nodes
    clients = [Download(first), Download(second)]
    some_came(hub)

    redis.pause()

    assert [client.ends() for client in clients] == [big.sha256("big.bin")] * 2
    assert hub.bytes_sent(host="cdn") <= 2 * SIZE
    redis.kill()
    redis.start()
    group.together()
    wait_until(
        lambda: redis.client.hvals(f"dingospeed:blob:{big.sha256('big.bin')}").count("*") == 2, "told anew"
    )
    before = hub.bytes_sent(host="cdn")
    assert download(third, PATH) == big.sha256("big.bin")
    assert hub.bytes_sent(host="cdn") == before


def test_peer__gives_a_wrong_byte__client_gets_right_ones_and_it_is_never_sealed(hub, big, make_group):
    group = make_group(2)
    first, second = group.nodes
    etag = big.sha256("big.bin")
    assert download(first, PATH) == etag
    wait_until(first.sealed, "the first has it")
    path = first.repos / "blobs" / etag[:2] / etag
    wait_until(lambda: group.redis.client.hget(f"dingospeed:blob:{etag}", "n0") == "*", "the others know")
    # In every segment: some the second has already, as their owner.
    with path.open("r+b") as file:
        for position in range(SEGMENT // 2, SIZE, SEGMENT):
            file.seek(position)
            [byte] = file.read(1)
            file.seek(position)
            file.write(bytes([byte ^ 0xFF]))

    assert Download(second).ends() == etag

    assert "rejected" in second.log()
    sealed = second.repos / "blobs" / etag[:2] / etag
    wait_until(sealed.exists, "the right one is sealed")
    assert sealed.read_bytes() == big.content("big.bin")
    assert SIZE < hub.bytes_sent(host="cdn") <= 2 * SIZE


def test_node__without_internet__has_everything_from_the_others(hub, big, make_group):
    group = make_group(2)
    offline = group.add(upstream={"offline": True})
    group.together()

    assert download(offline, PATH) == big.sha256("big.bin")

    assert hub.bytes_sent(host="cdn") == SIZE
    for node in group.nodes[:2]:
        node.kill()
    assert download(offline, PATH) == big.sha256("big.bin")
    assert offline.get("/org/big/resolve/main/none.bin")[0] == 404


def test_node__its_way_outside_is_cut__others_fetch_for_it(hub, big, make_group):
    group = make_group(1)
    cut = group.add(upstream={"lines": ["http://127.0.0.1:9"]})
    group.together()

    assert Download(cut).ends() == big.sha256("big.bin")

    assert hub.bytes_sent(host="cdn") == SIZE


def test_all_peers__gone_in_mid_transfer__the_outside_gives_the_rest(hub, big, slow, make_group):
    group = make_group(3)
    client = Download(group.nodes[0])
    some_came(hub)

    for node in group.nodes[1:]:
        node.kill()

    assert client.ends() == big.sha256("big.bin")


@pytest.mark.parametrize("path", ["/-/peers/blobs/" + "a" * 64, "/-/peers/repos"])
def test_peers__asked_without_the_secret__refused(make_group, path):
    [node] = make_group(1).nodes

    status, _, body = node.get(f"{path}?size=9&start=0&stop=9&what=tree&type=models&repo=a/b")

    assert status == 403
    assert b"signature" in body


def test_peers__a_signed_request_sent_again__refused_by_each_worker(hub, big, tmp_path, redis):  # noqa: F811
    with groups_in(tmp_path, redis) as make:
        [node] = make(hub, nodes=1, server={"workers": 2}).nodes
        assert download(node, PATH) == big.sha256("big.bin")
        wait_until(node.sealed, "it has it")
        path = f"/-/peers/blobs/{big.sha256('big.bin')}"
        query = {"size": str(SIZE), "start": "7", "stop": "107"}
        headers = signed_by("other", path, query, to="n0")

        statuses = [node.get(f"{path}?{urlencode(query)}", headers=headers)[0] for _ in range(5)]
        body = node.get(f"{path}?{urlencode(query)}", headers=signed_by("other", path, query, to="n0"))[2]

    assert statuses == [200] + [403] * 4
    assert body == big.content("big.bin")[7:107]


def test_peers__ask_about_a_private_repo__are_told_nothing(hub, make_group):
    hub.add_user("ann", token="hf_ann0000000")
    repo = hub.add_repo("models", "ann/secret", private=True)
    repo.grant("ann")
    repo.commit({"file.bin": b"secret"})
    [node] = make_group(1).nodes
    assert node.get("/ann/secret/resolve/main/file.bin", token="hf_ann0000000")[0] == 200

    for what in ("info", "visibility", "tree"):
        query = {"what": what, "type": "models", "repo": "ann/secret", "revision": repo.branches["main"]}
        headers = signed_by("other", "/-/peers/repos", query, to="n0")
        status, _, body = node.get(f"/-/peers/repos?{urlencode(query)}", headers=headers)
        assert status in (401, 403, 404)
        assert b"file.bin" not in body


def signed_by(id, path, query, *, to):
    """The headers of a peer's request; Redis is on this machine, so its time is ours."""
    signer = Signer(secret=SECRET, id=id, now_s=time.time, is_new=lambda nonce, expires: True)
    return signer.headers("GET", path, query, to=to)
