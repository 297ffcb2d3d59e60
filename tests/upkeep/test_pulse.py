"""The pulse: beats, notes how late it is, and outlives what fails."""

import time

import pytest

from dingospeed.upkeep.pulse import Pulse
from tests.harness import wait_until


@pytest.fixture
def beating():
    made = []

    def make(**options):
        pulse = Pulse(beat_s=0.01, **options)
        made.append(pulse)
        return pulse

    yield make
    for pulse in made:
        pulse.stop()


def test_beat__one_fails__the_next_comes(beating):
    beats = []

    def beat():
        beats.append(1)
        raise RuntimeError

    beating(on_beat=beat).start()

    wait_until(lambda: len(beats) > 2)


def test_run__no_longer_wanted__ends_by_itself_and_tells(beating):
    done = []
    pulse = beating(on_beat=lambda: None, at_end=lambda: done.append("end"))

    pulse.start(lambda: False)

    wait_until(pulse.stopped.is_set)
    wait_until(lambda: done == ["end"])


def test_lag__held_up_once__is_noted_and_remembered(beating):
    seen: list[float] = []
    lags: list[float] = []

    def beat():
        seen.append(pulse.lag.worst_s)

    pulse = beating(on_beat=beat, observe=lags.append)
    waited = pulse.stopped.wait

    def late(timeout_s):
        if not seen:
            time.sleep(0.3)
        return waited(timeout_s)

    pulse.stopped.wait = late

    pulse.start()

    wait_until(lambda: len(seen) > 3)
    assert max(lags) >= 0.25
    assert pulse.lag.worst_s == max(lags)
