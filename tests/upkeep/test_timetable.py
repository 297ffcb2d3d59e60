"""Chores: by one worker at a time, in time, and none in the way of another."""

import threading

import pytest

from dingospeed.flight.leases import Leases
from dingospeed.upkeep.timetable import Timetable
from tests.harness import wait_until


@pytest.fixture
def make(tmp_path):
    made = []

    def make():
        timetable = Timetable(leases=Leases(path_of=lambda key: tmp_path / key), tick_s=0.02)
        made.append(timetable)
        return timetable

    yield make
    for timetable in made:
        timetable.stop()


def test_chore__two_workers__one_does_it_and_the_other_takes_over(make):
    done = []
    first, second = make(), make()
    first.every(3600, "chore", lambda: done.append("first"))
    second.every(3600, "chore", lambda: done.append("second"))

    first.start()
    wait_until(lambda: done == ["first"])
    second.start()
    first.stop()

    wait_until(lambda: done == ["first", "second"])


def test_chore__fails__is_done_again(make):
    calls = []

    def chore():
        calls.append(1)
        raise RuntimeError

    timetable = make()
    timetable.every(1, "chore", chore)
    timetable.start()

    wait_until(lambda: len(calls) >= 2)


def test_chore__still_running__is_not_begun_again_and_holds_up_nobody(make):
    gate, begun, others = threading.Event(), [], []

    def chore():
        begun.append(1)
        gate.wait(30)

    timetable = make()
    timetable.every(1, "long", chore)
    timetable.every(1, "short", lambda: others.append(1))
    timetable.start()

    wait_until(lambda: len(others) >= 3)
    assert begun == [1]
    gate.set()
    wait_until(lambda: len(begun) >= 2)


def test_chore__not_at_once__waits_for_its_time(make):
    done = []
    timetable = make()
    timetable.every(3600, "late", lambda: done.append("late"), at_once=False)
    timetable.every(3600, "early", lambda: done.append("early"))
    timetable.start()

    wait_until(lambda: done)
    assert done == ["early"]


def test_daily__no_time_of_day__is_refused(make):
    with pytest.raises(ValueError, match="25:00"):
        make().daily("25:00", "never", lambda: None)
