import threading
import time
from pathlib import Path

import pytest

from dingospeed.errors import EntryNotFound, StoreFull
from dingospeed.flight.leases import Leases
from dingospeed.mirror.together import StillAsked, Together
from dingospeed.model import Caller

PATIENCE_S = 30
ANYBODY = Caller()


class Slow:
    """A question that is answered when the test says so."""

    def __init__(self, answer="answer"):
        self.times = 0
        self.has_begun, self.may_end = threading.Event(), threading.Event()
        self._answer = answer

    def __call__(self):
        self.times += 1
        self.has_begun.set()
        assert self.may_end.wait(PATIENCE_S)
        return self._answer


class FullDisk(Leases):
    def __init__(self):
        super().__init__(path_of=Path)

    def acquire(self, key, *, timeout_s):
        raise StoreFull("no space")


def test_ask__takes_too_long__goes_on_for_who_comes_next(together):
    slow = Slow()
    with pytest.raises(StillAsked):
        together.ask("key", slow, ANYBODY, wait_s=0)

    answers = []
    later = threading.Thread(
        target=lambda: answers.append(together.ask("key", slow, ANYBODY, wait_s=PATIENCE_S))
    )
    slow.has_begun.wait(PATIENCE_S)
    later.start()
    with pytest.raises(StillAsked):
        together.ask("key", slow, ANYBODY, join_s=0)
    slow.may_end.set()
    later.join(PATIENCE_S)

    # Whether the later one came in time for the same question is chance; both know the answer.
    assert answers == ["answer"]
    assert slow.times <= 2


def test_ask__is_being_asked__is_not_asked_again(together):
    slow = Slow()
    with pytest.raises(StillAsked):
        together.ask("key", slow, ANYBODY, wait_s=0)

    for _ in range(5):
        with pytest.raises(StillAsked):
            together.ask("key", slow, ANYBODY, wait_s=0)

    slow.may_end.set()
    assert slow.times == 1


def test_ask__caller_has_waited_long_for_other_answers__waits_no_more(together):
    slow = Slow()
    impatient = Caller(waits_until=time.monotonic())

    with pytest.raises(StillAsked):
        together.ask("key", slow, impatient, wait_s=PATIENCE_S)

    # But it was asked, and the answer will be there the next time.
    assert slow.has_begun.wait(PATIENCE_S)
    slow.may_end.set()


def test_ask__other_key__is_another_question(together):
    assert together.ask(("name", "token"), lambda: 1, ANYBODY) == 1
    assert together.ask(("name", None), lambda: 2, ANYBODY) == 2


@pytest.mark.parametrize("error", [EntryNotFound("a", commit="c" * 40), KeyError("unforeseen")])
def test_ask__fails__everybody_hears_of_it_and_the_next_asks_anew(together, error):
    def fail():
        raise error

    for _ in range(2):
        with pytest.raises(type(error)):
            together.ask("key", fail, ANYBODY)

    assert together.ask("key", lambda: "answer", ANYBODY) == "answer"


def test_alone__no_lease_can_be_made__asks_all_the_same():
    with Together(leases=FullDisk()).alone("key") as is_alone:
        assert not is_alone


def test_alone__somebody_is_at_it__says_so(together):
    with together.alone("key") as is_first, together.alone("key", timeout_s=0) as is_second:
        assert (is_first, is_second) == (True, False)
