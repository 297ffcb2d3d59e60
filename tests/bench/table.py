"""All cases, and the figures to reach."""

from __future__ import annotations

from tests.bench import crowd, tls, xet
from tests.bench.case import ACCEL, CURL, NGINX, OLAH, Case, Goal
from tests.bench.downloads import ONE, UPSTREAM, cold, first_byte, hot, limited, slow_clients
from tests.bench.smalls import fairness, small
from tests.bench.stage import READ_AHEAD, SEGMENT_MIB

_NEAR_NGINX = (
    Goal("GB/s", 0.9, against=NGINX),
    Goal("CPU s/GB", 1.5, is_least=False, against=NGINX),
    Goal("GB/s", 0.97, against=NGINX, of=ACCEL),
)

CASES = (
    Case(
        "hot-1",
        "1 GiB from the page cache, 1 client",
        hot(1, has_olah=True),
        (*_NEAR_NGINX, Goal("GB/s", 5, against=OLAH)),
        rounds=15,  # One stream is as quick as the core its client happens to share: pairs scatter.
    ),
    Case("hot-4", "1 GiB from the page cache, 4 clients", hot(4), _NEAR_NGINX, rounds=15),
    Case("hot-16", "1 GiB from the page cache, 16 clients", hot(16), _NEAR_NGINX, rounds=3),
    Case(
        "fairness",
        "a small file from a worker that sends a large one to 4 clients",
        fairness,
        (Goal("p95 ms", 20, is_least=False),),
    ),
    Case(
        "cold",
        "1 GiB nobody has asked for, to one client",
        cold,
        (Goal("GB/s", 0.8, against=CURL), Goal("GB/s", 2, against=OLAH)),
    ),
    Case(
        "tls-cold",
        "1 GiB nobody has asked for, to one client, from an upstream with TLS",
        tls.cold,
        (Goal("GB/s", 0.8, against=CURL), Goal("connections", READ_AHEAD, is_least=False)),
    ),
    Case(
        "tls-small",
        "100 files of 64 KiB nobody has asked for, 8 at once, from an upstream with TLS",
        tls.small,
        (Goal("connections", 2 * tls.AT_ONCE, is_least=False),),
        rounds=3,
    ),
    Case(
        "limited",
        "1 GiB from an upstream with 20 MB/s a connection and 50 ms",
        limited,
        (Goal("GB/s", 7, against=ONE),),
        rounds=3,
        quick_rounds=1,
    ),
    Case(
        "first-byte",
        "the first byte of a file of a new repo, each answer from upstream after 50 ms",
        first_byte,
        (Goal("first byte ms", 30, is_least=False, against=UPSTREAM, is_plus=True),),
    ),
    Case(
        "small-head",
        "HEAD of a cached file, 64 connections",
        small("HEAD", "file"),
        (
            Goal("requests/s", 4000),
            Goal("p99 ms", 60, is_least=False),
            Goal("requests/s", 50, against=OLAH),
        ),
        rounds=3,
        quick_rounds=1,
    ),
    Case(
        "small-get",
        "GET of a cached file of 4 KB, 64 connections",
        small("GET", "file"),
        (Goal("requests/s", 3500), Goal("requests/s", 50, against=OLAH)),
        rounds=3,
        quick_rounds=1,
    ),
    Case(
        "small-info",
        "GET of a cached revision, 64 connections",
        small("GET", "info"),
        (Goal("requests/s", 3500),),
        rounds=3,
        quick_rounds=1,
    ),
    Case(
        "slow",
        "64 clients at 1 MB/s, each with another cold GiB",
        slow_clients,
        (
            Goal("worker RSS MB", 150, is_least=False),
            # Its read-ahead, the segment it reads, and what one client takes meanwhile.
            Goal("filled MiB a file", (READ_AHEAD + 1) * SEGMENT_MIB + 64, is_least=False),
        ),
        rounds=1,
        quick_rounds=1,
    ),
    Case("xet-warm", "1 GiB from the cache to huggingface_hub, plain and by Xet", xet.warm),
    Case(
        "xet-limited",
        "1 GiB from an upstream with 20 MB/s a connection to huggingface_hub, plain and by Xet",
        xet.limited,
        rounds=3,
        quick_rounds=1,
    ),
    Case(
        "scale",
        "100,000 documents and 1,000,000 blobs in the cache",
        crowd.scale,
        (
            Goal("start-up s", 3, is_least=False),
            Goal("CPU µs/request", 1.1, is_least=False, against=crowd.FEW),
        ),
        rounds=3,
        quick_rounds=1,
    ),
    Case(
        "cleaning",
        "a plan to clean away 1,000,000 blobs, and a small file meanwhile",
        crowd.cleaning,
        (Goal("plan s", 60, is_least=False),),
        rounds=1,
        quick_rounds=1,
    ),
)
