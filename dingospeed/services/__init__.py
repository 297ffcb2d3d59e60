"""The one place where parts are connected: settings in, a working mirror out.

What differs between nodes is decided here and nowhere else: an offline node is one
without lines, a node of its own one without peers. Each module builds one part, of the
ground and of parts that were built before; `connect` says in which order.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from dingospeed.config import Settings
from dingospeed.download.filling import Fillings
from dingospeed.services.admission import Admission, admission_of
from dingospeed.services.downloads import readers_of
from dingospeed.services.ground import Ground, ground_of
from dingospeed.services.group import Group
from dingospeed.services.knowledge import Knowledge, knowledge_of
from dingospeed.services.lending import Lent, lent_of
from dingospeed.services.mirror import Mirror, mirror_of
from dingospeed.services.reading import reading_of
from dingospeed.services.upkeep import Upkeep, upkeep_of
from dingospeed.services.upstream import Upstream, upstream_of
from dingospeed.upstream.lines import Lines


@dataclass(frozen=True, slots=True)
class Services:
    """The mirror of one worker process, part by part: what the web floor asks."""

    ground: Ground
    upstream: Upstream
    group: Group | None
    knowledge: Knowledge
    mirror: Mirror
    lent: Lent | None
    upkeep: Upkeep
    admission: Admission

    def start(self, is_wanted: Callable[[], bool]) -> None:
        """Begin what goes on by itself, after the fork, for as long as the worker *is_wanted*."""
        self.ground.timetable.start()
        self.upkeep.watch.pulse.start(is_wanted)
        if self.group is not None:
            self.group.start()

    def stop(self) -> None:
        """The worker ends: the others are to know."""
        if self.group is not None:
            self.group.stop()


def connect(settings: Settings) -> Services:
    """Build the mirror of one worker process. Raises StoreError when the cache can not be used."""
    ground = ground_of(settings)
    upstream = upstream_of(ground)
    readers = readers_of(ground)
    group = _group_of(ground, upstream.lines, readers.fillings)
    knowledge = knowledge_of(ground, upstream.lines, group)
    reading = reading_of(ground, upstream.chain, readers, group, knowledge)
    return Services(
        ground=ground,
        upstream=upstream,
        group=group,
        knowledge=knowledge,
        mirror=mirror_of(ground, upstream.lines, knowledge, reading.for_clients),
        lent=lent_of(ground, upstream.chain, readers.for_peers, group, knowledge),
        upkeep=upkeep_of(ground, upstream.lines, group, knowledge, reading),
        admission=admission_of(ground),
    )


def _group_of(ground: Ground, lines: Lines, fillings: Fillings) -> Group | None:
    """None when there is no cluster.redis_url: then nothing of Redis is even imported."""
    if not ground.settings.cluster.is_on:
        return None
    from dingospeed.services.joining import join

    return join(ground, lines, fillings)
