"""Warm-up across a group of real nodes over a real Redis."""

import json
import zlib
from urllib.parse import urlencode

import pytest

from dingospeed.testing import FakeHub, Generated
from tests.group import groups_in
from tests.harness import wait_until
from tests.redis_server import shared_redis  # noqa: F401
from tests.system.jobs import Admin

pytestmark = pytest.mark.server

SIZE = 8 << 20


@pytest.fixture(scope="module")
def group_hub():
    with FakeHub() as hub:
        for bucket in ("api", "resolvers"):
            hub.rate_limits.set(bucket, 1_000_000)
        yield hub


@pytest.fixture(scope="module")
def group(group_hub, shared_redis, tmp_path_factory):  # noqa: F811
    with groups_in(tmp_path_factory.mktemp("group"), shared_redis) as make:
        # Long enough for none to be taken for lost on a busy machine.
        # A limit that nobody comes near; what it is like when it bites is tested with one node.
        made = make(group_hub, nodes=3, cluster={"heartbeat_s": 1, "read_s": 9}, warmup={"rate": "1GB"})
        yield made
        for node in made.nodes:
            node.kill()


@pytest.fixture
def hub(group_hub, group):
    """The group's Hub, with no trouble left; all nodes are there."""
    yield group_hub
    group_hub.clear_faults()
    for node in group.nodes:
        if node.process.poll() is not None:
            node.start()
    group.together()


@pytest.fixture
def admins(group):
    return [Admin(node) for node in group.nodes]


def repo_of(hub, name):
    repo = hub.add_repo("models", f"org/{name}")
    repo.commit(
        {"weights.bin": Generated(size=SIZE, seed=zlib.crc32(name.encode())), "config.json": name.encode()}
    )
    return repo


def nodes_with(group, repo):
    etag = repo.sha256("weights.bin")
    return {node.settings["cluster"]["node_id"] for node in group.nodes if etag in node.sealed()}


def name_of(node):
    return node.settings["cluster"]["node_id"]


def states(job):
    return {share["node"]: share["state"] for share in job["shares"]}


def front_page(node):
    """As a browser of an administrator gets it."""
    token = (node.repos / "keys" / "admin").read_text().strip()
    body = urlencode({"token": token})
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    cookie = node.get("/-/login", method="POST", body=body, headers=form)[1]["Set-Cookie"].partition(";")[0]
    return node.get("/", headers={"Accept": "text/html", "Cookie": cookie})[2].decode()


def slowly(hub):
    """So slow that nobody is ready before that ends."""
    return hub.fault(where="cdn", kind="rate", bytes_per_s=50_000)


def test_all_nodes__each_holds_it_and_one_copy_came_from_outside(hub, group, admins):
    repo = repo_of(hub, "everywhere")
    hub.reset_counters()

    (told,) = json.loads(group.nodes[0].command("warmup", "org/everywhere", "--nodes", "all", "--json"))[
        "jobs"
    ]

    assert told["state"] == "done"
    assert nodes_with(group, repo) == {"n0", "n1", "n2"}
    assert hub.bytes_sent(host="cdn") == SIZE
    job = admins[2].wait(told["id"], "done")
    assert states(job) == {"n0": "done", "n1": "done", "n2": "done"}
    assert job["progress"]["bytes_held"] == job["progress"]["bytes"] == 3 * (SIZE + len("everywhere"))
    assert "n1" in group.nodes[1].command("jobs", "show", told["id"])
    assert "everywhere" in group.nodes[1].command("jobs")
    wait_until(lambda: 'class="way"' in front_page(group.nodes[0]), "what went between them is drawn")
    text = front_page(group.nodes[0])
    assert all(f'id="node-{name_of(node)}"' in text for node in group.nodes)
    assert "on all nodes" in text


def test_all_nodes__cold_at_the_same_time_and_within_a_limit__one_copy_came_from_outside(hub, group, admins):
    repo = repo_of(hub, "limited")
    hub.reset_counters()
    fault = slowly(hub)

    id = admins[0].begin("org/limited", nodes="all")
    wait_until(lambda: all_have_a_rate(admins[0].job(id), 3), "all are at it")
    fault.remove()

    admins[0].wait(id, "done")
    assert nodes_with(group, repo) == {"n0", "n1", "n2"}
    assert hub.bytes_sent(host="cdn") == SIZE


def test_job__paused_resumed_and_cancelled_on_other_nodes__obeyed_by_all(hub, group, admins):
    repo_of(hub, "told")
    slowly(hub)
    id = admins[0].begin("org/told", nodes="n0,n1")

    wait_until(lambda: all_have_a_rate(admins[2].job(id), 2), "both have a rate")
    assert admins[1].act(id, "pause")[1]["state"] == "paused"
    wait_until(lambda: states(admins[2].job(id)) == {"n0": "paused", "n1": "paused"}, "both pause")
    assert admins[2].job(id)["progress"]["rate"] == 0
    assert admins[2].act(id, "resume")[0] == 200
    wait_until(lambda: states(admins[0].job(id)) == {"n0": "running", "n1": "running"}, "both go on")
    assert admins[1].act(id, "cancel")[1]["state"] == "cancelled"
    wait_until(lambda: states(admins[0].job(id)) == {"n0": "cancelled", "n1": "cancelled"}, "both end")
    assert admins[2].act(id, "resume")[0] == 409


