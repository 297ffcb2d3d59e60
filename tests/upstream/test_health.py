from __future__ import annotations

import itertools

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from dingospeed.upstream.health import TABLE, Event, Health, State


class Clock:
    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def health(clock):
    return Health(
        failures_to_down=3, probe_s=10.0, probe_max_s=60.0, clock=clock, moment_s=1.0, jitter=lambda: 0.0
    )


def fail(health, clock, times=1):
    for _ in range(times):
        clock.now += 2
        health.note(Event.FAILURE)


def test_table__every_state_and_event__leads_somewhere():
    assert set(TABLE) == set(itertools.product(State, Event))


def test_note__one_failure__makes_it_suspect(health, clock):
    fail(health, clock)

    assert health.state is State.SUSPECT
    assert health.is_up
    assert repr(health) == "<Health suspect, 1 failures>"


def test_note__failures_at_the_same_moment__count_once(health):
    for _ in range(8):
        health.note(Event.FAILURE)

    assert health.state is State.SUSPECT
    assert health.failures == 1


def test_note__failures_at_different_moments__bring_it_down(health, clock):
    fail(health, clock, times=3)

    assert health.state is State.DOWN
    assert health.next_probe_s == 10.0


def test_note__success_between_failures__starts_the_count_again(health, clock):
    fail(health, clock, times=2)
    health.note(Event.SUCCESS)
    fail(health, clock, times=2)

    assert health.state is State.SUSPECT


def test_note__probes_fail__the_pause_doubles_to_its_limit(health, clock):
    fail(health, clock, times=3)

    pauses = []
    for _ in range(5):
        health.note(Event.PROBE_STARTED)
        health.note(Event.FAILURE)
        pauses.append(health.next_probe_s)

    assert pauses == [20.0, 40.0, 60.0, 60.0, 60.0]


def test_note__down_again_after_a_recovery__the_pause_is_short_again(health, clock):
    fail(health, clock, times=3)
    for event in (Event.PROBE_STARTED, Event.FAILURE, Event.PROBE_STARTED, Event.SUCCESS):
        health.note(event)

    fail(health, clock, times=3)

    assert health.next_probe_s == 10.0


def test_note__stragglers_fail_while_down__the_probe_is_not_put_off(health, clock):
    fail(health, clock, times=3)
    fail(health, clock, times=2)

    assert health.next_probe_s == 6.0


def test_is_doubtful__no_failure_for_a_while__no_longer(health, clock):
    fail(health, clock)
    was_doubtful = health.is_doubtful

    clock.now += 10

    assert was_doubtful
    assert not health.is_doubtful
    assert health.failures == 1


def test_set_aside__time_passes__is_over_and_it_was_never_down(health, clock):
    health.set_aside(30)
    health.set_aside(5)
    clock.now += 20
    left_s = health.aside_s
    clock.now += 10

    assert left_s == 10
    assert health.aside_s == 0
    assert health.state is State.HEALTHY


class HealthMachine(RuleBasedStateMachine):
    """Whatever happens in whatever order, these stay true."""

    def __init__(self):
        super().__init__()
        self.clock = Clock()
        self.health = Health(failures_to_down=2, probe_s=4.0, probe_max_s=32.0, clock=self.clock)

    @rule(seconds=st.floats(0, 100))
    def time_passes(self, seconds):
        self.clock.now += seconds

    @rule()
    def succeeds(self):
        self.health.note(Event.SUCCESS)

        assert self.health.state is State.HEALTHY
        assert self.health.failures == 0

    @rule()
    def fails(self):
        was_healthy = self.health.state is State.HEALTHY

        self.health.note(Event.FAILURE)

        assert self.health.state is (State.SUSPECT if was_healthy else self.health.state)
        assert self.health.state not in (State.HEALTHY, State.PROBING)

    @precondition(lambda self: self.health.next_probe_s == 0.0)
    @rule()
    def probe_starts(self):
        self.health.note(Event.PROBE_STARTED)

        assert self.health.state is State.PROBING

    @invariant()
    def only_down_waits_for_a_probe(self):
        pause_s = self.health.next_probe_s

        assert (pause_s is not None) == (self.health.state is State.DOWN)
        assert pause_s is None or pause_s <= 32.0

    @invariant()
    def up_or_not(self):
        assert self.health.is_up == (self.health.state in (State.HEALTHY, State.SUSPECT))
        assert not (self.health.is_doubtful and self.health.state is not State.SUSPECT)


TestHealthMachine = HealthMachine.TestCase
TestHealthMachine.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
