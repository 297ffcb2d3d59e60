"""The plan: who goes, who stays, in which order, and no more than needed."""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as some

from dingospeed.store.usage import Disk, Kind, StoredFile
from dingospeed.upkeep.cleaning import (
    STRATEGIES,
    Free,
    Marks,
    Names,
    NoGoal,
    Rules,
    Why,
    carry_out,
    plan_cleaning,
)

NOW = 1_000_000.0
DISK = Disk(size_bytes=1000, free_bytes=100)
SUFFIXES = {Kind.BLOB: "", Kind.PARTIAL: ".partial", Kind.LEFTOVER: ".damaged-1"}


def etag(number):
    return hashlib.sha256(str(number).encode()).hexdigest()


def file(number=0, size=10, *, unused=0.0, age=0.0, kind=Kind.BLOB, links=1):
    return StoredFile(etag(number) + SUFFIXES[kind], kind, size, NOW - unused, NOW - age, links)


def going(files, rules, names=Names(), disk=DISK, in_use=()):  # noqa: B008 - a frozen value
    """The numbers of the files that go, in order, and what carry_out told."""
    numbers = {each.name: number for number, each in enumerate(files)}
    gone = []

    def take(candidate):
        if numbers[candidate.name] in in_use:
            return None
        gone.append(numbers[candidate.name])
        return candidate.disk_bytes

    return gone, carry_out(plan_cleaning(files, rules, names, disk=disk, now=NOW), take)


@pytest.mark.parametrize(
    ("strategy", "expected"), [("LRU", [2, 0, 1]), ("FIFO", [1, 2, 0]), ("LARGE_FIRST", [0, 1, 2])]
)
def test_plan__strategy__decides_the_order(strategy, expected):
    files = [
        file(0, 30, unused=2, age=1),
        file(1, 20, unused=1, age=3),
        file(2, 10, unused=3, age=2),
    ]

    gone, _ = going(files, Rules(strategy=strategy, goal=Marks(0, 0)))

    assert gone == expected


def test_plan__above_the_high_mark__goes_down_to_the_low_one_and_no_further():
    files = [file(number, 10, unused=number) for number in range(10)]

    gone, cleaned = going(files, Rules(goal=Marks(high=90, low=55)))

    assert gone == [9, 8, 7, 6, 5]
    assert (cleaned.disk_bytes, cleaned.missing_bytes) == (50, 0)


def test_plan__not_above_the_high_mark__nothing_goes():
    files = [file(number, 10) for number in range(9)]

    assert going(files, Rules(goal=Marks(high=90, low=0)))[0] == []


def test_plan__mark_is_a_share__is_of_the_disk_whoever_uses_it():
    files = [file(number, 10, unused=number) for number in range(10)]

    gone, cleaned = going(files, Rules(goal=Marks(high=0.85, low=0.7)))  # 900 of 1000 are used, down to 700.

    assert len(gone) == 10
    assert cleaned.missing_bytes == 100


@pytest.mark.parametrize(("wanted", "expected"), [(0.13, 3), (130, 3), (0.1, 0), (100, 0), (0.101, 1)])
def test_plan__so_much_shall_be_free__as_many_go(wanted, expected):
    files = [file(number, 10, unused=number) for number in range(10)]

    assert len(going(files, Rules(goal=Free(wanted)))[0]) == expected


def test_plan__in_use__the_next_goes_instead():
    files = [file(number, 10, unused=number) for number in range(5)]

    gone, cleaned = going(files, Rules(goal=Marks(30, 30)), in_use={4})

    assert gone == [3, 2]
    assert cleaned.in_use == 1


def test_plan__kept_and_linked__stay_whatever_is_missing():
    files = [file(0), file(1), file(2, links=2), file(3, kind=Kind.PARTIAL)]

    gone, cleaned = going(files, Rules(goal=Marks(0, 0)), Names(kept={etag(0), etag(3)}))

    assert gone == [1]
    assert cleaned.missing_bytes == 30


def test_plan__of_no_repo__goes_before_what_is_of_one():
    files = [file(0, unused=9), file(1, unused=1), file(2, unused=5)]

    gone, _ = going(files, Rules(goal=Marks(0, 0)), Names(named={etag(0), etag(2)}))

    assert gone == [1, 0, 2]


def test_plan__too_old__goes_although_there_is_space():
    files = [file(0, unused=100), file(1, unused=99)]

    gone, cleaned = going(files, Rules(older_than_s=100))

    assert gone == [0]
    assert cleaned.missing_bytes == 0


def test_plan__leftovers__go_when_untouched_for_long_and_first():
    files = [
        file(0, unused=500),
        file(1, unused=60, kind=Kind.PARTIAL),
        file(2, unused=60, kind=Kind.LEFTOVER),
        file(3, unused=59, kind=Kind.PARTIAL),
        file(4, unused=59, kind=Kind.LEFTOVER),
    ]

    gone, _ = going(files, Rules(leftovers_s=60, goal=Free(115)))

    assert gone[:2] in ([1, 2], [2, 1])
    assert gone[2:] == []  # They freed enough.


def test_plan__pinned_and_damaged__damaged_goes():
    files = [file(0, unused=60, kind=Kind.LEFTOVER)]

    assert going(files, Rules(leftovers_s=60), Names(kept={etag(0)}))[0] == [0]


