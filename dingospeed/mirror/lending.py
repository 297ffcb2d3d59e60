"""What other nodes of the group are given: bytes that are here or that, as an owner, it fetches.

Their callers' rights were looked at where they asked. Here nobody is asked but the outside, so a
request makes no second hop.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from dingospeed.cluster.holdings import WHOLE, Holding, Holdings
from dingospeed.download.reader import Reader
from dingospeed.errors import Refusal
from dingospeed.mirror.rules import RepoRules
from dingospeed.model import Blob, FileMeta, Piece, Span
from dingospeed.sources.chain import Chain
from dingospeed.store.inventory import Inventory


class NotHere(Refusal):
    """The node does not hold what it was asked for."""

    status = 404

    def __init__(self) -> None:
        super().__init__("This node does not hold that")


class AskedElsewhere(Refusal):
    """The node asks another one for the same right now: who waits for it might wait in a circle."""

    status = 409

    def __init__(self) -> None:
        super().__init__("This node asks another one for that")


class _Nowhere:
    """The source for what is not to be fetched."""

    def read(self, span: Span) -> Iterator[bytes]:
        raise NotHere()


class Lending:
    """Gives what *inventory* finds here; *reader* fetches in a lane of its own."""

    def __init__(
        self,
        *,
        reader: Reader,
        chain: Chain,
        rules: RepoRules,
        inventory: Inventory,
        holdings: Holdings,
        cell_bytes: int,
        is_asking: Callable[[Blob, Span], bool],
    ) -> None:
        self._reader = reader
        self._chain = chain
        self._rules = rules
        self._inventory = inventory
        self._holdings = holdings
        self._cell_bytes = cell_bytes
        self._is_asking = is_asking

    def open(self, blob: Blob, span: Span, meta: FileMeta | None) -> Iterator[Piece]:
        """The bytes of *span*: fetched as *meta*, if need be, when that is told.

        Raises NotHere, AskedElsewhere or NotServedHere, and what reading raises.
        """
        held = self._held(blob)
        if held is not None and held.has(span):
            return self._reader.read(blob, span, _Nowhere())
        if meta is None:
            # Said to be here by mistake, or by who remembers what was.
            self._holdings.note(blob.etag, held)
            raise NotHere()
        self._rules.check_served(meta.repo)
        if self._is_asking(blob, span):
            raise AskedElsewhere()
        outside = self._chain.source(meta, token=None, is_restricted=False)
        return self._reader.read(blob, span, outside, is_kept=self._rules.is_kept(meta.repo))

    def _held(self, blob: Blob) -> Holding | None:
        """What is here of *blob*. Raises NotHere when what is here has another size."""
        found = self._inventory.held(blob.etag)
        if found is None:
            return None
        if found.blob != blob:
            raise NotHere()
        return WHOLE if found.cells is None else Holding(self._cell_bytes, found.cells)
