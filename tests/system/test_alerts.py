"""Alerts of a real mirror to a real webhook: once when something breaks, once when it is well again."""

import os
import signal

import pytest

from dingospeed.testing import Generated
from tests.harness import wait_until
from tests.hooks import hook_running

pytestmark = pytest.mark.server

PLACE = "/robot/send?key=sesame"
# A mirror that looks every second, and has nothing against this machine's disk or speed.
QUICK = {
    "check_s": 1,
    "settle_s": 0,
    "disk_percent": 100,
    "hub_blocked_s": 60,
    "rate_budget_percent": 0,
}


@pytest.fixture
def hook():
    with hook_running() as hook:
        yield hook


@pytest.fixture
def alerting(make_mirror, hook):
    def make(*hubs, others=(), **settings):
        webhooks = [{"kind": "json", "url": hook.url + PLACE}, *others]
        return make_mirror(
            *hubs, admin={"token": "admin"}, alerts={**QUICK, **settings, "webhooks": webhooks}
        )

    return make


class Asking:
    """Asks a mirror what it does not know yet, so that it has to ask its lines."""

    def __init__(self, mirror):
        self._mirror = mirror
        self._number = 0

    def __call__(self):
        self._number += 1
        return self._mirror.get(f"/api/models/org/none{self._number}")[0]


def test_line__breaks_and_heals__told_once_each_though_the_upkeep_moves(hub, second_hub, alerting, hook):
    mirror = alerting(hub, second_hub)
    name = hub.url.partition("//")[2]
    ask = Asking(mirror)
    hub.fault(where="any", kind="status", code=500)
    wait_until(lambda: ask() and hook.texts(), "the alert")

    os.kill(mirror.upkeep(), signal.SIGKILL)
    wait_until(lambda: mirror.log().count("upkeep is done by this worker") == 2, "another worker takes over")
    # Whoever does it now has looked at least twice.
    looked = mirror.repos / "alerts" / "troubles.json"
    for _ in range(2):
        seen = looked.stat().st_mtime_ns
        wait_until(lambda seen=seen: ask() and looked.stat().st_mtime_ns != seen)
    hub.clear_faults()
    wait_until(lambda: ask() and len(hook.texts()) > 1, "the end of it")

    assert hook.texts() == [("broken", "line_down", name), ("healed", "line_down", name)]
    assert mirror.json("/-/alerts", token="admin")[2] == {"alerts": []}
    assert "sesame" not in mirror.log()


def test_content__comes_wrong__is_told_and_shown(hub, alerting, hook):
    repo = hub.add_repo("models", "org/wrong")
    repo.commit({"a.bin": Generated(size=300_000, seed=1)})
    mirror = alerting(hub)
    hub.fault(where="cdn", kind="corrupt", offset=1000, times=1)

    assert mirror.get("/org/wrong/resolve/main/a.bin")[0] == 200

    wait_until(hook.texts)
    assert hook.texts() == [("broken", "hash_mismatch", "")]
    [told] = mirror.json("/-/alerts", token="admin")[2]["alerts"]
    assert told["alert"] == "hash_mismatch"
    assert mirror.get("/-/alerts")[0] == 401


def test_webhooks__one_hangs_and_one_is_dead__the_third_and_all_clients_are_served(hub, alerting, hook):
    repo = hub.add_repo("models", "org/served")
    repo.commit({"a.txt": b"words"})
    with hook_running() as hanging:
        hanging.behaviour = "hang"
        others = [
            {"kind": "wecom", "url": hanging.url + PLACE},
            {"kind": "feishu", "url": f"http://127.0.0.1:9{PLACE}"},
        ]
        # Nothing is below so high a mark: there is an alert from the start.
        mirror = alerting(hub, others=others, disk_percent=0.0001)

        wait_until(lambda: hanging.taken and hook.texts())
        wait_until(lambda: "alerts.webhooks[2] (feishu) does not take alerts" in mirror.log())
        assert mirror.get("/org/served/resolve/main/a.txt")[2] == b"words"

    assert hook.texts() == [("broken", "disk_above_mark", "")]
    assert "sesame" not in mirror.log()


def test_worker__held_up__another_tells_of_it(hub, alerting, hook):
    mirror = alerting(hub, hub_blocked_s=3)
    wait_until(lambda: mirror.upkeep())
    [other] = [worker for worker in mirror.workers() if worker.pid != mirror.upkeep()]
    wait_until(lambda: len(mirror.json("/-/transfers", token="admin")[2]["workers"]) == 2)

    os.kill(other.pid, signal.SIGSTOP)
    try:
        wait_until(lambda: ("broken", "hub_blocked", "") in hook.texts(), "the alert")
    finally:
        os.kill(other.pid, signal.SIGCONT)

    texts = [alert["text"] for one in hook.taken for alert in one.json["alerts"]]
    assert any(f"worker {other.pid} was held up" in text for text in texts)
