"""Who does what of a job of the group, and how the job as a whole is doing. Pure.

Every node decides from the same words in Redis, so each knows its own share without being told.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from dingospeed.cluster import choice
from dingospeed.cluster.choice import Peer
from dingospeed.upkeep.jobs import OVER, RUNNABLE, Act, Job, Progress, Share, State

ALL = "all"
ELSEWHERE = "another node does it"
_NOTHING = Progress()


@dataclass(frozen=True, slots=True)
class Word:
    """What a node last said of its share; *turn* is what it had heard by then."""

    state: State
    reason: str = ""
    progress: Progress = _NOTHING
    turn: int = 0
    changed_at: float = 0.0


@dataclass(frozen=True, slots=True)
class GroupJob:
    """A *job* of the group as Redis has it: its last *order* and its *outcome*, None before its end."""

    job: Job
    order: str
    turn: int
    outcome: State | None
    words: Mapping[str, Word]

    @property
    def is_over(self) -> bool:
        return self.order == "cancel" or self.outcome is not None


def chosen(group_job: GroupJob, alive: Iterable[Peer]) -> list[str]:
    """The ids of the nodes that are to have a share.

    Of a number of nodes first those that are done, then the furthest, then by rendezvous: so the
    place of a node that is lost goes to another one, and who took over keeps it. So does the place of
    one that failed, as long as there are others; when it is told to run again all have another try.
    """
    nodes, peers = group_job.job.nodes, list(alive)
    if nodes == ALL:
        return sorted(peer.id for peer in peers)
    if not nodes.isdecimal():
        return sorted(set(nodes.split(",")))

    def rank(peer: Peer) -> tuple[bool, bool, int, float]:
        word = group_job.words.get(peer.id, Word(State.QUEUED))
        has_failed = word.state is State.FAILED and word.turn == group_job.turn
        score = choice.score(group_job.job.id, peer.id, peer.weight)
        return not has_failed, word.state is State.DONE, word.progress.bytes_held, score

    return sorted(peer.id for peer in sorted(peers, key=rank, reverse=True)[: int(nodes)])


def due(group_job: GroupJob, *, is_mine: bool, share: Job | None, heard: int) -> Act | None:
    """What is to happen to this node's *share*, whose last turn heard of was *heard*.

    BEGIN when there is none yet and there is to be one.
    """
    if group_job.is_over:
        return Act.CANCEL if share is not None and not share.is_over else None
    if not is_mine:
        return Act.PAUSE if share is not None and share.state in RUNNABLE else None
    if group_job.order == "pause":
        return Act.PAUSE if share is not None and share.state in RUNNABLE else None
    if share is None:
        return Act.BEGIN
    if share.state is State.PAUSED or (share.state is State.FAILED and heard < group_job.turn):
        return Act.RESUME
    return None


def outcome(group_job: GroupJob, mine: Sequence[str]) -> State | None:
    """How the job has ended, when all of *mine* are through with their shares; else None."""
    words = [group_job.words.get(id) for id in mine]
    if group_job.order != "run" or not words or _missing(group_job, len(words)):
        return None
    if not all(word is not None and _is_through(word, group_job.turn) for word in words):
        return None
    has_failed = any(word is not None and word.state is State.FAILED for word in words)
    return State.FAILED if has_failed else State.DONE


def seen(group_job: GroupJob, alive: Sequence[Peer]) -> Job:
    """The job as a whole: sums over those who have a share, and each of the shares."""
    mine, here = chosen(group_job, alive), {peer.id for peer in alive}
    shares = []
    for id in sorted({*mine, *group_job.words}):
        word, is_lost = group_job.words.get(id, Word(State.QUEUED)), id not in here
        progress = replace(word.progress, rate=0, left_s=None) if is_lost else word.progress
        shares.append(Share(id, word.state, word.reason, progress, is_lost))
    counted = [share for share in shares if share.node in mine]
    return replace(
        group_job.job,
        state=_state(group_job, counted),
        changed_at=max([group_job.job.changed_at, *(word.changed_at for word in group_job.words.values())]),
        reason=_reason(group_job, counted),
        progress=_sum([share.progress for share in counted]),
        shares=tuple(shares),
    )


def _is_through(word: Word, turn: int) -> bool:
    # One that failed before it heard of the last order has yet to try again.
    return word.state is State.DONE or (word.state is State.FAILED and word.turn == turn)


def _missing(group_job: GroupJob, count: int) -> int:
    """How many nodes a job lacks that asks for a number of them."""
    nodes = group_job.job.nodes
    return max(0, int(nodes) - count) if nodes.isdecimal() else 0


def _state(group_job: GroupJob, shares: Iterable[Share]) -> State:
    if group_job.order == "cancel":
        return State.CANCELLED
    if group_job.outcome is not None:
        return group_job.outcome
    if group_job.order == "pause":
        return State.PAUSED
    is_begun = any(share.state in (State.RUNNING, *OVER) for share in shares)
    return State.RUNNING if is_begun else State.QUEUED


def _reason(group_job: GroupJob, shares: Sequence[Share]) -> str:
    if group_job.order == "cancel":
        return ""
    said = [f"{share.node}: {share.reason}" for share in shares if share.reason and not share.is_lost]
    if group_job.outcome is None:
        waiting = (share.node for share in shares if share.is_lost and share.state is not State.DONE)
        said += [f"{node} is lost, its share waits" for node in waiting]
        if missing := _missing(group_job, len(shares)):
            said.append(f"{missing} more nodes are waited for")
    return "; ".join(said)


def _sum(parts: Sequence[Progress]) -> Progress:
    left = [part.left_s for part in parts if part.left_s is not None]
    return Progress(
        commit=next((part.commit for part in parts if part.commit), ""),
        files=sum(part.files for part in parts),
        files_held=sum(part.files_held for part in parts),
        bytes=sum(part.bytes for part in parts),
        bytes_held=sum(part.bytes_held for part in parts),
        rate=sum(part.rate for part in parts),
        left_s=max(left) if left else None,
    )
