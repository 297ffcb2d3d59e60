"""A cleaning asks its group: what others hold goes first, and of what anybody keeps the last copy stays.

While Redis is away, what was kept anywhere when it answered last stays, and nothing is known of copies.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Container, Iterable, Iterator
from itertools import islice
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, Field

from dingospeed.config import Settings
from dingospeed.errors import LinkDown
from dingospeed.model import Blob, is_etag
from dingospeed.store.documents import Documents
from dingospeed.store.etags import Etags
from dingospeed.store.keys import own_mark
from dingospeed.store.layout import Layout
from dingospeed.store.usage import Kind, etag_of, kind_of
from dingospeed.upkeep.cleaning import Candidate

if TYPE_CHECKING:
    from dingospeed.cluster.copies import Copies
    from dingospeed.cluster.registry import Registry

log = logging.getLogger(__name__)

# Asked, and told, at once.
_BATCH = 500
# So many looks at the cache may fail before what is kept here is forgotten.
_MISSED = 3


class Membership(BaseModel):
    """How a process beside the mirror speaks to the group for its node; it is no member itself."""

    redis_url: str = Field(repr=False)
    redis_s: float
    group: str
    id: str
    heartbeat_s: float
    # How long what this node keeps is kept by the group, when it does not say so again.
    pins_s: float


def membership_of(settings: Settings) -> Membership | None:
    """None for a node of its own."""
    cluster = settings.cluster
    if cluster.redis_url is None:
        return None
    return Membership(
        redis_url=cluster.redis_url.get_secret_value(),
        redis_s=cluster.redis_s,
        group=cluster.group,
        id=cluster.id,
        heartbeat_s=cluster.heartbeat_s,
        pins_s=max(cluster.holdings_s, _MISSED * settings.cleaning.interval_s),
    )


class LastCopies:
    """What one cleaning knows of the group, and what it tells it."""

    def __init__(self, membership: Membership, *, registry: Registry, copies: Copies, layout: Layout) -> None:
        # Kept by any node, this one too, as far as `ask` has learnt.
        self.kept: Collection[str] = ()
        self._id = membership.id
        self._pins_s = membership.pins_s
        self._registry = registry
        self._copies = copies
        self._layout = layout
        self._documents = Documents(memory_bytes=0)
        self._gone: list[str] = []

    def ask(self, own: Collection[Blob]) -> None:
        """Tell that this node keeps its *own*, and nothing else; learn what all keep."""
        epoch, known = self._known_last()
        try:
            self._registry.beat()
            self._copies.repin(own, lifetime_s=self._pins_s)
            kept = set(self._copies.pinned())
        except LinkDown as error:
            log.warning("the group is not asked, what it kept last stays: %s", error)
            self.kept = known
            return
        now = self._registry.snapshot.epoch
        # Others may not have told yet, after Redis was emptied.
        self.kept = kept if epoch == now else known | kept
        self._documents.write(self._layout.group_pins, {"epoch": now, "etags": sorted(self.kept)})

    def elsewhere(self, etags: Iterable[str]) -> Container[str]:
        """Those of *etags* that other nodes hold all of; none when they can not be asked."""
        try:
            return Etags(self._held_by_others(etags))
        except LinkDown as error:
            log.warning("it is not known what others hold: %s", error)
            return ()

    def take(self, candidate: Candidate, take_away: Callable[[Candidate], int | None]) -> int | None:
        """Have *take_away* take *candidate*, unless it is a last copy that has to stay.

        Looked at once more: since the plan was made another node may have taken its copy away.
        """
        etag, kind = etag_of(candidate.name), kind_of(candidate.name)
        is_kept = kind is Kind.BLOB and etag in self.kept
        if is_kept and not self._copies.may_remove(etag):
            return None
        freed = take_away(candidate)
        if freed is None and is_kept:
            self._say(self._copies.hold, [etag])  # Nobody was to count on it any more.
        elif freed is not None and kind is not Kind.LEFTOVER:
            self._gone.append(etag)
            if len(self._gone) >= _BATCH:
                self.tell()
        return freed

    def tell(self) -> None:
        """Tell what is gone, as far as that is not told yet."""
        gone, self._gone = self._gone, []
        self._say(self._copies.withdraw, [etag for etag in gone if not self._is_here(etag)])

    def _say(self, word: Callable[[list[str]], None], etags: list[str]) -> None:
        try:
            word(etags)
        except LinkDown as error:
            # Whoever asks for what is not here strikes it off; and all that is here is told again.
            log.debug("%d blobs not told of: %s", len(etags), error)

    def _is_here(self, etag: str) -> bool:
        """Again, or still as a file of another kind."""
        return self._layout.sealed(etag).exists() or self._layout.partial(etag).exists()

    def _held_by_others(self, etags: Iterable[str]) -> Iterator[str]:
        rest = iter(etags)
        while batch := list(islice(rest, _BATCH)):
            for etag, holders in zip(batch, self._copies.holders(batch), strict=True):
                if holders - {self._id}:
                    yield etag

    def _known_last(self) -> tuple[str, set[str]]:
        """The epoch of which it was, and the etags."""
        document = self._documents.read(self._layout.group_pins)
        value: Any = {} if document is None else document.value
        if not isinstance(value, dict) or not isinstance(value.get("etags"), list):
            return "", set()
        return str(value.get("epoch")), {etag for etag in value["etags"] if is_etag(str(etag))}


def last_copies_of(membership: Membership | None, layout: Layout) -> LastCopies | None:
    """None for a node of its own: then nothing of Redis is even imported."""
    if membership is None:
        return None
    from dingospeed.cluster.copies import Copies
    from dingospeed.cluster.link import Link
    from dingospeed.cluster.registry import Member, Registry

    id, group = membership.id, membership.group
    link = Link(membership.redis_url, timeout_s=membership.redis_s)
    registry = Registry(
        link=link,
        group=group,
        id=id,
        cache=own_mark(layout.key("node")),
        describe=lambda started_at: Member(id, "", started_at=started_at),
        # The node's own workers speak for it; here it is only listened.
        take_right=lambda: None,
        heartbeat_s=membership.heartbeat_s,
    )
    copies = Copies(
        link=link,
        group=group,
        id=id,
        alive=lambda: {member.id for member in registry.snapshot.members},
        now_s=lambda: registry.now_s,
        hot_reads=1,
    )
    return LastCopies(membership, registry=registry, copies=copies, layout=layout)
