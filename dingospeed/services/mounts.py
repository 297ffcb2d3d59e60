"""Mounts, as the settings have them."""

from __future__ import annotations

from dingospeed.model import RepoRef
from dingospeed.services.ground import Ground
from dingospeed.services.knowledge import Knowledge
from dingospeed.upkeep.mountbook import MountBook, Wanted
from dingospeed.upkeep.mounts import Mounts
from dingospeed.upkeep.snapshots import Snapshots
from dingospeed.upkeep.uses import Uses
from dingospeed.upkeep.warmup import Warmups


def mounts_of(ground: Ground, knowledge: Knowledge, warmups: Warmups, uses: Uses) -> Mounts:
    """Made, and put on the timetable."""
    settings = ground.settings
    mounts = Mounts(
        public=settings.cache.public,
        named=[
            Wanted(RepoRef.parse(one.type, one.repo), one.revision, "settings", one.restricted)
            for one in settings.mounts.repos
        ],
        hot=settings.mounts.hot,
        uses=uses,
        snapshots=Snapshots(
            metadata=knowledge.facts.metadata,
            trees=knowledge.facts.trees,
            rules=knowledge.rules,
            warmups=warmups,
            layout=ground.layout,
        ),
        book=MountBook(documents=ground.documents, layout=ground.layout, leases=ground.leases),
        layout=ground.layout,
    )
    ground.timetable.every(settings.mounts.check_s, "mounts", mounts.refresh)
    return mounts
