"""The command line. Each command is a module of this package, loaded when it is called for.

What a command needs must not be in the way of another: gevent takes the place of sockets and TLS in
the workers, and prometheus_client looks for its folder, before anything of theirs may be imported.
"""

from __future__ import annotations

import click

from dingospeed import __version__
from dingospeed.cli.commands import Commands

# Where each is: the module, and what it is called there.
_COMMANDS = {
    "admin-token": ("admin", "admin_token"),
    "alert": ("alert", "alert"),
    "clean": ("clean", "clean"),
    "config": ("server", "show"),
    "du": ("du", "du"),
    "explain": ("explain", "explain"),
    "jobs": ("jobs", "jobs"),
    "ls": ("ls", "ls"),
    "mount": ("mounts", "mount"),
    "mounts": ("mounts", "mounts"),
    "nodes": ("nodes", "nodes"),
    "pin": ("pins", "pin"),
    "pins": ("pins", "pins"),
    "serve": ("server", "serve"),
    "status": ("status", "status"),
    "unmount": ("mounts", "unmount"),
    "unpin": ("pins", "unpin"),
    "verify": ("verify", "verify"),
    "warmup": ("warmup", "warmup"),
}


@click.group(cls=Commands, places=_COMMANDS, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="dingospeed")
def main() -> None:
    """A self-hosted mirror of the Hugging Face Hub."""
