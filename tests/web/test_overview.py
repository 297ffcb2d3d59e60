"""What the front page tells, from what the workers tell."""

import time

import pytest

from dingospeed.model import RepoRef
from dingospeed.upkeep.board import Sheet
from dingospeed.upkeep.jobs import Act, Wish, new_job
from dingospeed.web.overview import lines_of_node, shown_jobs


def line(name="hub", state="healthy", error="", **budgets):
    return {"name": name, "is_hub": True, "state": state, "last_error": error, "budgets": budgets}


def budget(remaining, *, seen_at=0.0, reset_s=None, quota=500):
    return {"remaining": remaining, "reset_s": reset_s, "quota": quota, "window_s": 300, "seen_at": seen_at}


def sheet(*lines):
    return Sheet(pid=1, beat_at=0, live=0, transfers=[], ended=[], facts={"lines": list(lines)})


def test_lines__seen_differently_by_workers__are_as_the_worst_sees_them():
    own = [line("a"), line("b", "suspect")]
    sheets = [sheet(line("b"), line("a", "down", "timed out")), sheet(line("a", "probing"), line("b"))]

    first, second = lines_of_node(own, sheets)

    assert (first["name"], first["state"], first["last_error"]) == ("a", "down", "timed out")
    assert (second["name"], second["state"], second["last_error"]) == ("b", "suspect", "")


def test_lines__with_budgets_seen_by_several_workers__tell_the_latest():
    own = [line(api=budget(400, seen_at=10))]
    sheets = [
        sheet(line(api=budget(300, seen_at=20), resolvers=budget(7))),
        sheet(line(api=budget(1, seen_at=5))),
    ]

    (told,) = lines_of_node(own, sheets)

    assert {bucket: one["remaining"] for bucket, one in told["budgets"].items()} == {
        "api": 300,
        "resolvers": 7,
    }


@pytest.mark.parametrize(("passed_s", "remaining"), [(10, 3), (40, 500)])
def test_lines__whose_window_is_over__have_all_of_their_budget_again(passed_s, remaining):
    seen = budget(3, seen_at=time.time() - passed_s, reset_s=30)

    (told,) = lines_of_node([line(api=seen)], [])

    assert told["budgets"]["api"]["remaining"] == remaining


def test_lines__of_an_offline_node__are_none():
    assert lines_of_node([], [sheet()]) == []


def test_jobs__some_over__all_that_go_on_and_the_last_that_ended():
    jobs = [new_job(Wish(RepoRef("models", "org", f"m{number}"))) for number in range(12)]
    jobs = [job.after(Act.CANCEL) if number % 2 else job for number, job in enumerate(jobs)]

    shown = shown_jobs(jobs)

    assert [job.wish.repo.name for job in shown] == ["m0", "m1", "m2", "m3", "m4", "m5", "m6", "m8", "m10"]
