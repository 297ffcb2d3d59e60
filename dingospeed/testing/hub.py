"""The fake Hub as a program: ``python -m dingospeed.testing.hub``."""

from __future__ import annotations

import argparse
import inspect
import signal
from collections.abc import Sequence
from dataclasses import MISSING, Field, fields
from threading import Event

from dingospeed.testing.control import HELP
from dingospeed.testing.demo import GRANTED_TOKEN, OTHER_TOKEN, demo_content
from dingospeed.testing.fake import Address, FakeHub
from dingospeed.testing.faultkinds import KINDS
from dingospeed.testing.faults import PLACES
from dingospeed.testing.mischief import FaultKind
from dingospeed.testing.ratelimits import QUOTAS

__all__ = ["FakeHub", "main"]

READY = """\
A fake Hub is listening.

  Hub  {url}
  CDN  {cdn_url}

Repos:
{repos}

Tokens: {granted} may read everything, {other} only what is public.

Point a mirror to it:     dingospeed serve --upstream {url}
or a client:              HF_ENDPOINT={url} HF_HUB_DISABLE_XET=1 hf download demo/tiny-model
Make it misbehave:        curl -X POST {url}/-/faults -d '{{"where": "cdn", "kind": "cut", "after": 1000000}}'
and see what was asked:   curl {url}/-/counters

Ctrl-C ends it."""


def main(arguments: Sequence[str] | None = None) -> None:
    given = _parser().parse_args(arguments)
    hub = FakeHub(demo_content(), address=Address(given.host, given.port, given.cdn_port, given.name))
    if given.quota is not None:
        for bucket in QUOTAS:
            hub.rate_limits.set(bucket, given.quota)
    if given.latency:
        hub.fault("any", "latency", seconds=given.latency)
    if given.rate:
        hub.fault("any", "rate", bytes_per_s=given.rate)
    stopped = Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopped.set())
    with hub:
        print(_ready_text(hub), flush=True)
        stopped.wait()


def _ready_text(hub: FakeHub) -> str:
    names = []
    for (type, id), repo in hub.content.repos.items():
        access = "private" if repo.private else "gated" if repo.gated else "public"
        names.append(f"  {type:9} {id:20} {access:8} {len(repo.files())} files")
    repos = "\n".join(names)
    return READY.format(
        url=hub.url, cdn_url=hub.cdn_url, repos=repos, granted=GRANTED_TOKEN, other=OTHER_TOKEN
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m dingospeed.testing.hub",
        description="A fake Hub with a few demo repos, to try a mirror against. It misbehaves on command.",
        epilog=f"{HELP}\n{_faults_help()}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (%(default)s)")
    parser.add_argument("--name", metavar="HOST", help="host in the addresses it gives out (that of --host)")
    parser.add_argument("--port", type=int, default=8091, help="port of the Hub (%(default)s)")
    parser.add_argument("--cdn-port", type=int, default=8092, help="port of the CDN (%(default)s)")
    parser.add_argument("--rate", type=float, metavar="BYTES_PER_S", help="limit of every connection")
    parser.add_argument("--latency", type=float, metavar="SECONDS", help="wait before every answer")
    parser.add_argument(
        "--quota", type=int, metavar="N", help="requests free in five minutes (those of the real Hub)"
    )
    return parser


def _faults_help() -> str:
    lines = [f"where: {', '.join(PLACES)}", "", "kinds and their arguments:"]
    for name, kind in KINDS.items():
        first_line = (inspect.getdoc(kind) or "").partition("\n")[0]
        lines += [f"  {name} {_arguments_of(kind)}".rstrip(), f"      {first_line}"]
    return "\n".join(lines)


def _arguments_of(kind: type[FaultKind]) -> str:
    def shown(field: Field[object]) -> str:
        return f"{field.name}=…" if field.default is MISSING else f"{field.name}={field.default!r}"

    return ", ".join(shown(field) for field in fields(kind) if field.init)


if __name__ == "__main__":
    main()