def test_plan__only_some_asked_for__all_of_them_and_no_others():
    files = [file(0), file(1), file(2, links=2), file(3)]

    gone, _ = going(files, Rules(is_asked=True), Names(only={etag(0), etag(2), etag(3)}, kept={etag(3)}))

    assert gone == [0]


def test_plan__written__tells_what_why_and_when():
    [candidate] = plan_cleaning([file(0, 7, unused=5)], Rules(goal=Marks(0, 0)), Names(), disk=DISK, now=NOW)

    assert (candidate.name, candidate.disk_bytes, candidate.used_at) == (etag(0), 7, NOW - 5)
    assert candidate.why is Why.SPACE


def test_plan__used_a_moment_ago__is_spared_if_that_is_wished():
    files = [file(0, unused=119), file(1, unused=120), file(2, unused=1, kind=Kind.LEFTOVER)]

    assert going(files, Rules(goal=Marks(0, 0), spare_s=120))[0] == [2, 1]


def test_rules__no_such_strategy__refused():
    with pytest.raises(ValueError, match="SMALL_FIRST"):
        Rules(strategy="SMALL_FIRST")


kinds = some.sampled_from(Kind)
stored = some.builds(
    lambda size, unused, age, kind, links: (size, unused, age, kind, links),
    some.integers(0, 50),
    some.integers(0, 200),
    some.integers(0, 200),
    kinds,
    some.sampled_from([1, 1, 1, 2]),
)
marks = some.tuples(some.integers(0, 500), some.integers(0, 500)).map(
    lambda pair: Marks(max(pair), min(pair))
)
shares = some.floats(0.01, 1).map(Free)


@given(
    some.lists(stored, max_size=30),
    some.builds(
        Rules,
        strategy=some.sampled_from(sorted(STRATEGIES)),
        goal=some.one_of(some.just(NoGoal()), marks, shares),
        older_than_s=some.one_of(some.none(), some.integers(0, 200)),
        leftovers_s=some.integers(0, 200),
    ),
    some.sets(some.integers(0, 29)),
    some.sets(some.integers(0, 29)),
    some.integers(0, 1000),
)
def test_plan__anything__what_stays_stays_and_what_goes_is_needed(given_files, rules, kept, used, free):
    files = [
        file(number, size, unused=unused, age=age, kind=kind, links=links)
        for number, (size, unused, age, kind, links) in enumerate(given_files)
    ]
    names, disk = Names(kept={etag(number) for number in kept}), Disk(1000, free)
    surplus = rules.goal.surplus(sum(each.disk_bytes for each in files), disk)

    gone, cleaned = going(files, rules, names, disk, in_use=used)

    assert len(set(gone)) == len(gone)
    assert not used.intersection(gone)
    assert all(files[number].links == 1 for number in gone)
    assert all(files[number].kind is Kind.LEFTOVER for number in gone if number in kept)
    assert cleaned.disk_bytes == sum(files[number].disk_bytes for number in gone)
    # What must go goes; what goes for space only is needed, down to the last.
    musts = {number for number in range(len(files)) if _must(files[number], number, rules, kept)}
    assert musts - used <= set(gone)
    for_space = [number for number in gone if number not in musts]
    if for_space:
        assert cleaned.disk_bytes - files[for_space[-1]].disk_bytes < surplus
    # Too little only when nothing is left that might go.
    if cleaned.missing_bytes:
        might = {
            n for n, each in enumerate(files) if each.links == 1 and each.kind is not Kind.LEFTOVER
        } - kept
        assert might - used <= set(gone)
    order = [STRATEGIES[rules.strategy](files[number]) for number in for_space]
    assert order == sorted(order)


def _must(each, number, rules, kept):
    unused = NOW - each.used_at
    if each.links > 1 or (number in kept and each.kind is not Kind.LEFTOVER):
        return False
    if each.kind is not Kind.BLOB and unused >= rules.leftovers_s:
        return True
    return each.kind is not Kind.LEFTOVER and rules.older_than_s is not None and unused >= rules.older_than_s


def test_plan__others_hold_some__these_go_first_and_each_in_the_order_of_use():
    files = [file(number, unused=number) for number in range(5)]
    names = Names(elsewhere={etag(0), etag(2)})

    gone, _ = going(files, Rules(goal=Marks(0, 0)), names)

    assert gone == [2, 0, 4, 3, 1]


def test_plan__of_no_repo__goes_before_what_others_hold():
    files = [file(0, unused=9), file(1, unused=1)]

    gone, _ = going(files, Rules(goal=Marks(0, 0)), Names(named={etag(0)}, elsewhere={etag(0)}))

    assert gone == [1, 0]


@pytest.mark.parametrize("rules", [Rules(goal=Marks(0, 0)), Rules(is_asked=True), Rules(older_than_s=0)])
def test_plan__pinned_on_another_node__only_a_copy_that_is_not_the_last_goes(rules):
    files = [file(0), file(1), file(2, kind=Kind.PARTIAL)]
    names = Names(somewhere={etag(0), etag(1), etag(2)}, elsewhere={etag(1)})

    gone, _ = going(files, rules, names)

    assert sorted(gone) == [1, 2]
