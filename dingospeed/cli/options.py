"""Options that set what the configuration file can set, too."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click
from pydantic import TypeAdapter, ValidationError

from dingospeed.config import CONFIG_VARIABLE, FLAGS, Settings, load_settings
from dingospeed.config.kinds import Duration, Mark, RepoGlob, Text
from dingospeed.errors import ConfigError, StoreError
from dingospeed.store.layout import Layout

Command = TypeVar("Command", bound=Callable[..., Any])

_HELP = {
    "--host": ("ADDRESS", "Address to listen on."),
    "--port": ("PORT", "Port to listen on; 0 takes any free one."),
    "--workers": ("N", "Number of worker processes."),
    "--repos": ("DIR", "Directory of the cache."),
    "--public": ("DIR", "Directory of the mounts."),
    "--upstream": (
        "URL",
        "Where to fetch from; may be repeated, the first that answers is used. Tokens of callers go "
        "to huggingface.co and to this machine only; for another Hub write 'hub: true' in a file.",
    ),
    "--offline": (None, "Never ask outside: serve what is cached."),
}
_REPEATABLE = {"--upstream"}


class Kind(click.ParamType):  # type: ignore[type-arg]  # generic in the newest click only
    """A value of a kind that settings have, too; *expected* says in words what it can be."""

    def __init__(self, kind: Any, name: str, expected: str) -> None:
        self.name = name
        self._adapter: TypeAdapter[Any] = TypeAdapter(kind)
        self._expected = expected

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        try:
            return self._adapter.validate_python(value)
        except ValidationError:
            self.fail(f"expected {self._expected}; found {value!r}", param, ctx)


MARK = Kind(Mark, "size|share", 'a size such as "500GB", or a share of the disk such as "10%"')
DURATION = Kind(Duration, "time", 'seconds, or a time such as "30d"')
REPOS = Kind(RepoGlob, "repo", 'a repo or a pattern, such as "org/name", "org/*" or "datasets/org/name"')
REVISION = Kind(Text, "revision", "a branch, a tag or a commit")


def _name(flag: str) -> str:
    return flag.removeprefix("--").replace("-", "_")


def with_settings(command: Command) -> Command:
    """Give *command* an option for every flag, and one for the file."""
    return with_flags(*FLAGS)(command)


def with_flags(*flags: str) -> Callable[[Command], Command]:
    """Give a command an option for each of these *flags*, and one for the file."""
    return lambda command: _with_flags(command, flags)


def _with_flags(command: Command, flags: tuple[str, ...]) -> Command:
    for flag in reversed(flags):
        metavar, text = _HELP[flag]
        # Values stay text: load_settings checks them, and complains of all that is wrong at once.
        option = (
            click.option(flag, is_flag=True, default=None, help=text)
            if metavar is None
            else click.option(flag, metavar=metavar, multiple=flag in _REPEATABLE, help=text)
        )
        command = option(command)
    return click.option(
        "--config",
        metavar="FILE",
        help=f"Configuration file. Without it {CONFIG_VARIABLE} may name one.",
    )(command)


def with_cache(command: Command) -> Command:
    """Give *command* the options that say which cache on this machine it is about."""
    return with_flags("--repos")(command)


def cache_of(settings: Settings) -> Layout:
    """The cache of these *settings*, which must be there. Raises StoreError."""
    layout = Layout(settings.cache.repos)
    if not layout.blobs.is_dir():
        raise StoreError(f"there is no cache at {layout.root}; --repos or a configuration file names it")
    return layout


def read_settings(config: str | None, options: dict[str, Any]) -> Settings:
    """The settings in force for these options. Raises ConfigError."""
    # An option that was not given is None, or empty where it may be repeated.
    given = {flag: options[_name(flag)] for flag in FLAGS if options.get(_name(flag)) not in (None, ())}
    return load_settings(None if config is None else Path(config), os.environ, given)


def settings_for(config: str | None, options: dict[str, Any]) -> Settings:
    """As `read_settings`. Ends the process with code 2 when they can not be."""
    try:
        return read_settings(config, options)
    except ConfigError as error:
        click.echo(f"dingospeed can not start: {error}", err=True)
        sys.exit(2)
