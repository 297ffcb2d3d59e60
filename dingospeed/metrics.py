"""Every metric of ours, on one page: dingospeed_<what>_<unit>[_total], labels bounded.

Request counts and latencies by route come from prometheus-flask-exporter (dingospeed/app.py).
Under several workers prometheus_client keeps values in files that /metrics adds up, so
gauges name how theirs are to be added.
"""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge


class Metrics:
    """The metrics of one app, in one *registry*."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.served_bytes = Counter(
            "dingospeed_served_bytes_total",
            "Bytes of files handed to clients, by where they came from.",
            ("cache",),
            registry=registry,
        )
        self.file_requests = Counter(
            "dingospeed_file_requests_total",
            "Answers to file requests, by where the bytes came from and how they ended.",
            ("cache", "result"),
            registry=registry,
        )
        self.live_transfers = Gauge(
            "dingospeed_live_transfers",
            "File bodies being sent right now.",
            registry=registry,
            multiprocess_mode="livesum",
        )
        self.fills = Gauge(
            "dingospeed_live_fills",
            "Segments being filled from upstream right now.",
            registry=registry,
            multiprocess_mode="livesum",
        )
        self.upstream_bytes = Counter(
            "dingospeed_upstream_bytes_total",
            "Bytes of files fetched from upstream, by line.",
            ("line",),
            registry=registry,
        )
        self.upstream_failures = Counter(
            "dingospeed_upstream_failures_total",
            "Reads of files that a line broke off or refused, by line.",
            ("line",),
            registry=registry,
        )
        self.upstream_is_up = Gauge(
            "dingospeed_upstream_line_up",
            "Whether a line answers (1) or is down (0), by line, in the worker that sees it worst.",
            ("line",),
            registry=registry,
            multiprocess_mode="livemin",
        )
        self.rate_remaining = Gauge(
            "dingospeed_upstream_rate_remaining_requests",
            "Requests left in the current window, as the line told last, by line and bucket.",
            ("line", "bucket"),
            registry=registry,
            multiprocess_mode="livemostrecent",
        )
        self.store_full = Counter(
            "dingospeed_store_full_total",
            "Reads served straight through because the cache had no space.",
            registry=registry,
        )
        self.sealed_blobs = Counter(
            "dingospeed_sealed_blobs_total",
            "Blobs that became complete with the right hash.",
            registry=registry,
        )
        self.content_mismatches = Counter(
            "dingospeed_content_mismatches_total",
            "Blobs that arrived whole with the wrong hash; nothing of them was kept.",
            registry=registry,
        )
