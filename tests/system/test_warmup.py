"""Jobs through real workers: what they fetch, what ends them, and what does not."""

import contextlib
import json
import threading

import pytest

from dingospeed.testing import Generated
from tests.harness import expected, wait_until
from tests.system.jobs import Admin

pytestmark = pytest.mark.server

BIG = 40_000_000
FILES = {
    "config.json": b"{}",
    "empty.txt": b"",
    "model.safetensors": Generated(size=5_000_000, seed=21),
    "onnx/model.onnx": Generated(size=2_000_000, seed=22),
}
LFS_BYTES = 7_000_000


@pytest.fixture(scope="module")
def admin(shared_mirror):
    return Admin(shared_mirror)


def slowly(hub, bytes_per_s=2_000_000):
    return hub.fault(where="cdn", kind="rate", bytes_per_s=bytes_per_s)


def test_job__model__all_is_held_each_byte_came_once_and_clients_need_nobody(
    shared_hub, shared_mirror, admin, make_client
):
    repo = shared_hub.add_repo("models", "org/warm")
    repo.commit(FILES)
    shared_hub.reset_counters()

    job = admin.wait(admin.begin("org/warm"), "done")

    progress = job["progress"]
    assert (progress["files"], progress["files_held"]) == (4, 4)
    assert progress["bytes"] == progress["bytes_held"] == LFS_BYTES + 2
    assert progress["commit"] == repo.branches["main"]
    assert shared_hub.bytes_sent(host="cdn") == LFS_BYTES
    shared_hub.reset_counters()
    assert make_client(shared_mirror).snapshot("org/warm") == expected(repo)
    assert shared_hub.calls == []


def test_job__patterns__only_what_matches(shared_hub, shared_mirror, admin):
    repo = shared_hub.add_repo("datasets", "org/patterns")
    repo.commit({"data/a.parquet": b"a", "data/b.csv": b"b", "other/c.parquet": b"c"})

    id = admin.begin("org/patterns", type="datasets", include=["data/", "*.parquet"], exclude=["*.csv"])

    assert admin.wait(id, "done")["progress"]["files"] == 2
    assert repo.etag("data/a.parquet") in shared_mirror.sealed()
    assert repo.etag("data/b.csv") not in shared_mirror.sealed()


def test_job__while_clients_read_the_same_file__one_copy_upstream(shared_hub, shared_mirror, admin):
    repo = shared_hub.add_repo("models", "org/shared")
    repo.commit({"big.bin": Generated(size=BIG, seed=23)})
    shared_hub.reset_counters()
    fault = slowly(shared_hub, bytes_per_s=10_000_000)

    id = admin.begin("org/shared")
    path, bodies = "/org/shared/resolve/main/big.bin", []
    clients = [threading.Thread(target=lambda: bodies.append(shared_mirror.get(path)[2])) for _ in range(3)]
    for client in clients:
        client.start()
    for client in clients:
        client.join()

    assert bodies == [repo.content("big.bin")] * 3
    admin.wait(id, "done")
    assert shared_hub.bytes_sent(host="cdn") == BIG
    fault.remove()


def test_job__within_a_limit__does_not_run_through_while_nobody_waits(hub, make_mirror):
    hub.add_repo("models", "org/limited").commit({"big.bin": Generated(size=BIG, seed=23)})
    mirror = make_mirror(hub, warmup={"rate": 65_536})
    admin = Admin(mirror)
    id = admin.begin("org/limited")

    admin.wait_held(id, 0)

    # Without a limit it would be done at once.
    assert admin.job(id)["state"] == "running"
    assert admin.job(id)["progress"]["bytes_held"] < BIG
    # Who waits for it does not wait for the limit.
    assert len(mirror.get("/org/limited/resolve/main/big.bin")[2]) == BIG
    admin.wait(id, "done")
    assert hub.bytes_sent(host="cdn") == BIG


