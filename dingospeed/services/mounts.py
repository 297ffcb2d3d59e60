"""Mounts, as the settings have them."""

from __future__ import annotations

from dingospeed.config import Settings
from dingospeed.flight.leases import Leases
from dingospeed.mirror.metadata import Metadata
from dingospeed.mirror.rules import RepoRules
from dingospeed.mirror.trees import Trees
from dingospeed.model import RepoRef
from dingospeed.store.documents import Documents
from dingospeed.store.layout import Layout
from dingospeed.upkeep.mountbook import MountBook, Wanted
from dingospeed.upkeep.mounts import Mounts
from dingospeed.upkeep.uses import Uses
from dingospeed.upkeep.warmup import Warmups


def mounts_of(
    settings: Settings,
    *,
    metadata: Metadata,
    trees: Trees,
    rules: RepoRules,
    warmups: Warmups,
    uses: Uses,
    documents: Documents,
    layout: Layout,
    leases: Leases,
) -> Mounts:
    return Mounts(
        public=settings.cache.public,
        named=[
            Wanted(RepoRef.parse(one.type, one.repo), one.revision, "settings", one.restricted)
            for one in settings.mounts.repos
        ],
        hot=settings.mounts.hot,
        metadata=metadata,
        trees=trees,
        rules=rules,
        warmups=warmups,
        uses=uses,
        book=MountBook(documents=documents, layout=layout, leases=leases),
        layout=layout,
    )
