"""What counts as trouble."""

import os
from typing import Any

import pytest

from dingospeed.model import RepoRef
from dingospeed.store.usage import Disk
from dingospeed.upkeep import troubles
from dingospeed.upkeep.board import Sheet
from dingospeed.upkeep.jobs import Job, State, Wish

NOW = 1_000_000.0


def line(name, state="healthy", error="", answered_at=0.0, **budgets):
    return {
        "name": name,
        "state": state,
        "last_error": error,
        "answered_at": answered_at,
        "budgets": budgets,
    }


def budget(remaining, quota=100, *, age_s=0.0):
    return {
        "remaining": remaining,
        "quota": quota,
        "reset_s": 50.0,
        "window_s": 300.0,
        "seen_at": NOW - age_s,
    }


def sheet(*lines, pid=1, lag_s=0.0, beat_at=NOW):
    facts = {"lines": list(lines), "lag": {"worst_s": lag_s, "at": NOW}}
    return Sheet(pid=pid, beat_at=beat_at, live=0, transfers=[], ended=[], facts=facts)


def told(found):
    return [(one.alert, one.subject) for one in found]


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ("healthy", "healthy", []),
        ("suspect", "healthy", []),
        ("down", "healthy", [("line_down", "a")]),
        ("probing", "suspect", [("line_down", "a")]),
        ("down", "down", [("line_down", "a"), ("line_down", "b"), ("all_lines_down", "")]),
    ],
)
def test_lines__seen_by_two_workers__the_worse_counts(first, second, expected):
    one = sheet(line("a", first, "no connection"), line("b"))
    other = sheet(line("a"), line("b", second), pid=2)

    assert told(troubles.of_lines([one, other], {})) == expected
    assert told(troubles.of_lines([other, one], {})) == expected


@pytest.mark.parametrize(("answered_at", "is_down"), [(NOW - 5, True), (NOW - 1, False), (NOW + 1, False)])
def test_lines__who_knew_it_down_has_died__is_down_until_it_answers(answered_at, is_down):
    [trouble] = troubles.of_lines([sheet(line("a", "down", "no connection"), line("b"))], {})
    before = {trouble.key: troubles.Known(trouble, NOW - 50, NOW, True)}

    found = list(troubles.of_lines([sheet(line("a", answered_at=answered_at), line("b"))], before))

    assert found == ([trouble] if is_down else [])


def test_lines__no_longer_configured__is_not_told_of():
    [trouble] = troubles.of_lines([sheet(line("a", "down"), line("b"))], {})
    before = {trouble.key: troubles.Known(trouble, NOW - 50, NOW, True)}

    assert list(troubles.of_lines([sheet(line("b"))], before)) == []


def test_lines__offline__no_trouble():
    assert told(troubles.of_lines([sheet()], {})) == []


@pytest.mark.parametrize(
    ("seen", "is_low"),
    [
        ([budget(9)], True),
        ([budget(10)], False),
        ([budget(9, age_s=51)], False),
        ([budget(9, age_s=5), budget(80)], False),
        ([budget(80, age_s=5), budget(9)], True),
        ([budget(None)], False),
        ([budget(0, None)], False),
    ],
)
def test_budgets__as_told_last__low_below_the_mark(seen, is_low):
    sheets = [sheet(line("a", api=one), pid=pid) for pid, one in enumerate(seen)]

    found = list(troubles.of_budgets(sheets, 10, NOW))

    assert told(found) == ([("rate_budget_low", "a api")] if is_low else [])


@pytest.mark.parametrize(("free", "is_full"), [(11, False), (10, True), (0, True)])
def test_disk__at_the_mark__is_trouble(free, is_full):
    found = told(troubles.of_disk(Disk(size_bytes=100, free_bytes=free), 90))

    assert found == ([("disk_above_mark", "")] if is_full else [])


def test_workers__held_up_lately_or_now__is_trouble():
    assert told(troubles.of_workers([], 2, NOW)) == []
    assert told(troubles.of_workers([sheet(), sheet(pid=2, lag_s=1.9)], 2, NOW)) == []
    assert "worker 2 was held up for 2.5 s" in [
        one.text for one in troubles.of_workers([sheet(), sheet(pid=2, lag_s=2.5)], 2, NOW)
    ]
    assert "worker 3 was held up for 9.0 s" in [
        one.text for one in troubles.of_workers([sheet(), sheet(pid=3, beat_at=NOW - 10)], 2, NOW)
    ]


def test_content__came_wrong_within_the_hour__is_trouble(tmp_path):
    for name, age_s in (("rejected-aaa", 10), ("rejected-bbb", 4000), ("upkeep", 0)):
        (tmp_path / name).touch()
        os.utime(tmp_path / name, (NOW - age_s, NOW - age_s))

    [found] = troubles.of_content(tmp_path, NOW)

    assert found.alert == "hash_mismatch"
    assert found.text == "content of 1 blobs had the wrong hash and was thrown away: aaa"


@pytest.mark.parametrize(
    ("state", "age_s", "expected"),
    [
        (State.FAILED, 5, [("job_failed", "20261125-000000-abcdef")]),
        (State.FAILED, 90_000, []),
        (State.DONE, 5, []),
    ],
)
def test_jobs__failed_within_the_day__is_trouble(state, age_s, expected):
    wish = Wish(RepoRef("models", "org", "name"))
    job = Job("20261125-000000-abcdef", wish, state, NOW - age_s, NOW - age_s, reason="no such repo")

    found = list(troubles.of_jobs([job], NOW))

    assert told(found) == expected
    assert all("models/org/name at main: no such repo" in one.text for one in found)


def test_nodes__one_fell_silent__is_trouble():
    nodes: list[dict[str, Any]] = [
        {"id": "a", "state": "online"},
        {"id": "b", "state": "lost", "heard_at": NOW},
    ]

    assert told(troubles.of_nodes(nodes)) == [("node_lost", "b")]


@pytest.mark.parametrize(("why", "expected"), [("", []), ("Redis is away", [("out_of_group", "")])])
def test_group__this_node_is_not_in_it__told(why, expected):
    assert told(troubles.of_group(why)) == expected