def test_job__paused_resumed_and_cancelled__does_as_it_is_told(shared_hub, admin):
    repo = shared_hub.add_repo("models", "org/paused")
    repo.commit({"big.bin": Generated(size=BIG, seed=24)})
    fault = slowly(shared_hub)
    id = admin.begin("org/paused")
    admin.wait_held(id, 0)

    assert admin.act(id, "pause")[1]["state"] == "paused"
    assert admin.act(id, "resume")[1]["state"] == "queued"
    admin.wait(id, "running")
    assert admin.act(id, "cancel")[1]["state"] == "cancelled"

    status, refused = admin.act(id, "resume")
    assert status == 409
    assert "cancelled" in refused["error"]
    fault.remove()


def test_job__the_same_again__goes_on_instead_of_a_second(shared_hub, admin):
    repo = shared_hub.add_repo("models", "org/twice")
    repo.commit({"big.bin": Generated(size=BIG, seed=25)})
    fault = slowly(shared_hub)
    id = admin.begin("org/twice")

    status, again = admin.ask("POST", "/-/jobs", repo="org/twice")

    assert (status, again["id"]) == (200, id)
    fault.remove()
    admin.wait(id, "done")


def test_job__a_repo_that_is_not_there__is_refused_and_no_job(admin):
    before = admin.ask("GET", "/-/jobs")[1]

    status, refused = admin.ask("POST", "/-/jobs", repo="org/nowhere")

    assert status == 404
    assert refused["error"]
    assert admin.ask("GET", "/-/jobs")[1] == before


def test_plan__nothing_is_fetched(shared_hub, admin):
    shared_hub.add_repo("models", "org/planned").commit(
        {"a.bin": Generated(size=700_000, seed=26), "b.txt": b"b"}
    )

    shared_hub.reset_counters()

    status, plan = admin.ask("POST", "/-/plans", repo="org/planned")

    assert status == 200
    assert [file["path"] for file in plan["files"]] == ["b.txt", "a.bin"]
    assert (plan["bytes"], plan["bytes_held"]) == (700_001, 0)
    assert shared_hub.bytes_sent(host="cdn") == 0


def test_events__followed__tell_of_every_change_until_it_is_over(shared_hub, shared_mirror, admin):
    repo = shared_hub.add_repo("models", "org/followed")
    repo.commit({"big.bin": Generated(size=BIG, seed=27)})
    fault = slowly(shared_hub)
    id = admin.begin("org/followed")
    token = (shared_mirror.repos / "keys" / "admin").read_text().strip()
    seen = []

    with contextlib.closing(shared_mirror.connect()) as connection:
        connection.request("GET", f"/-/jobs/{id}/events", headers={"Authorization": f"Bearer {token}"})
        answer = connection.getresponse()
        while line := answer.readline():
            if line.startswith(b"data: "):
                seen.append(json.loads(line[6:]))
                if seen[-1]["progress"]["bytes_held"]:
                    fault.remove()

    held = [job["progress"]["bytes_held"] for job in seen]
    assert answer.headers["Content-Type"].startswith("text/event-stream")
    assert seen[-1]["state"] == "done"
    assert held == sorted(held)
    assert len(set(held)) > 2


def most_at_once(calls):
    """How many of *calls* overlapped at most."""
    moments = sorted([(call.time, 1) for call in calls] + [(call.ended or call.time, -1) for call in calls])
    now = most = 0
    for _, step in moments:
        now += step
        most = max(most, now)
    return most


