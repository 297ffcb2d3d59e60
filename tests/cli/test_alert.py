"""``dingospeed alert``: what is wrong, and whether the webhooks work."""

import pytest
import yaml

from dingospeed.testing import FakeHub
from tests.harness import mirrors_in, wait_until
from tests.hooks import hook_running


@pytest.fixture
def hook():
    with hook_running() as hook:
        yield hook


def test_alert__test__every_webhook_is_tried_and_told_of(run_command, hook, tmp_path):
    config = tmp_path / "my.yaml"
    good, dead = f"{hook.url}/sesame-1", "http://127.0.0.1:9/sesame-2"
    webhooks = [{"kind": "slack", "url": good}, {"kind": "json", "url": dead}]
    config.write_text(yaml.safe_dump({"alerts": {"webhooks": webhooks}}))

    found = run_command("alert", "--test", "--json", "--config", config)

    assert found.code == 1
    assert found.json == [
        {"webhook": "alerts.webhooks[0] (slack)", "result": "taken"},
        {"webhook": "alerts.webhooks[1] (json)", "result": "no connection"},
    ]
    assert [taken.path for taken in hook.taken] == ["/sesame-1"]
    assert "TEST: test: this is a test" in hook.taken[0].json["text"]
    assert "sesame" not in found.out + found.err


def test_alert__nothing_to_test__says_so(run_command):
    found = run_command("alert", "--test")

    assert (found.code, found.out) == (0, "There are no webhooks: alerts.webhooks is empty.\n")


def test_alert__of_a_running_mirror__tells_what_is_wrong(run_command, hook, tmp_path):
    webhooks = [{"kind": "json", "url": hook.url}]
    # Nothing is below so high a mark.
    alerts = {"disk_percent": 0.0001, "check_s": 1, "settle_s": 0, "webhooks": webhooks}
    with FakeHub() as hub, mirrors_in(tmp_path) as make:
        mirror = make(hub, admin={"token": "admin"}, alerts=alerts)
        wait_until(hook.texts)

        found = run_command("alert", "--server", mirror.url, "--admin-token", "admin")

    assert found.code == 1
    assert "disk_above_mark" in found.out
