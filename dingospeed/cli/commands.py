"""The group of all commands: each loaded when it is called for, its errors told in one line."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any

import click

from dingospeed.cli.exits import CommandError
from dingospeed.errors import DingospeedError


class Commands(click.Group):
    """*places*: for the name of a command the module of this package, and its name there."""

    def __init__(self, *args: Any, places: Mapping[str, tuple[str, str]], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._places = places

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(self._places)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        place = self._places.get(cmd_name)
        if place is None:
            return None
        module, name = place
        command: click.Command = getattr(import_module(f"dingospeed.cli.{module}"), name)
        return command

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except DingospeedError as error:
            raise CommandError(str(error)) from error
