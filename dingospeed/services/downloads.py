"""The readers, as the settings have them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from dingospeed.download.fetch import Fetcher, Pool
from dingospeed.download.filling import Fillings
from dingospeed.download.reader import Reader, ReaderOptions
from dingospeed.download.verify import Verifier
from dingospeed.flight.demand import Demand
from dingospeed.services.ground import Ground

_SHARES = {"never": 2.0, "always": 0.0}


@dataclass(frozen=True, slots=True)
class Readers:
    """One *for_clients*, one *ahead* of them, whose fills take none of their places, and one *for_peers*,
    whose fills wait for none that may themselves wait for a peer.

    All share what is being filled, so nothing is fetched by each. Who waits but the one *ahead* is
    noted as *demand*.
    """

    for_clients: Reader
    ahead: Reader
    for_peers: Reader
    fillings: Fillings
    demand: Demand


def readers_of(ground: Ground) -> Readers:
    download, blobs, metrics = ground.settings.download, ground.blobs, ground.metrics
    finish = download.finish_abandoned
    demand = Demand(path=ground.layout.lease("demand"))
    fillings = Fillings(blobs=blobs, segment_blocks=download.segment_blocks)
    verifier = Verifier(blobs=blobs, fillings=fillings, leases=ground.leases, metrics=metrics)
    fetcher = partial(Fetcher, fillings=fillings, leases=ground.leases, metrics=metrics)

    def reader(fetcher: Fetcher, finish_share: float) -> Reader:
        return Reader(
            blobs=blobs,
            fillings=fillings,
            fetcher=fetcher,
            verifier=verifier,
            options=ReaderOptions(hold_s=download.hold_s, finish_share=finish_share),
            metrics=metrics,
        )

    pool = Pool(ground.share_of(download.parallel))
    for_clients = fetcher(pool=pool, read_ahead=download.read_ahead, on_want=demand.note)
    ahead = fetcher(pool=Pool(ground.settings.warmup.parallel), read_ahead=1)
    for_peers = fetcher(pool=pool, read_ahead=1, on_want=demand.note, is_urgent=True)
    return Readers(
        for_clients=reader(for_clients, _SHARES[finish] if isinstance(finish, str) else finish),
        ahead=reader(ahead, _SHARES["never"]),
        for_peers=reader(for_peers, _SHARES["never"]),
        fillings=fillings,
        demand=demand,
    )
