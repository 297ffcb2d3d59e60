"""The readers and the upstream lines, as the settings have them."""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import partial

from dingospeed.config import Settings
from dingospeed.download.fetch import Fetcher, Pool
from dingospeed.download.filling import Fillings
from dingospeed.download.reader import Reader, ReaderOptions
from dingospeed.download.verify import Verifier
from dingospeed.flight.demand import Demand
from dingospeed.flight.leases import Leases
from dingospeed.metrics import Metrics
from dingospeed.store.blobs import Blobs
from dingospeed.upstream.client import Client
from dingospeed.upstream.health import Health
from dingospeed.upstream.lines import Line, Lines

_SHARES = {"never": 2.0, "always": 0.0}


@dataclass(frozen=True, slots=True)
class Readers:
    """One *for_clients*, one *ahead* of them, whose fills take none of their places, and one *for_peers*,
    whose fills wait for none that may themselves wait for a peer.

    All share what is being filled, so nothing is fetched by each.
    """

    for_clients: Reader
    ahead: Reader
    for_peers: Reader
    fillings: Fillings


def readers_of(settings: Settings, blobs: Blobs, leases: Leases, metrics: Metrics, demand: Demand) -> Readers:
    download = settings.download
    finish = download.finish_abandoned
    fillings = Fillings(blobs=blobs, segment_blocks=download.segment_blocks)
    verifier = Verifier(blobs=blobs, fillings=fillings, leases=leases, metrics=metrics)

    def reader(fetcher: Fetcher, finish_share: float) -> Reader:
        return Reader(
            blobs=blobs,
            fillings=fillings,
            fetcher=fetcher,
            verifier=verifier,
            options=ReaderOptions(hold_s=download.hold_s, finish_share=finish_share),
            metrics=metrics,
        )

    pool = Pool(share_of(download.parallel, settings))
    for_clients = Fetcher(
        fillings=fillings,
        leases=leases,
        pool=pool,
        read_ahead=download.read_ahead,
        metrics=metrics,
        on_want=demand.note,
    )
    ahead = Fetcher(
        fillings=fillings,
        leases=leases,
        pool=Pool(settings.warmup.parallel),
        read_ahead=1,
        metrics=metrics,
    )
    for_peers = Fetcher(
        fillings=fillings,
        leases=leases,
        pool=pool,
        read_ahead=1,
        metrics=metrics,
        on_want=demand.note,
        is_urgent=True,
    )
    return Readers(
        for_clients=reader(for_clients, _SHARES[finish] if isinstance(finish, str) else finish),
        ahead=reader(ahead, _SHARES["never"]),
        for_peers=reader(for_peers, _SHARES["never"]),
        fillings=fillings,
    )


def lines_of(settings: Settings, metrics: Metrics) -> Lines:
    upstream = settings.upstream

    def observe(line: Line) -> None:
        metrics.upstream_is_up.labels(line.name).set(line.health.is_up)
        for bucket, budget in line.client.budgets.items():
            if budget.remaining is not None:
                metrics.rate_remaining.labels(line.name, bucket).set(budget.remaining)
            if budget.quota is not None:
                metrics.rate_quota.labels(line.name, bucket).set(budget.quota)

    def observe_call(line: str, bucket: str, result: str, seconds: float) -> None:
        metrics.upstream_calls.labels(line, bucket, result).inc()
        metrics.upstream_call_seconds.labels(line, bucket).observe(seconds)

    if upstream.offline:
        return Lines(lines=[])
    lines = Lines(
        lines=[
            Line(
                name=line.name,
                client=Client(
                    name=line.name,
                    base_url=line.url,
                    is_hub=line.hub,
                    proxy=line.proxy,
                    token=line.token.get_secret_value() if line.token else None,
                    max_connections=share_of(line.max_connections, settings),
                    connect_s=upstream.timeouts.connect_s,
                    read_s=upstream.timeouts.read_s,
                    ca_bundle=str(upstream.ca_bundle) if upstream.ca_bundle else None,
                    observe=partial(observe_call, line.name),
                ),
                health=Health(
                    failures_to_down=upstream.failures_to_down,
                    probe_s=upstream.probe_s,
                    probe_max_s=upstream.probe_max_s,
                    clock=time.monotonic,
                ),
                is_hub=line.hub,
            )
            for line in upstream.lines
        ],
        observe=observe,
    )
    lines.observe_all()  # So that a line is seen before it was ever used.
    return lines


def share_of(most: int, settings: Settings) -> int:
    """One worker's share of what the node may have at once."""
    return max(1, most // settings.server.workers)
