from __future__ import annotations

import threading

import pytest

from dingospeed.upstream.locations import DEFAULT_LIFETIME_S, Location, Locations, lifetime_s

NOW = 1_767_225_600.0  # 2026-01-01T00:00:00Z


def place(name):
    return Location(f"https://cdn.test/{name}", is_own=False)


@pytest.fixture
def clock():
    class Clock:
        now = 0.0

        def __call__(self):
            return self.now

    return Clock()


@pytest.fixture
def locations(clock):
    return Locations(limit=2, clock=clock)


def known(locations, path):
    with locations.search(path, wait_s=0) as found:
        return found


@pytest.mark.parametrize(
    ("query", "expected_s"),
    [
        (f"Expires={NOW + 600:.0f}&Signature=x", 600),
        ("X-Amz-Date=20260101T000000Z&X-Amz-Expires=900", 900),
        ("X-Amz-Date=20251231T235900Z&X-Amz-Expires=900", 840),
        ("X-Goog-Date=20260101T000000Z&X-Goog-Expires=60", 60),
        ("se=2026-01-01T00%3A10%3A00Z&sig=x", 600),
        ("Expires=1", 1 - NOW),
        ("Expires=99999999999", 86_400),
        ("Expires=soon", DEFAULT_LIFETIME_S),
        ("X-Amz-Expires=900", DEFAULT_LIFETIME_S),
        ("", DEFAULT_LIFETIME_S),
    ],
)
def test_lifetime__signed_in_the_ways_of_the_cdns__is_read(query, expected_s):
    assert lifetime_s(f"https://cdn.test/f?{query}", NOW) == expected_s


@pytest.mark.parametrize(("lifetime", "kept_s"), [(300, 270), (20, 10), (60, 30)])
def test_keep__lifetime__is_kept_less_a_margin(locations, clock, lifetime, kept_s):
    locations.keep("/f", place("f"), lifetime_s=lifetime)

    clock.now = kept_s - 0.1
    before = known(locations, "/f")
    clock.now = kept_s

    assert before == place("f")
    assert known(locations, "/f") is None


def test_keep__ran_out_already__is_not_kept(locations):
    locations.keep("/f", place("f"), lifetime_s=-5)

    assert known(locations, "/f") is None


def test_keep__more_than_fit__drops_the_one_that_ends_first(locations):
    for name, lifetime in (("a", 100), ("b", 300), ("c", 200)):
        locations.keep(name, place(name), lifetime_s=lifetime)

    assert [known(locations, name) for name in "abc"] == [None, place("b"), place("c")]


def test_forget__another_took_its_place__leaves_that(locations):
    locations.keep("/f", place("new"), lifetime_s=100)

    locations.forget("/f", place("old"))
    kept = known(locations, "/f")
    locations.forget("/f", place("new"))

    assert kept == place("new")
    assert known(locations, "/f") is None


def test_search__another_searches__waits_for_what_it_finds(locations):
    found = []

    def second():
        with locations.search("/f", wait_s=60) as location:
            found.append(location)

    with locations.search("/f", wait_s=10) as mine:
        thread = threading.Thread(target=second)
        thread.start()
        locations.keep("/f", place("f"), lifetime_s=100)
    thread.join(10)

    assert mine is None
    assert not thread.is_alive()
    assert found == [place("f")]


def test_search__another_found_nothing__has_to_search_itself(locations):
    with pytest.raises(OSError), locations.search("/f", wait_s=0):
        raise OSError

    assert known(locations, "/f") is None
    assert locations.search("/f", wait_s=0) is not None


def test_search__another_takes_too_long__goes_on(locations):
    with locations.search("/f", wait_s=0), locations.search("/f", wait_s=0.01) as second:
        assert second is None
