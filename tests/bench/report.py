"""docs/benchmarks.md, from what was measured."""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from importlib.metadata import version
from pathlib import Path

from dingospeed import __version__
from tests.bench.case import Case, Rounds, medians
from tests.bench.load import Figures

_LIBRARIES = ("gunicorn", "gevent", "flask", "werkzeug", "requests", "prometheus-flask-exporter")


def render(results: Mapping[str, Rounds], cases: Sequence[Case], *, today: date, olah: str) -> str:
    """The whole page; *results* by the names of *cases*."""
    measured = [case for case in cases if case.name in results]
    parts = [
        f"""\
# Benchmarks

Written by `scripts/bench` on {today}; not by hand. Run it yourself: it sets up all it
needs, and `scripts/bench --quick` takes three minutes.

Client, mirror, Hub and CDN share one machine and talk over loopback, so trust ratios more than numbers. The
systems of a case are measured in turn, round by round, and compared pair by pair; here are medians. The Hub
is the fake one, its CDN is nginx with static files. The mirror runs with two workers and the settings it
comes with, access log and metrics on. CPU is that of all processes of the system measured.

How it came to be as it is, and why what is missed is missed: [profiles.md](profiles.md).

![Throughput and requests per second beside nginx, curl and Olah](benchmarks.png)
""",
        _machine(olah),
        "## What was to be reached\n\n" + _goals(measured, results),
    ]
    parts += [_section(case, results[case.name]) for case in measured]
    parts.append("## Every round\n\n" + "\n\n".join(_raw(case, results[case.name]) for case in measured))
    return "\n\n".join(part.rstrip("\n") for part in parts) + "\n"


def _goals(cases: Iterable[Case], results: Mapping[str, Rounds]) -> str:
    rows = []
    for case in cases:
        for goal in case.goals:
            found = goal.measured(results[case.name])
            if found is not None:
                reached = "✓" if goal.is_reached(results[case.name]) else "✗"
                rows.append((case.title, goal.text, f"{found:.3g}", reached))
    return _table(("case", "to reach", "measured", ""), rows)


def _section(case: Case, rounds: Rounds) -> str:
    found = {system: medians(figures) for system, figures in rounds.items()}
    names = list(dict.fromkeys(name for figures in found.values() for name in figures))
    rows = [(system, *(_number(figures.get(name)) for name in names)) for system, figures in found.items()]
    return f"## {case.title[0].upper()}{case.title[1:]}\n\n" + _table(("", *names), rows)


def _raw(case: Case, rounds: Rounds) -> str:
    lines = [f"`{case.name}`", ""]
    for system, seen in rounds.items():
        told = "; ".join(f"{name} {_each(seen, name)}" for name in seen[0])
        lines.append(f"* {system}: {told}")
    return "\n".join(lines)


def _each(seen: Sequence[Figures], name: str) -> str:
    return ", ".join(_number(figures.get(name)) for figures in seen)


def _number(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [f"| {' | '.join(head)} |", f"|{'|'.join(' --- ' for _ in head)}|"]
    lines += [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join(lines)


def _machine(olah: str) -> str:
    memory_gib = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / (1 << 30)
    models = [
        line.partition(":")[2].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if line.startswith("model name")
    ]
    libraries = ", ".join(f"{name} {version(name)}" for name in _LIBRARIES)
    rows = [
        (
            "machine",
            f"{os.cpu_count()} × {models[0] if models else platform.machine()}, {memory_gib:.0f} GiB",
        ),
        ("system", f"Linux {platform.release()}, Python {platform.python_version()}"),
        ("dingospeed", f"{__version__}, with {libraries}"),
        ("beside it", f"Olah {olah} with 2 workers, {_said('nginx', '-v')}, {_said('curl', '--version')}"),
    ]
    return _table(("", ""), rows)


def _said(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    line = (done.stdout or done.stderr).splitlines()[0]
    return line.removeprefix("nginx version: ").partition(" (")[0].replace("/", " ")
