"""Every metric of ours, on one page: dingospeed_<what>_<unit>[_total], labels bounded.

Request counts and latencies by route come from prometheus-flask-exporter (dingospeed/app.py).
Under several workers prometheus_client keeps values in files that /metrics adds up, so
gauges name how theirs are to be added.
"""

from __future__ import annotations

import os
from pathlib import Path

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

# prometheus_client reads it: the folder in which the workers of a node keep their counters.
FOLDER_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"

_LATENCIES_S = (0.001, 0.005, 0.02, 0.1, 0.5, 2.0, 5.0, 10.0)
_TRANSFERS_S = (0.001, 0.01, 0.1, 1.0, 10.0, 60.0, 600.0)
_LAGS_S = (0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0)


def shared_folder() -> Path | None:
    """The folder of the workers' counters, in memory where possible; None with one process only."""
    named = os.environ.get(FOLDER_VARIABLE)
    return Path(named) if named else None


class Metrics:
    """The metrics of one app, in one *registry*."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.requests = Counter(
            "dingospeed_requests_total",
            "Requests answered, by what was asked for and the status.",
            ("kind", "status"),
            registry=registry,
        )
        self.first_byte_seconds = Histogram(
            "dingospeed_first_byte_seconds",
            "How long until the first byte of an answer was there, by what was asked for and X-Cache.",
            ("kind", "cache"),
            registry=registry,
            buckets=_LATENCIES_S,
        )
        self.request_seconds = Histogram(
            "dingospeed_request_seconds",
            "How long until an answer was sent in full, by what was asked for and X-Cache.",
            ("kind", "cache"),
            registry=registry,
            buckets=_TRANSFERS_S,
        )
        self.hub_lag = Histogram(
            "dingospeed_hub_lag_seconds",
            "How late the event loop of a worker was, looked at twice a second.",
            registry=registry,
            buckets=_LAGS_S,
        )
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
        self.peer_bytes = Counter(
            "dingospeed_peer_bytes_total",
            "Bytes of files that went between this node and another of its group.",
            ("node", "direction"),
            registry=registry,
        )
        self.upstream_calls = Counter(
            "dingospeed_upstream_calls_total",
            "Requests sent over a line, by rate-limit bucket and what came back.",
            ("line", "bucket", "result"),
            registry=registry,
        )
        self.upstream_call_seconds = Histogram(
            "dingospeed_upstream_call_seconds",
            "How long a line took to begin its answer, by rate-limit bucket.",
            ("line", "bucket"),
            registry=registry,
            buckets=_LATENCIES_S,
        )
        self.upstream_retries = Counter(
            "dingospeed_upstream_retries_total",
            "Rounds over all lines that were begun because the one before brought nothing.",
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
        self.rate_quota = Gauge(
            "dingospeed_upstream_rate_quota_requests",
            "Requests that a line allows in a window, by line and bucket.",
            ("line", "bucket"),
            registry=registry,
            multiprocess_mode="livemostrecent",
        )
        self.fill_results = Counter(
            "dingospeed_fills_total",
            "Segments filled, by how it ended; elsewhere: another worker was at it.",
            ("result",),
            registry=registry,
        )
        self.lease_wait_seconds = Histogram(
            "dingospeed_lease_wait_seconds",
            "How long a lease that another held was waited for.",
            registry=registry,
            buckets=_LATENCIES_S,
        )
        self.verify_seconds = Histogram(
            "dingospeed_verify_seconds",
            "How long the hashing of a blob took, without the waits for its bytes.",
            registry=registry,
            buckets=_TRANSFERS_S,
        )
        self.disk_size_bytes = Gauge(
            "dingospeed_disk_size_bytes",
            "What the disk of the cache can hold.",
            registry=registry,
            multiprocess_mode="mostrecent",
        )
        self.disk_free_bytes = Gauge(
            "dingospeed_disk_free_bytes",
            "What can still be written to the disk of the cache.",
            registry=registry,
            multiprocess_mode="mostrecent",
        )
        self.jobs = Gauge(
            "dingospeed_jobs",
            "Warm-up jobs, by state.",
            ("state",),
            registry=registry,
            multiprocess_mode="mostrecent",
        )
        self.worker_lag_seconds = Gauge(
            "dingospeed_worker_lag_seconds",
            "How late the event loop of each worker was at worst in the last minute.",
            registry=registry,
            multiprocess_mode="liveall",
        )
        self.worker_memory_bytes = Gauge(
            "dingospeed_worker_memory_bytes",
            "Memory that each worker has in use.",
            registry=registry,
            multiprocess_mode="liveall",
        )
        self.worker_cpu_seconds = Gauge(
            "dingospeed_worker_cpu_seconds",
            "Processor time that each worker has used since its start.",
            registry=registry,
            multiprocess_mode="liveall",
        )
        self.worker_open_files = Gauge(
            "dingospeed_worker_open_files",
            "Files and connections that each worker has open.",
            registry=registry,
            multiprocess_mode="liveall",
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
        self.cache_bytes = Gauge(
            "dingospeed_cache_bytes",
            "What the blobs take of the disk, looked up every cleaning.interval_s.",
            registry=registry,
            multiprocess_mode="mostrecent",
        )
        self.cache_blobs = Gauge(
            "dingospeed_cache_blobs",
            "Complete blobs, looked up every cleaning.interval_s.",
            registry=registry,
            multiprocess_mode="mostrecent",
        )
        self.cleanings = Counter(
            "dingospeed_cleanings_total",
            "Times that something had to go from the cache, and whether enough went.",
            ("result",),
            registry=registry,
        )
        self.cleaned_bytes = Counter(
            "dingospeed_cleaned_bytes_total",
            "Bytes of the disk that cleaning freed, by strategy.",
            ("strategy",),
            registry=registry,
        )
        self.cleaned_blobs = Counter(
            "dingospeed_cleaned_blobs_total",
            "Files that cleaning took away, half-filled ones and leftovers as well.",
            registry=registry,
        )
        # In this process, for those who can not ask the registry.
        self.fetched_bytes = 0

    def count_fetched(self, line: str, count: int) -> None:
        """*count* bytes more came over *line*."""
        self.upstream_bytes.labels(line).inc(count)
        self.fetched_bytes += count
