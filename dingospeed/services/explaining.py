"""What explains a request: of the same parts that would answer it."""

from __future__ import annotations

from dingospeed.config import Settings
from dingospeed.mirror.explain import Explain
from dingospeed.services import connect


def explain_of(settings: Settings) -> Explain:
    """Raises StoreError when the cache can not be used."""
    parts = connect(settings)
    return Explain(
        layout=parts.layout,
        rules=parts.repo_rules,
        access=parts.access,
        blobs=parts.blobs,
        ttl_s=settings.metadata.ttl_s,
        is_offline=parts.lines.is_offline,
    )
