"""The benchmark: ``scripts/bench``."""

from __future__ import annotations

import argparse
import json
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from datetime import datetime, timezone
from pathlib import Path

from tests.bench import chart, report
from tests.bench.case import Case, Rounds, medians, run
from tests.bench.load import PROJECT, Figures
from tests.bench.servers import Olah
from tests.bench.stage import Stage
from tests.bench.table import CASES

KEPT = PROJECT / ".venv-bench/results.json"


def main(arguments: Sequence[str] | None = None) -> int:
    given = _parser().parse_args(arguments)
    # So that what was started is stopped, and what was made is taken away.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    cases = _chosen(given.names, is_quick=given.quick)
    if given.write:
        _write()
        return 0
    if given.list or not cases:
        print(*(f"{case.name:16} {case.title}" for case in CASES), sep="\n")
        return 0 if given.list else 2
    Olah.install()
    folder = Path(tempfile.mkdtemp(prefix="dingospeed-bench-", dir=given.dir))
    results: dict[str, Rounds] = {}
    began = time.monotonic()
    try:
        stage = Stage(folder)
        try:
            for case in cases:
                print(f"\n{time.monotonic() - began:.0f} s: {case.title} ({case.name})", flush=True)
                results[case.name] = run(case, stage, is_quick=given.quick, tell=_tell)
                _conclude(case, results[case.name])
                if not given.quick:
                    _keep(case, results[case.name])
        finally:
            stage.close()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    took_s = time.monotonic() - began
    print(f"\n{took_s:.0f} s")
    if not given.quick and cases == list(CASES):
        _write()
    return 0


def _kept() -> dict[str, Rounds]:
    kept: dict[str, Rounds] = json.loads(KEPT.read_text()) if KEPT.exists() else {}
    return kept


def _keep(case: Case, rounds: Rounds) -> None:
    """Not all need be measured at once: the page is made of what was measured last of each case."""
    KEPT.parent.mkdir(exist_ok=True)
    KEPT.write_text(json.dumps({**_kept(), case.name: rounds}))


def _write() -> None:
    results = _kept()
    page = report.render(results, CASES, today=datetime.now(timezone.utc).date(), olah=Olah.install())
    (PROJECT / "docs/benchmarks.md").write_text(page)
    chart.draw(results, PROJECT / "docs/benchmarks.png")


def _tell(system: str, figures: Figures) -> None:
    print(f"    {system:16} {_text(figures)}", flush=True)


def _conclude(case: Case, rounds: Rounds) -> None:
    for system, figures in rounds.items():
        print(f"  {system:16} {_text(medians(figures))}")
    for goal in case.goals:
        found = goal.measured(rounds)
        if found is not None:
            print(f"  {'reached' if goal.is_reached(rounds) else 'MISSED':8} {goal.text}: {found:.3g}")


def _text(figures: Figures) -> str:
    return "  ".join(f"{value:10.4g} {name}" for name, value in figures.items())


def _chosen(names: Sequence[str], *, is_quick: bool) -> list[Case]:
    """Those whose name has one of *names* in it; all when there are no names."""
    return [
        case
        for case in CASES
        if any(name in case.name for name in names) or (not names and (case.is_quick or not is_quick))
    ]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="scripts/bench",
        description="Measure the mirror beside nginx, curl and Olah. All cases: writes docs/benchmarks.md.",
    )
    parser.add_argument(
        "names", nargs="*", metavar="CASE", help="only cases with this in their name (--list)"
    )
    parser.add_argument("--quick", action="store_true", help="smaller files and fewer rounds")
    parser.add_argument(
        "--dir", metavar="DIR", help="where to put files and caches, some GB (that of tempfile)"
    )
    parser.add_argument(
        "--write", action="store_true", help="only write the page, of what was measured before"
    )
    parser.add_argument("--list", action="store_true", help="name the cases")
    return parser


if __name__ == "__main__":
    sys.exit(main())
