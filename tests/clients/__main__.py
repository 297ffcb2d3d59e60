"""The grid of clients: ``scripts/clients``."""

from __future__ import annotations

import argparse
import platform
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from datetime import datetime, timezone
from pathlib import Path

from dingospeed import __version__
from dingospeed.testing import Address, FakeHub
from tests.clients.environments import ENVIRONMENTS, PROJECT
from tests.clients.expectations import why_not
from tests.clients.guard import can_isolate, guards
from tests.clients.report import render
from tests.clients.repos import TOKENS
from tests.clients.roster import CLIENTS, XET_CLIENTS, Client
from tests.clients.runner import Cell, ClientRun, Grid, what_the_hub_saw, who_spoke_xet
from tests.clients.summary import put_into, summarised
from tests.harness import Mirror

REPORT, README = PROJECT / "docs/clients.md", PROJECT / "README.md"
LOGS = ENVIRONMENTS / "logs"
AT_ONCE = 2
# On this machine, and yet not where clients are told to go without the proxy.
HUB_ADDRESS = Address(host="127.0.0.2")
CAS_URL = "http://cas.invalid"
UNLIMITED = 1_000_000
SETTINGS = {
    "upstream": {"timeouts": {"connect_s": 5, "read_s": 9}},
    # The grid is not in a hurry with its lines: blocks and segments as users have them.
    "download": {"block_bytes": 1 << 20, "segment_blocks": 32},
}


def main(arguments: Sequence[str] | None = None) -> int:
    given = _parser().parse_args(arguments)
    # So that what was made is taken away again.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    known = CLIENTS if given.xet is None else (*CLIENTS, *XET_CLIENTS)
    clients = _chosen(known, given.names, is_quick=given.quick)
    if given.list or not clients:
        print(*(client.name for client in known), sep="\n")
        return 0 if given.list else 2
    is_isolated = not given.no_namespace and can_isolate()
    began = time.monotonic()
    runs, overall = _run(clients, given, is_isolated=is_isolated)
    minutes = (time.monotonic() - began) / 60
    is_full = clients == list(CLIENTS) and not (given.quick or given.task or given.xet)
    if is_full:
        text = render(
            runs,
            overall,
            today=datetime.now(timezone.utc).date(),
            minutes=minutes,
            mirror=f"dingospeed {__version__} on Python {platform.python_version()}",
            guard=_described_guard(is_isolated),
        )
        REPORT.write_text(text)
        README.write_text(put_into(README.read_text(), summarised(text)))
    return _conclude(runs, overall, minutes)


def _run(
    clients: Sequence[Client], given: argparse.Namespace, *, is_isolated: bool
) -> tuple[list[ClientRun], list[Cell]]:
    folder = Path(tempfile.mkdtemp(prefix="dingospeed-clients-"))
    shutil.rmtree(LOGS, ignore_errors=True)
    LOGS.mkdir(parents=True)
    hub = FakeHub(address=HUB_ADDRESS)
    hub.content.cas_url = CAS_URL
    for name, token in TOKENS.items():
        hub.add_user(name, token=token)
    for bucket in ("api", "resolvers"):
        hub.rate_limits.set(bucket, UNLIMITED)
    xet = {} if given.xet is None else {"xet": {"mode": given.xet}}
    settings = {**SETTINGS, **xet, "server": {"host": "0.0.0.0" if is_isolated else "127.0.0.1"}}
    with hub, guards(AT_ONCE, is_isolated=is_isolated) as watching:
        mirror = Mirror(folder, [{"url": hub.url, "hub": True}], settings)
        try:
            mirror.start()
            for guard in watching:
                guard.start(mirror.port)
            grid = Grid(
                hub=hub,
                mirror=mirror,
                guards=watching,
                folder=folder,
                logs=LOGS,
                wants=lambda task: (task.is_quick or not given.quick) and given.task in (None, task.name),
                tell=_tell,
            )
            runs = grid.run(clients)
        finally:
            mirror.stop()
            if mirror.log_path.exists():
                shutil.copy(mirror.log_path, LOGS / "mirror.log")
            shutil.rmtree(folder, ignore_errors=True)
    log = (LOGS / "mirror.log").read_text(errors="replace")
    seen = [*what_the_hub_saw(hub, log, runs), *(who_spoke_xet(log, runs) if given.xet == "on" else ())]
    return runs, [_told(cell) for cell in seen]


def _conclude(runs: Sequence[ClientRun], overall: Sequence[Cell], minutes: float) -> int:
    cells = [cell for run in runs for cell in run.cells] + list(overall)
    counts = {status: sum(cell.status == status for cell in cells) for status in ("ok", "fails")}
    surprises = [cell for cell in cells if cell.is_surprise]
    healed = [cell for cell in cells if cell.status == "ok" and why_not(cell.client, cell.task)]
    print(f"\n{len(cells)} cells in {minutes:.1f} min: {counts['ok']} ok, {counts['fails']} fail.")
    for cell in healed:
        print(f"works now, take it out of EXPECTED_FAILURES: {cell.client}, {cell.task}")
    if surprises:
        print(f"{len(surprises)} that should work do not; what was said is in {LOGS.relative_to(PROJECT)}/:")
    for cell in surprises:
        print(f"  {cell.client}, {cell.task}: {cell.reason}")
    return 1 if surprises else 0


def _told(cell: Cell) -> Cell:
    _tell(cell)
    return cell


def _tell(cell: Cell) -> None:
    known = " (known)" if cell.status == "fails" and not cell.is_surprise else ""
    line = f"{cell.client:27} {cell.task:22} {cell.seconds:5.1f} s  {cell.status}{known}"
    print(f"{line}  {cell.reason}".rstrip(), flush=True)


def _chosen(known: Sequence[Client], names: Sequence[str], *, is_quick: bool) -> list[Client]:
    """Those *known* whose name has one of *names* in it; all when there are no names."""
    return [
        client
        for client in known
        if any(name in client.name for name in names) or (not names and (client.is_quick or not is_quick))
    ]


def _described_guard(is_isolated: bool) -> str:
    proxy = " (a proxy for all else, and hooks in Python and\n  node, would have told)"
    return f"{proxy}, from a network of its own with an eye on the wire" if is_isolated else proxy


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="scripts/clients",
        description="Try real clients against a mirror of a fake Hub. A run of all of them writes "
        "docs/clients.md and the table in README.md.",
    )
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help="only clients with this in their name (--list)"
    )
    parser.add_argument("--quick", action="store_true", help="each generation, fewer tasks")
    parser.add_argument("--task", metavar="TASK", help="only this one, the name of a function")
    parser.add_argument(
        "--xet",
        choices=("auto", "on", "off"),
        help="xet.mode of the mirror; more generations of hf_xet, no report",
    )
    parser.add_argument("--no-namespace", action="store_true", help="guard by proxy and hooks alone")
    parser.add_argument("--list", action="store_true", help="name the clients")
    return parser


if __name__ == "__main__":
    sys.exit(main())
