"""Who does what of a group's job, decided from what is known of it."""

from dataclasses import replace

import pytest

from dingospeed.cluster.choice import Peer
from dingospeed.model import RepoRef
from dingospeed.upkeep.jobs import Act, Progress, State, Wish, new_job
from dingospeed.upkeep.shares import GroupJob, Word, chosen, due, outcome, seen

NODES = [Peer(f"n{index}") for index in range(5)]


def group_job(nodes, *, order="run", turn=1, ended=None, **words):
    return GroupJob(new_job(Wish(RepoRef.parse("models", "org/m")), nodes=nodes), order, turn, ended, words)


def word(state, held=0, *, turn=1, rate=0):
    progress = Progress(files=1, bytes=100, bytes_held=held, rate=rate)
    return Word(State(state), progress=progress, turn=turn)


def without(*ids):
    return [peer for peer in NODES if peer.id not in ids]


def test_chosen__all__who_is_alive():
    assert chosen(group_job("all"), without("n3")) == ["n0", "n1", "n2", "n4"]


def test_chosen__names__they_alone_even_when_lost():
    assert chosen(group_job("n3,n1,n1"), without("n3")) == ["n1", "n3"]


def test_chosen__a_number_and_one_is_lost__the_others_stay_and_one_joins_them():
    job = group_job("2")
    first, second = chosen(job, NODES)

    after = chosen(job, without(first))

    assert second in after
    assert len(after) == 2
    assert first not in after


def test_chosen__a_number_and_the_lost_one_returns__who_took_over_keeps_its_place():
    job = group_job("1")
    (lost,) = chosen(job, NODES)
    (heir,) = chosen(job, without(lost))
    words = {lost: word("running", 10), heir: word("running", 20)}

    assert chosen(replace(job, words=words), NODES) == [heir]


def test_chosen__a_number_and_one_fails__another_takes_its_place_until_all_are_told_to_run_again():
    job = group_job("1")
    (failing,) = chosen(job, NODES)

    after = replace(job, words={failing: word("failed", 90)})

    (heir,) = chosen(after, NODES)
    assert heir != failing
    assert outcome(replace(after, words={**after.words, heir: word("done")}), [heir]) is State.DONE
    # It had come further than anybody.
    assert chosen(replace(after, turn=2), NODES) == [failing]


def test_chosen__a_number_and_all_fail__the_job_does():
    job = group_job("2", **{peer.id: word("failed") for peer in NODES})

    mine = chosen(job, NODES)

    assert len(mine) == 2
    assert outcome(job, mine) is State.FAILED


def test_chosen__a_number_and_one_is_done__it_stays():
    job = group_job("1")
    done = next(peer.id for peer in NODES if peer.id not in chosen(job, NODES))

    assert chosen(replace(job, words={done: word("done", 0)}), NODES) == [done]


@pytest.mark.parametrize(
    ("order", "is_mine", "state", "heard", "act"),
    [
        ("run", True, None, 0, Act.BEGIN),
        ("run", False, None, 0, None),
        ("run", True, "running", 1, None),
        ("run", False, "running", 1, Act.PAUSE),
        ("run", True, "paused", 1, Act.RESUME),
        ("run", True, "failed", 2, None),
        ("run", True, "failed", 1, Act.RESUME),
        ("run", True, "done", 1, None),
        ("pause", True, None, 0, None),
        ("pause", True, "running", 1, Act.PAUSE),
        ("pause", True, "paused", 1, None),
        ("cancel", True, "paused", 1, Act.CANCEL),
        ("cancel", True, None, 0, None),
        ("cancel", True, "done", 1, None),
    ],
)
def test_due__by_order_and_state(order, is_mine, state, heard, act):
    job = group_job("all", order=order, turn=2)
    share = replace(job.job, state=State(state)) if state else None

    assert due(job, is_mine=is_mine, share=share, heard=heard) is act


def test_due__the_job_is_done_without_this_node__its_share_ends():
    job = group_job("2", ended=State.DONE)

    assert due(job, is_mine=False, share=replace(job.job, state=State.PAUSED), heard=1) is Act.CANCEL


@pytest.mark.parametrize(
    ("words", "ended"),
    [
        ({"n0": word("done")}, None),
        ({"n0": word("done"), "n1": word("running")}, None),
        ({"n0": word("done"), "n1": word("done")}, State.DONE),
        ({"n0": word("done"), "n1": word("failed")}, State.FAILED),
        # It is to try again, and has not heard of that yet.
        ({"n0": word("done"), "n1": word("failed", turn=0)}, None),
    ],
)
def test_outcome__of_two_nodes(words, ended):
    assert outcome(group_job("n0,n1", **words), ["n0", "n1"]) is ended


def test_outcome__fewer_nodes_alive_than_asked_for__waits():
    assert outcome(group_job("2", n0=word("done")), ["n0"]) is None


def test_seen__sums_over_the_nodes_and_no_rate_of_a_lost_one():
    job = group_job("n0,n1", n0=word("running", 30, rate=5), n1=word("running", 40, rate=7))

    told = seen(job, without("n1"))

    assert told.state is State.RUNNING
    assert (told.progress.bytes, told.progress.bytes_held, told.progress.rate) == (200, 70, 5)
    assert [(share.node, share.is_lost) for share in told.shares] == [("n0", False), ("n1", True)]
    assert told.reason == "n1 is lost, its share waits"
