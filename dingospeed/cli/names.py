"""Repos as they are named on the command line: ``[TYPE/]ORG/NAME[@REVISION]``."""

from __future__ import annotations

import re

import click

TYPES = {"model": "models", "dataset": "datasets", "space": "spaces", "kernel": "kernels"}
TYPES |= {type: type for type in TYPES.values()}
# A name without an org can not bear its type.
_REPO = re.compile(r"(?:(models|datasets|spaces|kernels)/(?=[^@]+/))?([^@\s]+)(?:@(\S+))?\Z")


def parse_repo(text: str, kind: str, revision: str) -> dict[str, str]:
    """``repo``, ``type`` and ``revision``, as routes take them; *kind* and *revision* where *text* is silent.

    Raises BadParameter.
    """
    match = _REPO.match(text)
    if match is None:
        raise click.BadParameter(f"expected org/name or TYPE/org/name@revision; found {text!r}")
    return {"repo": match[2], "type": match[1] or TYPES[kind], "revision": match[3] or revision}
