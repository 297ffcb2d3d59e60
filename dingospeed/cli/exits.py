"""How commands end: exit codes that scripts can rely on, and the errors that lead to them.

0  done, and all is well
1  done, and not all is well: something damaged or refused, or less freed than was asked
2  the command line or the settings are wrong
3  could not be done: a disk, a cache or the upstream stood in the way
4  no mirror answers where one was expected
5  the mirror refuses, for want of the admin token or for another reason it tells
"""

from __future__ import annotations

from enum import IntEnum
from typing import Any

import click


class Exit(IntEnum):
    """The codes."""

    OK = 0
    NOT_ALL_WELL = 1
    WRONG_USE = 2
    FAILED = 3
    NO_MIRROR = 4
    REFUSED = 5


class CommandError(click.ClickException):
    """Ends the command with its `exit_code` and one line on stderr."""

    exit_code = Exit.FAILED

    def show(self, file: Any = None) -> None:
        click.echo(f"dingospeed: {self.format_message()}", file=file, err=file is None)