def test_client__waits_for_bytes__warm_up_gives_way(shared_hub, shared_mirror, admin):
    warm = shared_hub.add_repo("models", "org/background")
    warm.commit({f"{n}.bin": Generated(size=2_000_000, seed=40 + n) for n in range(8)})
    asked = shared_hub.add_repo("models", "org/asked")
    asked.commit({"big.bin": Generated(size=BIG, seed=50)})
    fault = slowly(shared_hub, bytes_per_s=400_000)
    shared_hub.reset_counters()
    client = threading.Thread(target=shared_mirror.get, args=("/org/asked/resolve/main/big.bin",))
    client.start()
    wait_until(lambda: shared_hub.bytes_sent(host="cdn") > 0, "the client waits for bytes")
    shared_hub.reset_counters()

    id = admin.begin("org/background")
    wait_until(lambda: "giving way" in admin.job(id)["reason"], "it says that it gives way")
    admin.wait_held(id, 1_500_000)
    big = asked.entry("big.bin").xet_hash
    meanwhile = [call for call in shared_hub.select(host="cdn") if big not in call.path]
    fault.remove()
    client.join()

    assert most_at_once(meanwhile) == 1
    admin.wait(id, "done")


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/-/jobs"), ("POST", "/-/jobs"), ("POST", "/-/plans"), ("GET", "/-/jobs/x/events")],
)
@pytest.mark.parametrize("token", [None, "wrong"])
def test_jobs__without_the_admin_token__are_closed(shared_mirror, method, path, token):
    assert shared_mirror.get(path, method=method, token=token)[0] == 401


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ({}, "repo: expected the name of a repo"),
        ({"repo": "../etc"}, "repo: expected the name of a repo"),
        ({"repo": "org/x", "type": "modles"}, "type: expected one of models"),
        ({"repo": "org/x", "revision": "../.."}, "revision: expected a branch"),
        ({"repo": "org/x", "include": "*.bin"}, "include: expected a list"),
        ({"repo": "org/x", "token": "with space"}, "token: expected null, or a token"),
        ({"repo": "org/x", "sneaky": 1}, "sneaky: expected one of repo"),
    ],
)
def test_job__asked_for_wrongly__says_what_was_expected(admin, body, told):
    status, answer = admin.ask("POST", "/-/jobs", **body or {"revision": "main"})

    assert status == 400
    assert told in answer["error"]
    assert "with space" not in answer["error"]


# --- mirrors of their own: their workers are killed, their settings differ -------------------


def runner_of(mirror):
    """The worker that does the upkeep."""
    lease = str(mirror.repos / "run" / "upkeep")
    holders = [
        worker for worker in mirror.workers() if any(file.path == lease for file in worker.open_files())
    ]
    return holders[0] if holders else None


def test_job__its_worker_killed_and_the_mirror_restarted__goes_on_by_itself(hub, make_mirror):
    repo = hub.add_repo("models", "org/killed")
    repo.commit({"big.bin": Generated(size=BIG, seed=31)})
    mirror = make_mirror(hub, server={"graceful_timeout_s": 1})
    admin = Admin(mirror)
    slowly(hub)
    id = admin.begin("org/killed")
    admin.wait_held(id, 1_000_000)
    wait_until(lambda: runner_of(mirror) is not None, "somebody does the upkeep")

    runner_of(mirror).kill()
    admin.wait_held(id, admin.job(id)["progress"]["bytes_held"] + 1_000_000)
    mirror.stop()
    hub.clear_faults()
    mirror.start()

    admin.wait(id, "done")
    assert repo.etag("big.bin") in mirror.sealed()
    # A part of a block at most is fetched again, in each of the segments that were under way.
    assert hub.bytes_sent(host="cdn") < BIG * 1.15


