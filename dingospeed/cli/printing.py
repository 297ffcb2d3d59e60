"""What commands print: tables for people, JSON for programs."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

import click
from rich.console import Console
from rich.filesize import decimal
from rich.markup import escape
from rich.table import Table

Command = TypeVar("Command", bound=Callable[..., Any])

# Nobody's terminal, but a file or another program: its lines are as long as they are.
_WIDE = 400
_UNITS = (("d", 86400), ("h", 3600), ("min", 60))


def with_json(command: Command) -> Command:
    """Give *command* the flag ``--json``."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")(command)


def print_json(value: Any) -> None:
    click.echo(json.dumps(value, ensure_ascii=False, indent=2))


def print_table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """*rows* of texts under *columns*; one whose name begins with ``>`` is set to the right."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(
            column.removeprefix(">"),
            justify="right" if column.startswith(">") else "left",
            overflow="fold",
            no_wrap=column.startswith(">"),
        )
    for row in rows:
        table.add_row(*map(escape, row))
    console().print(table)


def console(*, stderr: bool = False) -> Console:
    """Where to print; without a terminal plain text, and no line is broken."""
    found = Console(stderr=stderr, highlight=False)
    return found if found.is_terminal else Console(stderr=stderr, highlight=False, width=_WIDE)


def size_text(size_bytes: int) -> str:
    """``1.2 GB``."""
    return decimal(size_bytes)


def age_text(seconds: float) -> str:
    """``3 d``: in the largest unit of which there is one whole at least."""
    for unit, length in _UNITS:
        if seconds >= length:
            return f"{seconds / length:.0f} {unit}"
    return f"{max(0.0, seconds):.0f} s"
