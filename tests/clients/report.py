"""docs/clients.md: which client does what through the mirror, as a run found it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

from tests.clients.expectations import REMARKS, TOLERATED, why_not
from tests.clients.runner import CLIENT_ENVIRON, Cell, ClientRun
from tests.clients.tasks import Task

SIGNS = {"ok": "✓", "fails": "✗", "not applicable": "–"}
HEAD = """\
# Clients

What works through the mirror, tried with the real thing. Written by `scripts/clients` on {today}, with
{mirror}, in {minutes} minutes; not by hand.

Every cell is a program of `tests/clients/programs`, run in an environment of its own, `HF_ENDPOINT` on the
mirror: gunicorn with 2 workers, between the client and a fake Hub that offers Xet wherever the real one does.
It is ✓ when

* every file came whole, by its sha256, and every answer was the right one,
* the client spoke to the mirror and to nobody else{guard},
* the same done again, with an empty client cache, asked nothing at all of the Hub.

✗ does not work, – does not apply; the numbers lead to the reasons."""
TAIL = """
## Do it yourself

```console
$ scripts/clients                     # all of it; writes this page and the table in README.md
$ scripts/clients --quick             # each generation, fewer tasks; what CI runs
$ scripts/clients 1.28.0 curl         # clients by a part of their name
$ scripts/clients --task filesystem   # one task, by the name of its function
```

Environments are kept in `.venv-clients/`. Each client ran with
{environ};
Xet was left on.
"""


def render(
    runs: Sequence[ClientRun],
    overall: Sequence[Cell],
    *,
    today: date,
    minutes: float,
    mirror: str,
    guard: str,
) -> str:
    reasons = _Reasons()
    parts = [HEAD.format(today=today.isoformat(), mirror=mirror, minutes=f"{minutes:.0f}", guard=guard)]
    for tasks, group in _groups(runs):
        parts.append(_table(tasks, group, reasons))
    parts.append(_overall(overall, reasons))
    parts.append(_versions(runs))
    parts.append(reasons.listed())
    parts.append(_tolerated())
    environ = ", ".join(f"`{name}={value}`" for name, value in CLIENT_ENVIRON.items())
    parts.append(TAIL.format(environ=environ))
    return "\n".join(part for part in parts if part)


class _Reasons:
    """The sentences for what does not work, numbered as they are met."""

    def __init__(self) -> None:
        self._texts: list[str] = []

    def sign(self, cell: Cell | None) -> str:
        if cell is None:
            return ""
        if cell.status == "ok":
            return SIGNS["ok"]
        known = why_not(cell.client, cell.task) if cell.status == "fails" else None
        text = known or (cell.reason if cell.status == "not applicable" else f"`{cell.reason}`")
        if text not in self._texts:
            self._texts.append(text)
        return f"{SIGNS[cell.status]} {self._texts.index(text) + 1}"

    def listed(self) -> str:
        if not self._texts:
            return ""
        rows = "\n".join(f"{number}. {text}" for number, text in enumerate(self._texts, 1))
        return f"\n## Reasons\n\n{rows}"


def _groups(runs: Sequence[ClientRun]) -> list[tuple[tuple[Task, ...], list[ClientRun]]]:
    """Clients with the same tasks go into one table."""
    groups: dict[tuple[Task, ...], list[ClientRun]] = {}
    for run in runs:
        groups.setdefault(run.client.tasks, []).append(run)
    return list(groups.items())


def _table(tasks: tuple[Task, ...], group: list[ClientRun], reasons: _Reasons) -> str:
    names = [run.client.name for run in group]
    words = names[0].split()
    common = words[0] if len(names) > 1 and all(name.split()[0] == words[0] for name in names) else ""
    head = [common, *(name.removeprefix(common).strip() for name in names)]
    rows = [head, ["---", *([":-:"] * len(names))]]
    for task in tasks:
        cells = [next((cell for cell in run.cells if cell.task == task.key), None) for run in group]
        if any(cells):
            rows.append([task.title, *(reasons.sign(cell) for cell in cells)])
    return f"\n## {common or ', '.join(names)}\n\n{_lines(rows)}"


def _overall(cells: Sequence[Cell], reasons: _Reasons) -> str:
    rows = [["of the whole run", ""], ["---", ":-:"]]
    rows += [[cell.title, reasons.sign(cell)] for cell in cells]
    return f"\n## Seen from the Hub\n\n{_lines(rows)}"


def _tolerated() -> str:
    known = [*REMARKS.items(), *((clients, sentence) for (clients, _), sentence in TOLERATED.items())]
    rows = "\n".join(f"* {clients.removesuffix(' *')}: {sentence}" for clients, sentence in known)
    return f"\n## Elsewhere\n\n{rows}" if rows else ""


def _versions(runs: Sequence[ClientRun]) -> str:
    rows = [["client", "versions"], ["---", "---"]]
    for run in runs:
        told = ", ".join(f"{name} {number}" for name, number in run.versions.items())
        rows.append([run.client.name, told or "not installed"])
    return f"\n## Versions\n\n{_lines(rows)}"


def _lines(rows: Sequence[Sequence[str]]) -> str:
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)
