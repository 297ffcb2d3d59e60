"""Who has what, through a real Redis."""

import pytest

from dingospeed.cluster.holdings import WHOLE, Holding, Holdings
from dingospeed.cluster.link import Link
from dingospeed.model import Span
from tests.harness import wait_until

ETAG, OTHER = "a" * 64, "b" * 64


@pytest.fixture
def make(redis):
    made = []

    def make(id):
        link = Link(redis.url, timeout_s=0.3)
        holdings = Holdings(link=link, group="g", id=id, lifetime_s=600)
        holdings.start()
        made.append((holdings, link))
        return holdings

    yield make
    for holdings, link in made:
        holdings.stop()
        link.close()


def test_holding__cells__has_what_they_cover():
    held = Holding(cell_bytes=10, cells=0b0110)

    assert held.has(Span(10, 30))
    assert held.has(Span(15, 16))
    assert not held.has(Span(9, 11))
    assert not held.has(Span(29, 31))
    assert WHOLE.has(Span(0, 10**12))


@pytest.mark.parametrize("held", [WHOLE, Holding(1 << 25, 0b101), Holding(1, 1 << 4000)])
def test_holding__written_and_read__the_same(held):
    assert Holding.parse(held.text) == held


@pytest.mark.parametrize("text", ["", ":", "x:1", "10:0", "0:1", "-1:1", "1"])
def test_holding__nonsense__is_none(text):
    assert Holding.parse(text) is None


def test_noted__by_one_node__known_to_others_and_not_told_to_itself(make):
    a, b = make("a"), make("b")

    a.note(ETAG, Holding(10, 1))

    wait_until(lambda: b.of(ETAG) == {"a": Holding(10, 1)})
    assert a.of(ETAG) == {}
    a.note(ETAG, WHOLE)
    wait_until(lambda: b.of(ETAG) == {"a": WHOLE})
    a.note(ETAG, None)
    wait_until(lambda: b.of(ETAG) == {})


def test_denied__by_who_asked_in_vain__gone_at_once_here_and_soon_for_all(make):
    a, b, c = make("a"), make("b"), make("c")
    a.note(ETAG, WHOLE)
    wait_until(lambda: b.of(ETAG) and c.of(ETAG))

    b.deny(ETAG, "a")

    assert b.of(ETAG) == {}
    wait_until(lambda: c.of(ETAG) == {})


def test_of__first_time__is_waited_for(make, redis):
    redis.client.hset(f"g:blob:{ETAG}", "z", "*")

    assert make("a").of(ETAG) == {"z": WHOLE}


def test_of__again_a_moment_later__redis_is_not_asked(make, redis):
    a = make("a")
    a.of(ETAG)
    before = redis.commands().get("hgetall")

    for _ in range(100):
        a.of(ETAG)

    assert redis.commands().get("hgetall") <= before + 1


def test_redis__away__nothing_is_known_and_what_was_noted_is_told_when_it_is_back(make, redis):
    a, b = make("a"), make("b")
    redis.pause()
    a.note(ETAG, WHOLE)

    assert b.of(ETAG) == {}

    redis.wake()
    wait_until(lambda: b.of(ETAG) == {"a": WHOLE})


def test_noted__very_many__written_in_batches_within_bounds(make, redis):
    a = make("a")
    most = 0
    for number in range(20_000):
        a.note(f"{number:064x}", WHOLE)
        most = max(most, a.untold)
        if a.untold > 2000:
            wait_until(lambda: a.untold < 1000)
    wait_until(lambda: a.untold == 0)

    assert most <= 2001
    assert redis.client.dbsize() == 20_000
    assert not a.has_forgotten()


def test_noted__more_than_is_kept_while_redis_is_away__to_be_told_again(make, redis):
    a = make("a")
    redis.kill()

    for number in range(30_000):
        a.note(f"{number:064x}", WHOLE)

    assert a.has_forgotten()
    assert not a.has_forgotten()
    assert a.untold < 20_001
