"""The description of our own routes, for programs that make clients or tests of it."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import Any

import yaml
from flask import Blueprint, Response

from dingospeed.web import replies

blueprint = Blueprint("openapi", __name__)


@blueprint.get("/-/openapi.json")
def document() -> Response:
    """openapi.yaml, as JSON."""
    return replies.as_json(_document())


@cache
def _document() -> Any:
    return yaml.safe_load(files(__package__ or "").joinpath("openapi.yaml").read_bytes())
