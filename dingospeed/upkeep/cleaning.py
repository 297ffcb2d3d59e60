"""What goes from the cache when it grows too large or too old, and in which order.

The plan is a pure function of what lies there. It holds a million files in little memory: each is packed into
bytes that sort in the order in which they go. Files in use are found out only when their turn comes, by
whoever acts; then the next in the order goes instead.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Container, Iterable, Iterator
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Protocol

from dingospeed.store.usage import Disk, Kind, StoredFile


class Why(IntEnum):
    """Why a file goes, in the order in which they go."""

    LEFTOVER = 0
    UNUSED = 1
    ASKED = 2
    ORPHAN = 3
    SPACE = 4

    @property
    def words(self) -> str:
        return _WORDS[self]


_WORDS = {
    Why.LEFTOVER: "left over",
    Why.UNUSED: "long unused",
    Why.ASKED: "as asked",
    Why.ORPHAN: "of no repo",
    Why.SPACE: "for space",
}
# These go whatever the space; the others until there is enough of it.
_IN_ANY_CASE = (Why.LEFTOVER, Why.UNUSED, Why.ASKED)

# What goes first has the lowest number.
STRATEGIES: dict[str, Callable[[StoredFile], int]] = {
    "LRU": lambda file: _microseconds(file.used_at),
    "FIFO": lambda file: _microseconds(file.arrived_at),
    "LARGE_FIRST": lambda file: _MOST - file.disk_bytes,
}
_MOST = (1 << 63) - 1


class Goal(Protocol):
    """How much has to be freed."""

    def surplus(self, cache_bytes: int, disk: Disk) -> int:
        """What is too much of *cache_bytes* on *disk*, 0 when nothing is."""


@dataclass(frozen=True, slots=True)
class NoGoal:
    """No space is wanted."""

    def surplus(self, cache_bytes: int, disk: Disk) -> int:
        return 0


@dataclass(frozen=True, slots=True)
class Marks:
    """Above *high* something goes, until *low* is reached.

    A float is a share of the disk, whoever uses it; an int is bytes of the cache.
    """

    high: int | float
    low: int | float

    def surplus(self, cache_bytes: int, disk: Disk) -> int:
        if _used(self.high, cache_bytes, disk) <= _bytes(self.high, disk):
            return 0
        return max(0, _used(self.low, cache_bytes, disk) - _bytes(self.low, disk))


@dataclass(frozen=True, slots=True)
class Free:
    """So much of the disk shall be free: a float is a share of it, an int is bytes."""

    wanted: int | float

    def surplus(self, cache_bytes: int, disk: Disk) -> int:
        return max(0, _bytes(self.wanted, disk) - disk.free_bytes)


@dataclass(frozen=True, slots=True)
class Rules:
    """What may go, and what must. Ages are in seconds since the last use.

    *leftovers_s* is for half-filled files as well; *is_asked* says that all goes that may. What was
    used less than *spare_s* ago stays: somebody may be about to read it whom no lock tells of.
    """

    strategy: str = "LRU"
    goal: Goal = field(default_factory=NoGoal)
    older_than_s: float | None = None
    leftovers_s: float = 0.0
    spare_s: float = 0.0
    is_asked: bool = False

    def __post_init__(self) -> None:
        if self.strategy not in STRATEGIES:
            raise ValueError(f"no strategy: {self.strategy}")


@dataclass(frozen=True, slots=True)
class Names:
    """What is known of etags: those that stay; those that any repo names; those that may go.

    None is for not looked up, and for all. Of a group: those of which a copy has to be left *somewhere*,
    and those that other nodes hold *elsewhere*.
    """

    kept: Container[str] = ()
    named: Container[str] | None = None
    only: Container[str] | None = None
    somewhere: Container[str] = ()
    elsewhere: Container[str] = ()


@dataclass(frozen=True, slots=True)
class Candidate:
    """A file that may go. *used_at* is when it was last used, in seconds since the epoch."""

    name: str
    disk_bytes: int
    used_at: float
    why: Why


class Plan:
    """Candidates in the order in which they go, and how many bytes are wanted of them at least."""

    def __init__(self, packed: list[bytes], surplus_bytes: int, cache_bytes: int) -> None:
        self.surplus_bytes = surplus_bytes
        self.cache_bytes = cache_bytes
        self._packed = packed

    def __len__(self) -> int:
        return len(self._packed)

    def __iter__(self) -> Iterator[Candidate]:
        return map(_unpacked, self._packed)


@dataclass(slots=True)
class Cleaned:
    """What went, or would go."""

    files: int = 0
    disk_bytes: int = 0
    # Candidates that stayed: somebody uses them.
    in_use: int = 0
    # What is still too much.
    missing_bytes: int = 0


def plan_cleaning(files: Iterable[StoredFile], rules: Rules, names: Names, *, disk: Disk, now: float) -> Plan:
    """Which of *files* may go by *rules*, and in which order; *now* is in seconds since the epoch.

    What *names* keeps, and what is linked elsewhere, is no candidate: the one must stay, and to
    take the other away frees nothing. What other nodes hold goes before what they do not.
    """
    order, packed, cache_bytes = STRATEGIES[rules.strategy], [], 0
    for file in files:
        cache_bytes += file.disk_bytes
        why = _why(file, rules, names, now)
        if why is not None:
            packed.append(_packed(file, why, file.etag not in names.elsewhere, order(file)))
    surplus = rules.goal.surplus(cache_bytes, disk)
    if not surplus:
        packed = [candidate for candidate in packed if candidate[0] in _IN_ANY_CASE]
    packed.sort()
    return Plan(packed, surplus, cache_bytes)


def carry_out(plan: Plan, take: Callable[[Candidate], int | None]) -> Cleaned:
    """Have *take* take one candidate after the other away, until there is enough space.

    *take* returns the bytes that came free, None for a file that stays.
    """
    cleaned = Cleaned()
    for candidate in plan:
        if candidate.why not in _IN_ANY_CASE and cleaned.disk_bytes >= plan.surplus_bytes:
            break
        freed = take(candidate)
        if freed is None:
            cleaned.in_use += 1
            continue
        cleaned.files += 1
        cleaned.disk_bytes += freed
    cleaned.missing_bytes = max(0, plan.surplus_bytes - cleaned.disk_bytes)
    return cleaned


def _why(file: StoredFile, rules: Rules, names: Names, now: float) -> Why | None:
    """None for a file that stays."""
    etag, unused_s = file.etag, now - file.used_at
    if file.links > 1 or (names.only is not None and etag not in names.only):
        return None
    if file.kind is Kind.LEFTOVER:
        # Of use to nobody, but it may be in the making, or be looked at by somebody who wonders.
        return Why.LEFTOVER if unused_s >= rules.leftovers_s else None
    if etag in names.kept or unused_s < rules.spare_s:
        return None
    if file.kind is Kind.BLOB and etag in names.somewhere and etag not in names.elsewhere:
        return None
    if rules.is_asked:
        return Why.ASKED
    if file.kind is Kind.PARTIAL and unused_s >= rules.leftovers_s:
        return Why.LEFTOVER
    if rules.older_than_s is not None and unused_s >= rules.older_than_s:
        return Why.UNUSED
    return Why.ORPHAN if names.named is not None and etag not in names.named else Why.SPACE


# Why, whether it is the group's only copy, place in the order, bytes on the disk, last use in microseconds;
# then the name. Big-endian numbers without a sign sort as bytes do.
_PACKED = struct.Struct(">B?QQQ")


def _packed(file: StoredFile, why: Why, is_only: bool, place: int) -> bytes:
    head = _PACKED.pack(why, is_only, max(0, place), file.disk_bytes, _microseconds(file.used_at))
    return head + file.name.encode("utf-8", "surrogateescape")


def _unpacked(packed: bytes) -> Candidate:
    why, _, _, disk_bytes, used_at = _PACKED.unpack_from(packed)
    name = packed[_PACKED.size :].decode("utf-8", "surrogateescape")
    return Candidate(name, disk_bytes, used_at / 1e6, Why(why))


def _microseconds(seconds: float) -> int:
    # Before 1970 there was no cache: such a clock was wrong.
    return max(0, int(seconds * 1e6))


def _used(mark: int | float, cache_bytes: int, disk: Disk) -> int:
    return disk.used_bytes if isinstance(mark, float) else cache_bytes


def _bytes(mark: int | float, disk: Disk) -> int:
    return int(mark * disk.size_bytes) if isinstance(mark, float) else mark
