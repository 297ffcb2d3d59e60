"""Sections of settings for what is not built yet: they keep their names, and take their defaults only."""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import field_validator
from pydantic_core.core_schema import ValidationInfo

from dingospeed.config.kinds import Refused, Section


class Reserved(Section):
    """A section for something that is not built yet: only its defaults are taken."""

    feature: ClassVar[str]

    @field_validator("*")
    @classmethod
    def _default_only(cls, value: Any, info: ValidationInfo) -> Any:
        default = cls.model_fields[info.field_name or ""].default
        if value != default:
            shown = "null" if default is None else default
            raise Refused(f"{shown}, the default, as {cls.feature} not built yet")
        return value
