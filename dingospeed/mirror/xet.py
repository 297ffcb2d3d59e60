"""Which clients are told of Xet, and what: our own hashes and addresses, or nothing at all.

One `xetHash` in a listing is enough to send a client past the mirror (huggingface_hub from
1.22.0 on then asks no HEAD), so what the Hub tells of Xet leaves no answer of ours. Where a file is
offered by Xet it is offered by us, see cas.py.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from dingospeed.model import Blob

_KEYS = frozenset({"xetHash", "xet", "xetEnabled"})
_HASH = re.compile(r"[0-9a-f]{64}\Z")


def without_xet(value: Any) -> Any:
    """A copy of a JSON *value* without any Xet data."""
    if isinstance(value, dict):
        return {key: without_xet(inner) for key, inner in value.items() if key not in _KEYS}
    if isinstance(value, list):
        return [without_xet(inner) for inner in value]
    return value


def is_hash(text: str) -> bool:
    """Whether *text* can be the name that a file has in Xet."""
    return _HASH.match(text) is not None


def xet_hash_of(entry: Mapping[str, Any]) -> str | None:
    """What the Hub told of a tree's *entry* for clients of Xet; a mask, too, is nothing."""
    told = entry.get("xetHash")
    return told if isinstance(told, str) and is_hash(told) else None


class Offers:
    """Which files are offered by Xet: those of git-lfs above *above_bytes*; None offers nothing."""

    def __init__(self, *, above_bytes: int | None) -> None:
        self._above_bytes = above_bytes

    def hash_of(self, blob: Blob, told: str | None) -> str | None:
        """The hash by which a file is offered, None when it is not.

        It is the one the Hub *told*: clients keep it, and may be at the Hub the next time. Else the
        sha256, as no client looks into it.
        """
        if self._above_bytes is None or not blob.is_lfs or blob.size <= self._above_bytes:
            return None
        return told or blob.etag

    def shown(self, entries: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        """A listing's *entries* as clients see them: with a hash where the file is offered, else without."""
        return [self._shown(entry) if "lfs" in entry or "xetHash" in entry else entry for entry in entries]

    def _shown(self, entry: dict[str, Any]) -> dict[str, Any]:
        shown: dict[str, Any] = without_xet(entry)
        lfs = entry.get("lfs") or {}
        try:
            hash = self.hash_of(Blob(lfs["oid"], lfs["size"]), xet_hash_of(entry))
        except (KeyError, TypeError, ValueError):
            return shown  # Nobody can tell what it is.
        return {**shown, "xetHash": hash} if hash else shown