def all_have_a_rate(job, count):
    rates = [share["progress"]["rate"] for share in job["shares"]]
    assert job["progress"]["rate"] == sum(rates)
    return len(rates) == count and all(rates)


def test_node__killed_and_started_again__another_takes_its_place_but_not_where_it_is_named(
    hub, group, admins
):
    some, named = repo_of(hub, "some"), repo_of(hub, "named")
    fault = slowly(hub)
    any_two = admins[0].begin("org/some", nodes="2")
    wait_until(lambda: list(states(admins[0].job(any_two)).values()) == ["running"] * 2, "two run it")
    victim = max(states(admins[0].job(any_two)))
    lost = next(node for node in group.nodes if name_of(node) == victim)
    admin = next(admin for admin, node in zip(admins, group.nodes, strict=True) if node is not lost)
    these = admin.begin("org/named", nodes=f"n0,{victim}")
    wait_until(lambda: list(states(admin.job(these)).values()) == ["running"] * 2, "both run it")

    lost.kill()
    fault.remove()

    job = admin.wait(any_two, "done")
    assert nodes_with(group, some) == {"n0", "n1", "n2"} - {victim}
    assert [share["node"] for share in job["shares"] if share["is_lost"]] == [victim]
    wait_until(lambda: states(admin.job(these))["n0"] == "done", "the other one is ready")
    assert f"{victim} is lost" in admin.job(these)["reason"]
    assert admin.job(these)["state"] == "running"
    lost.start()
    admin.wait(these, "done")
    assert nodes_with(group, named) == {"n0", victim}


def test_redis__is_emptied_in_the_middle__the_job_is_back_and_ends_well(hub, group, admins):
    repo = repo_of(hub, "emptied")
    fault = slowly(hub)
    id = admins[0].begin("org/emptied", nodes="n1,n2")
    wait_until(lambda: list(states(admins[0].job(id)).values()) == ["running"] * 2, "both run it")

    group.redis.client.flushall()
    wait_until(lambda: admins[0].ask("GET", f"/-/jobs/{id}")[0] == 200, "it is known again")
    fault.remove()

    assert states(admins[0].wait(id, "done")) == {"n1": "done", "n2": "done"}
    assert nodes_with(group, repo) == {"n1", "n2"}


@pytest.mark.parametrize(
    ("asked", "status", "why"),
    [
        ({"nodes": "n0,n7"}, 404, "n7"),
        ({"nodes": "4"}, 409, "3 are alive"),
        ({"nodes": "0"}, 409, "3 are alive"),
        ({"nodes": "a b"}, 400, "nodes: expected"),
        ({"nodes": "all", "token": "hf_ann0000000"}, 403, "access.node_token"),
    ],
)
def test_begin__what_the_group_can_not_do__refused_with_the_reason(hub, group, admins, asked, status, why):
    repo_of(hub, "refused")

    answered, refused = admins[0].ask("POST", "/-/jobs", repo="org/refused", **asked)

    assert answered == status
    assert why in refused["error"]
    assert not [job for job in admins[0].ask("GET", "/-/jobs")[1]["jobs"] if job["repo"] == "org/refused"]
    assert "hf_ann" not in group.redis.everything()


def test_private_repo__of_no_node_s_token__refused(hub, group, admins):
    hub.add_repo("models", "org/private", private=True).commit({"a.txt": b"a"})

    assert admins[0].ask("POST", "/-/jobs", repo="org/private", nodes="all")[0] in (403, 404)


def test_job_in_redis__that_no_node_signed__done_by_nobody(hub, group, admins):
    repo = repo_of(hub, "smuggled")
    known = admins[0].begin("org/smuggled", nodes="all", include=["*.json"])
    redis, forged = group.redis.client, "20260101-000000-abcdef"
    signature, _, written = redis.hget(f"dingospeed:job:{known}", "job").partition(" ")
    job = json.loads(written)
    text = json.dumps({**job, "id": forged, "wish": {**job["wish"], "include": []}})

    redis.hset(f"dingospeed:job:{forged}", mapping={"job": f"{signature} {text}", "order": "run", "turn": 1})
    redis.sadd("dingospeed:jobs:open", forged)

    # Who is ready with the known one has looked at both since.
    admins[0].wait(known, "done")
    assert [admin.ask("GET", f"/-/jobs/{forged}")[0] for admin in admins] == [404] * 3
    assert nodes_with(group, repo) == set()
