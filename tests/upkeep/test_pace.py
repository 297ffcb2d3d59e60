"""How fast warm-up may be: the decisions, and that places and bytes keep to them."""

import threading

import pytest

from dingospeed.upkeep.pace import Pace, RateLimit, budget_wait_s, rate_at
from tests.harness import wait_until

DAY = RateLimit(8 * 60, 20 * 60, 1000)
NIGHT = RateLimit(22 * 60, 6 * 60, None)


@pytest.mark.parametrize(
    ("minute", "rate"),
    [
        (8 * 60 - 1, 50),
        (8 * 60, 1000),
        (20 * 60 - 1, 1000),
        (20 * 60, 50),
        (22 * 60, None),
        (0, None),
        (6 * 60 - 1, None),
        (6 * 60, 50),
    ],
)
def test_rate__by_the_time_of_day__the_limit_that_holds_or_the_usual_one(minute, rate):
    assert rate_at(minute, [DAY, NIGHT], 50) == rate


def test_rate__two_limits_hold__the_first_counts():
    assert rate_at(9 * 60, [RateLimit(9 * 60, 10 * 60, 7), DAY], None) == 7


def line(state="healthy", **budget):
    told = {"remaining": None, "quota": None, "reset_s": None, "seen_at": 1000.0, **budget}
    return {"state": state, "budgets": {"api": told}}


@pytest.mark.parametrize(
    ("lines", "wait_s"),
    [
        ([], 0),
        ([line()], 0),
        ([line(remaining=25, quota=100, reset_s=60)], 0),
        ([line(remaining=24, quota=100, reset_s=60)], 50),
        ([line(remaining=0, quota=100)], 50),
        # That window is over.
        ([line(remaining=0, quota=100, reset_s=5)], 0),
        # Not asked at the moment.
        ([line("down", remaining=0, quota=100, reset_s=60), line(remaining=90, quota=100)], 0),
        # Enough elsewhere does not help: this is the one that is asked.
        ([line(remaining=0, quota=100, reset_s=60), line(remaining=90, quota=100)], 50),
    ],
)
def test_budget__below_the_share_of_clients__is_left_alone_until_it_is_renewed(lines, wait_s):
    assert budget_wait_s(lines, 0.25, now=1010.0) == wait_s


class Clients:
    def __init__(self):
        self.are_waiting = False

    def is_fresh(self):
        return self.are_waiting


class Places:
    """So many threads that want a place, and keep it until they are let go."""

    def __init__(self, pace, count):
        self.taken, self.left = [], []
        self.gate = threading.Event()
        self.is_wanted = True
        self._pace = pace
        for _ in range(count):
            threading.Thread(target=self._one, daemon=True).start()

    def _one(self):
        with self._pace.place(lambda: self.is_wanted) as is_taken:
            (self.taken if is_taken else self.left).append(1)
            self.gate.wait(30)


def pace(clients, *, rate=None, wait_s=0.0):
    return Pace(demand=clients, parallel=3, rate=lambda: rate, wait_s=lambda: wait_s)


def test_places__clients_wait__only_one_is_taken_until_they_are_served():
    clients = Clients()
    clients.are_waiting = True
    places = Places(pace(clients), 5)
    wait_until(lambda: len(places.taken) == 1)

    places.is_wanted = False
    wait_until(lambda: len(places.left) == 4)
    assert len(places.taken) == 1
    places.gate.set()


def test_places__nobody_waits__as_many_as_there_are():
    places = Places(pace(Clients()), 5)
    wait_until(lambda: len(places.taken) == 3)

    places.is_wanted = False
    wait_until(lambda: len(places.left) == 2)
    assert len(places.taken) == 3
    places.gate.set()


def test_places__budget_is_for_clients__none():
    slow = pace(Clients(), wait_s=60.0)
    places = Places(slow, 2)
    assert "rate limit" in slow.why_waiting()

    places.is_wanted = False
    wait_until(lambda: len(places.left) == 2)
    assert places.taken == []


class Clock:
    """Time that passes by sleeping only."""

    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now

    def sleep(self, seconds):
        self.now += seconds


@pytest.fixture
def clock():
    return Clock()


def slowed(clients, clock, rate):
    return Pace(
        demand=clients, parallel=3, rate=lambda: rate, wait_s=lambda: 0.0, clock=clock, sleep=clock.sleep
    )


def test_bytes__with_a_limit__take_as_long_as_it_says(clock):
    pace = slowed(Clients(), clock, 1000)

    for _ in range(100):
        pace.slow_down(500)

    # But for what could be sent at once at the beginning.
    assert clock.now - 100 == pytest.approx(50, abs=0.3)


def test_bytes__after_a_pause__are_not_made_up_for(clock):
    pace = slowed(Clients(), clock, 1000)
    pace.slow_down(500)
    clock.now += 3600
    began = clock.now

    for _ in range(10):
        pace.slow_down(1000)

    assert clock.now - began == pytest.approx(10, abs=0.3)


@pytest.mark.parametrize(("rate", "are_waiting"), [(None, False), (1000, True)])
def test_bytes__without_a_limit_or_while_clients_wait__take_no_time(clock, rate, are_waiting):
    clients = Clients()
    clients.are_waiting = are_waiting
    pace = slowed(clients, clock, rate)

    for _ in range(100):
        pace.slow_down(1_000_000)

    assert clock.now == 100
