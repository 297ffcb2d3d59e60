"""The settings in force, for people to read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import yaml
from pydantic import BaseModel, SecretStr

from dingospeed.config.settings import Settings
from dingospeed.log import redact


def describe(settings: Settings) -> str:
    """*settings* as YAML in the shape of a configuration file, with secrets blotted out."""
    return yaml.safe_dump(_plain(settings), sort_keys=False, allow_unicode=True)


def _plain(value: Any) -> Any:
    if isinstance(value, BaseModel):
        return {name: _plain(getattr(value, name)) for name in type(value).model_fields}
    if isinstance(value, Mapping):
        return {str(name): _plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, SecretStr):
        return "***"
    if value is None or isinstance(value, bool | int | float):
        return value
    return redact(str(value))
