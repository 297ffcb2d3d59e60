"""Files from where they are nearest: from other nodes of the group, else from outside."""

from __future__ import annotations

from dingospeed.model import Blob, FileMeta
from dingospeed.sources import hub
from dingospeed.sources.chain import Chain, Pacing, ReadLine, at_once
from dingospeed.sources.peers import Peers, PeerSource


class Nearest:
    """What *peers* do not give comes over the lines, by *chain*."""

    def __init__(self, *, peers: Peers, chain: Chain) -> None:
        self._peers = peers
        self._chain = chain

    def source(
        self,
        meta: FileMeta,
        *,
        token: str | None,
        is_restricted: bool,
        read: ReadLine = hub.read,
        pace: Pacing = at_once,
    ) -> PeerSource:
        """As Chain.source.

        Others fetch for us what they need nobody's token for, and find by its name. The caller's
        token stays here: see "Tokens stay on the node they were sent to" in docs/architecture.md.
        """
        outside = self._chain.source(meta, token=token, is_restricted=is_restricted, read=read, pace=pace)
        is_public = not is_restricted and read is hub.read
        return self._peers.source(meta.blob, outside, public_as=meta if is_public else None, pace=pace)

    def is_near(self, blob: Blob) -> bool:
        """Whether some node that can be asked holds all of *blob*, as far as that is known in time."""
        return self._peers.are_holding(blob)
