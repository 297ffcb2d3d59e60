"""The command line. Each command is a module of this package."""

from __future__ import annotations

import click

from dingospeed import __version__
from dingospeed.cli.admin import admin_token
from dingospeed.cli.alert import alert
from dingospeed.cli.exits import Commands
from dingospeed.cli.jobs import jobs
from dingospeed.cli.mounts import mount, mounts, unmount
from dingospeed.cli.nodes import nodes
from dingospeed.cli.server import serve, show
from dingospeed.cli.status import status
from dingospeed.cli.warmup import warmup


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="dingospeed")
def main() -> None:
    """A self-hosted mirror of the Hugging Face Hub."""


for command in (serve, show, admin_token, status, nodes, warmup, jobs, mount, unmount, mounts, alert):
    main.add_command(command)
