from datetime import date

from tests.clients import expectations
from tests.clients.report import render
from tests.clients.repos import Shown
from tests.clients.roster import Client
from tests.clients.runner import Cell, ClientRun
from tests.clients.tasks import Aspect, Task

TASKS = (
    Task("with_x", "one", "the first", Aspect.DOWNLOADS),
    Task("with_x", "two", "the second", Aspect.DOWNLOADS),
)


def run_of(name, *cells):
    client = Client(name, "python", TASKS, ("x==1",))
    return ClientRun(client, Shown("org", {}), versions={"x": "1.0"}, cells=list(cells))


def rendered(*runs):
    return render(runs, [], today=date(2026, 1, 2), minutes=3.4, mirror="dingospeed 1", guard="")


def test_render__cells_of_two_clients__stand_in_one_table():
    text = rendered(
        run_of(
            "lib 1.0", Cell("lib 1.0", "one", "the first", "ok"), Cell("lib 1.0", "two", "the second", "ok")
        ),
        run_of(
            "lib 2.0", Cell("lib 2.0", "one", "the first", "ok"), Cell("lib 2.0", "two", "x", "fails", "why")
        ),
    )

    assert "| lib | 1.0 | 2.0 |" in text
    assert "| the first | ✓ | ✓ |" in text
    assert "| the second | ✓ | ✗ 1 |" in text
    assert "1. `why`" in text


def test_render__same_reason_twice__is_told_once():
    cells = [Cell("lib", name, "", "not applicable", "It has no such thing.") for name in ("one", "two")]

    text = rendered(run_of("lib", *cells))

    assert text.count("It has no such thing.") == 1
    assert text.count("– 1 |") == 2


def test_render__known_failure__is_told_in_its_sentence(monkeypatch):
    monkeypatch.setitem(expectations.EXPECTED_FAILURES, ("lib", "one"), "It can not.")

    text = rendered(run_of("lib", Cell("lib", "one", "the first", "fails", "AssertionError: 7")))

    assert "1. It can not." in text
    assert "AssertionError" not in text
