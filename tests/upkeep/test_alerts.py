"""Alerts: once when broken, once when healed, over restarts and dead webhooks."""

import pytest

from dingospeed.store.documents import Documents
from dingospeed.upkeep.alerts import Alerts, Courier
from dingospeed.upkeep.troubles import Trouble
from dingospeed.upstream.webhooks import WebhookFailed

LINE = Trouble("line_down", "a", "no connection", "it answers again")
DISK = Trouble("disk_above_mark", "", "91 % used", "below 90 % again")


class Node:
    """Something that has troubles, a clock, and a webhook; the upkeep can move to another worker."""

    def __init__(self, folder):
        self.folder = folder
        self.troubles = []
        self.now = 1000.0
        self.told = []
        self.is_dead = False
        self.restart()

    id, label = "hook", "the hook"

    def send(self, notices):
        if self.is_dead:
            raise WebhookFailed("nobody answers")
        self.told += [(notice.state, notice.alert, notice.text) for notice in notices]

    def restart(self):
        documents = Documents(memory_bytes=1 << 20)
        self.alerts = Alerts(
            sources=[lambda before: self.troubles],
            documents=documents,
            path=self.folder / "troubles.json",
            settle_s=30,
            clock=lambda: self.now,
        )
        self.courier = Courier(
            webhook=self,
            known=self.alerts.known,
            documents=documents,
            path=self.folder / "told.json",
            remind_s=1000,
            clock=lambda: self.now,
        )

    def after(self, seconds, *troubles):
        """Look and tell each ten seconds, for so long, while *troubles* are there."""
        self.troubles = list(troubles)
        for _ in range(int(seconds / 10)):
            self.now += 10
            self.alerts.check()
            self.courier.tell()
        told, self.told = self.told, []
        return told


@pytest.fixture
def node(tmp_path):
    return Node(tmp_path)


def test_tell__broken_and_healed__once_each(node):
    assert node.after(200) == []
    assert node.after(200, LINE) == [("broken", "line_down", "no connection")]
    assert node.after(200) == [("healed", "line_down", "it answers again")]
    assert node.after(200) == []


def test_tell__broken_for_a_moment__nothing(node):
    assert node.after(20, LINE) == []
    assert node.after(200) == []


def test_tell__healed_for_a_moment__nothing(node):
    node.after(100, LINE)

    assert node.after(20) == []
    assert node.after(100, LINE) == []


def test_tell__still_broken_after_long__a_reminder_now_and_then(node):
    node.after(100, LINE)

    told = node.after(2100, LINE)

    assert told == [("reminder", "line_down", "no connection")] * 2


def test_tell__worker_restarted__nothing_is_repeated_and_nothing_is_lost(node):
    node.after(100, LINE)

    node.restart()
    assert node.after(100, LINE, DISK) == [("broken", "disk_above_mark", "91 % used")]
    node.restart()
    assert node.after(100, DISK) == [("healed", "line_down", "it answers again")]


def test_tell__webhook_dead_meanwhile__hears_what_is_wrong_now_and_of_nothing_past(node, monkeypatch):
    monkeypatch.setattr("dingospeed.upkeep.alerts._REST_S", 0.0)
    node.is_dead = True
    assert node.after(100, LINE) == []
    assert node.after(100, DISK) == []
    node.is_dead = False

    assert node.after(100, DISK) == [("broken", "disk_above_mark", "91 % used")]


def test_tell__webhook_failed__is_left_alone_for_a_while(node):
    node.is_dead = True
    node.after(100, LINE)
    node.is_dead = False

    assert node.after(100, LINE) == []


def test_tell__disk_is_full__is_told_once_all_the_same(node, monkeypatch):
    monkeypatch.setattr(Documents, "write", lambda self, path, value: False)
    node.courier._known = lambda: node.alerts._known or {}

    assert node.after(200, DISK) == [("broken", "disk_above_mark", "91 % used")]


def test_check__documents_are_nonsense__begins_anew(node, tmp_path):
    for name in ("troubles", "told"):
        (tmp_path / f"{name}.json").write_text('{"a": 1}')

    assert node.after(200, LINE) == [("broken", "line_down", "no connection")]


def test_check__one_source_fails__the_others_are_asked(node):
    def fails(before):
        raise WebhookFailed("anything")

    node.alerts._sources = [fails, lambda before: [LINE]]

    assert node.after(200) == [("broken", "line_down", "no connection")]