def test_token__of_a_private_repo__never_on_the_disk_outlives_a_worker_and_not_the_node(hub, make_mirror):
    hub.add_user("reader", token="hf_very_secret_token")
    repo = hub.add_repo("models", "org/private", private=True)
    repo.commit({"big.bin": Generated(size=BIG, seed=33)})
    repo.grant("reader")
    mirror = make_mirror(hub, server={"graceful_timeout_s": 1})
    admin = Admin(mirror)
    slowly(hub)
    assert admin.ask("POST", "/-/jobs", repo="org/private")[0] == 404
    id = admin.begin("org/private", token="hf_very_secret_token")
    admin.wait_held(id, 1_000_000)

    wait_until(lambda: runner_of(mirror) is not None, "somebody does the upkeep")
    runner_of(mirror).kill()
    held = admin.job(id)["progress"]["bytes_held"]
    admin.wait_held(id, held)
    assert "hf_very_secret_token" not in json.dumps(admin.job(id))
    mirror.stop()
    hub.clear_faults()
    mirror.start()

    job = admin.wait(id, "paused")
    assert "resume it with the token" in job["reason"]
    for path in mirror.folder.rglob("*"):
        assert not path.is_file() or b"hf_very_secret_token" not in path.read_bytes(), path
    admin.act(id, "resume", token="hf_very_secret_token")
    admin.wait(id, "done")


def test_schedule__in_the_settings__begins_by_itself(hub, make_mirror):
    repo = hub.add_repo("models", "org/scheduled")
    repo.commit(FILES)

    mirror = make_mirror(
        hub, warmup={"jobs": [{"repo": "org/scheduled", "every": "1h", "exclude": ["onnx/"]}]}
    )

    wait_until(lambda: repo.etag("model.safetensors") in mirror.sealed(), "it is held")
    (job,) = Admin(mirror).ask("GET", "/-/jobs")[1]["jobs"]
    assert (job["origin"], job["exclude"]) == ("schedule", ["onnx/"])


def test_upstream__away_for_a_while__the_job_waits_and_says_so(hub, make_mirror):
    repo = hub.add_repo("models", "org/patient")
    repo.commit(FILES)
    mirror = make_mirror(hub, upstream={"retries": 1})
    admin = Admin(mirror)
    hub.fault(where="cdn", kind="status", code=503)

    id = admin.begin("org/patient")

    wait_until(lambda: "trying again" in admin.job(id)["reason"], "it says that it waits")
    hub.clear_faults()
    admin.wait(id, "done")


def test_upstream__gone_for_good__the_job_fails_and_says_why(hub, make_mirror):
    repo = hub.add_repo("models", "org/hopeless")
    repo.commit(FILES)
    mirror = make_mirror(hub, upstream={"retries": 1}, warmup={"patience_s": 1})
    admin = Admin(mirror)
    hub.fault(where="cdn", kind="status", code=503)

    id = admin.begin("org/hopeless")

    wait_until(lambda: admin.job(id)["state"] == "failed", "it gives up")
    assert admin.job(id)["reason"]


def test_budget__nearly_used_up__the_rest_is_left_to_clients(hub, make_mirror):
    repo = hub.add_repo("models", "org/budget")
    repo.commit({f"{n}.txt": f"file {n}".encode() for n in range(40)})
    hub.rate_limits.set("resolvers", 20, window_s=3600)
    mirror = make_mirror(hub, warmup={"keep_budget": 0.5})
    admin = Admin(mirror)

    id = admin.begin("org/budget")

    wait_until(lambda: "rate limit" in admin.job(id)["reason"], "it says that it waits")
    asked = hub.count(kind="resolve")
    assert 10 <= asked <= 10 + 4 + 1
    assert mirror.get("/org/budget/resolve/main/39.txt")[0] == 200
    assert hub.count(kind="resolve") - asked <= 1


def test_limit__a_client_joins_a_file_that_is_held_back__it_need_not_wait_for_that(hub, make_mirror):
    repo = hub.add_repo("models", "org/held-back")
    repo.commit({"big.bin": Generated(size=BIG, seed=51)})
    # More than ten minutes at this rate.
    mirror = make_mirror(hub, warmup={"rate": 65536})
    admin = Admin(mirror)
    id = admin.begin("org/held-back")
    wait_until(lambda: hub.bytes_sent(host="cdn") > 0, "it has begun")

    assert mirror.get("/org/held-back/resolve/main/big.bin")[2] == repo.content("big.bin")

    admin.wait(id, "done")
    assert hub.bytes_sent(host="cdn") == BIG
