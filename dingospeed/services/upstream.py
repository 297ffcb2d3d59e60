"""The lines to the upstream, and their chain, as the settings have them."""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import partial

from dingospeed.config import Line as LineSettings
from dingospeed.metrics import Metrics
from dingospeed.services.ground import Ground
from dingospeed.sources.chain import Chain, Persistence
from dingospeed.upstream.client import Client
from dingospeed.upstream.health import Health
from dingospeed.upstream.lines import Line, Lines


@dataclass(frozen=True, slots=True)
class Upstream:
    """Questions are asked over one of the *lines*, files are read over the *chain* of them."""

    lines: Lines
    chain: Chain


def upstream_of(ground: Ground) -> Upstream:
    """Without any line for a node that never asks outside."""
    wanted = ground.settings.upstream
    lines = Lines(
        lines=[] if wanted.offline else [_line_of(ground, line) for line in wanted.lines],
        observe=partial(_observe_line, ground.metrics),
    )
    lines.observe_all()  # So that a line is seen before it was ever used.
    chain = Chain(
        lines=lines,
        persistence=Persistence(wanted.retries, wanted.retry_max_wait_s),
        rejections=lambda meta: ground.blobs.rejections(meta.blob),
        connections={line.name: ground.share_of(line.max_connections) for line in wanted.lines},
        metrics=ground.metrics,
    )
    return Upstream(lines=lines, chain=chain)


def _line_of(ground: Ground, line: LineSettings) -> Line:
    upstream = ground.settings.upstream
    client = Client(
        name=line.name,
        base_url=line.url,
        is_hub=line.hub,
        proxy=line.proxy,
        token=line.token.get_secret_value() if line.token else None,
        max_connections=ground.share_of(line.max_connections),
        connect_s=upstream.timeouts.connect_s,
        read_s=upstream.timeouts.read_s,
        ca_bundle=str(upstream.ca_bundle) if upstream.ca_bundle else None,
        observe=partial(_observe_call, ground.metrics, line.name),
    )
    health = Health(
        failures_to_down=upstream.failures_to_down,
        probe_s=upstream.probe_s,
        probe_max_s=upstream.probe_max_s,
        clock=time.monotonic,
    )
    return Line(line.name, client, health, is_hub=line.hub)


def _observe_line(metrics: Metrics, line: Line) -> None:
    metrics.upstream_is_up.labels(line.name).set(line.health.is_up)
    for bucket, budget in line.client.budgets.items():
        if budget.remaining is not None:
            metrics.rate_remaining.labels(line.name, bucket).set(budget.remaining)
        if budget.quota is not None:
            metrics.rate_quota.labels(line.name, bucket).set(budget.quota)


def _observe_call(metrics: Metrics, line: str, bucket: str, result: str, seconds: float) -> None:
    metrics.upstream_calls.labels(line, bucket, result).inc()
    metrics.upstream_call_seconds.labels(line, bucket).observe(seconds)
