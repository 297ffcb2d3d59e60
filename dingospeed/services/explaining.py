"""What explains a request: of the same parts that would answer it."""

from __future__ import annotations

from dingospeed.config import Settings
from dingospeed.mirror.explain import Explain
from dingospeed.services import connect


def explain_of(settings: Settings) -> Explain:
    """Raises StoreError when the cache can not be used."""
    parts = connect(settings)
    return Explain(
        layout=parts.ground.layout,
        rules=parts.knowledge.rules,
        access=parts.knowledge.access,
        blobs=parts.ground.blobs,
        ttl_s=settings.metadata.ttl_s,
        is_offline=parts.upstream.lines.is_offline,
    )
