"""The short table in README.md: docs/clients.md, as a run wrote it, in a line for each client."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from tests.clients.roster import CLIENTS
from tests.clients.tasks import Aspect

BEGIN, END = "<!-- clients: written by scripts/clients -->", "<!-- end of clients -->"
_ASPECT_OF = {task.title: task.aspect for client in CLIENTS for task in client.tasks}


@dataclass(frozen=True, slots=True)
class _Table:
    """One of the tables of the report: a client in one or several versions, and a sign for each task."""

    head: list[str]
    rows: list[list[str]]

    @property
    def name(self) -> str:
        common, *names = self.head
        return f"{common} {', '.join(names)}".strip() if common else ", ".join(names)

    def sign(self, aspect: Aspect) -> str:
        """✓ when all works, the share of what does when not, "" for what nobody tried."""
        signs = [
            cell[0] for title, *cells in self.rows if _ASPECT_OF[title] == aspect for cell in cells if cell
        ]
        tried = [sign for sign in signs if sign != "–"]
        works = tried.count("✓")
        if not tried:
            return ""
        return "✓" if works == len(tried) else f"{works} of {len(tried)}"


def summarised(report: str) -> str:
    """The lines between the marks, from the text of docs/clients.md."""
    rows = [["", *(aspect.value for aspect in Aspect)], ["---", *([":-:"] * len(Aspect))]]
    rows += [[table.name, *(table.sign(aspect) for aspect in Aspect)] for table in _tables(report)]
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def put_into(readme: str, summary: str) -> str:
    """*readme* with *summary* between its marks. Raises ValueError where they are not."""
    before, begin, rest = readme.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise ValueError(f"README.md: expected {BEGIN} and, after it, {END}")
    return f"{before}{begin}\n{summary}\n{end}{after}"


def _tables(report: str) -> Iterator[_Table]:
    """Those whose rows are tasks."""
    for block in re.findall(r"(?:^\|.*\n)+", report, re.MULTILINE):
        head, _, *rows = (
            [cell.strip() for cell in line.strip("|\n").split(" | ")] for line in block.splitlines()
        )
        if rows and all(row[0] in _ASPECT_OF for row in rows):
            yield _Table(head, rows)
