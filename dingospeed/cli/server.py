"""``dingospeed serve`` and ``dingospeed config``."""

from __future__ import annotations

from typing import Any

import click

from dingospeed.cli.options import read_settings, settings_for, with_settings
from dingospeed.config import describe


@click.command()
@with_settings
def serve(config: str | None, **options: Any) -> None:
    """Start the mirror, in the foreground."""
    settings = settings_for(config, options)

    # Only here: `config` and `--help` need no server.
    from dingospeed.serve import run

    run(settings, read_again=lambda: read_settings(config, options))


@click.command("config")
@with_settings
def show(config: str | None, **options: Any) -> None:
    """Print the settings in force, secrets blotted out."""
    click.echo(describe(settings_for(config, options)), nl=False)
