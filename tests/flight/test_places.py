"""Places: so many for each key, whoever takes them, and given back however their holder ends."""

import threading

import pytest

from dingospeed.flight.leases import Leases
from dingospeed.flight.places import Places


@pytest.fixture
def make(tmp_path):
    return lambda name="x", most=2: Places(
        leases=Leases(path_of=lambda key: tmp_path / key), name=name, most=most
    )


def test_take__all_taken__none_until_one_is_given_back(make):
    first, second = make().take("ann", wait_s=0), make().take("ann", wait_s=0)

    assert first is not None
    assert second is not None
    assert make().take("ann", wait_s=0) is None
    first.release()
    assert make().take("ann", wait_s=0) is not None


def test_take__by_another_key_or_name__is_none_of_the_others_business(make):
    held = make(most=1).take("ann", wait_s=0)

    assert held is not None
    assert make(most=1).take("bob", wait_s=0) is not None
    assert make("y", most=1).take("ann", wait_s=0) is not None


def test_take__waits__gets_the_place_that_becomes_free(make):
    held = make(most=1).take("ann", wait_s=0)
    threading.Timer(0.2, held.release).start()

    assert make(most=1).take("ann", wait_s=30) is not None
