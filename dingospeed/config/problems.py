"""What is wrong with the settings, in words for whoever wrote them."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, get_args

from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from dingospeed.config.kinds import Refused, Section
from dingospeed.config.settings import Settings
from dingospeed.config.yamlfile import Key
from dingospeed.errors import ConfigError
from dingospeed.log import redact

_LONGEST = 80


@dataclass(frozen=True, slots=True)
class Problem:
    """One setting that is wrong: *where* it was given, what was expected there and what was found."""

    where: str
    key: str
    expected: str
    found: str

    def __str__(self) -> str:
        setting = f"{self.key}: " if self.key else ""
        return f"{self.where}: {setting}expected {self.expected}; found {self.found}"


def config_error(problems: Iterable[Problem]) -> ConfigError:
    """One error that tells of every problem, but only of the first with a value."""
    first: dict[tuple[str, str], str] = {}
    for problem in problems:
        first.setdefault((problem.where, problem.key), f"  {problem}")
    lines = list(first.values())
    head = "a setting is wrong:" if len(lines) == 1 else f"{len(lines)} settings are wrong:"
    return ConfigError("\n".join([head, *lines]))


def dotted(key: Key) -> str:
    """``upstream.lines[0].url``"""
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in key).lstrip(".")


def sections_in(annotation: Any) -> type[Section] | None:
    """The section that a value of this type is, or is a list of. None for plain values."""
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return annotation
    return next(filter(None, map(sections_in, get_args(annotation))), None)


def is_secret(field: FieldInfo) -> bool:
    """Whether the value of the field must not be shown."""
    return field.annotation is SecretStr or any(_mentions(arg) for arg in get_args(field.annotation))


def _mentions(annotation: Any) -> bool:
    return annotation is SecretStr or any(map(_mentions, get_args(annotation)))


def from_validation(details: ErrorDetails, origins: Mapping[Key, str]) -> Problem:
    """What pydantic refused, told in the words of the setting's own description."""
    key, section, field = _find(details["loc"])
    refused = details.get("ctx", {}).get("error")
    if details["type"] == "extra_forbidden":
        key = tuple(details["loc"])
        expected, found = _names_of(section, str(key[-1])), "an unknown key"
    else:
        expected = refused.expected if isinstance(refused, Refused) else _description(section, field)
        missing = details["type"] == "missing"
        found = (
            "nothing" if missing else shown(details["input"], secret=field is not None and is_secret(field))
        )
    siblings = refused.because if isinstance(refused, Refused) else ()
    where = _origin(key, origins) or " and ".join(
        origin for name in siblings if (origin := _origin((*key[:-1], name), origins))
    )
    return Problem(where or "default", dotted(key), expected, found)


def unknown_variable(name: str, known: Iterable[str]) -> Problem:
    """For an environment variable of ours that is no setting."""
    close = difflib.get_close_matches(name, known, n=1)
    expected = f"{close[0]}, perhaps" if close else "DINGOSPEED_<SECTION>__<KEY>"
    return Problem(name, "", expected, "a variable of a setting that does not exist")


def shown(value: Any, *, secret: bool = False) -> str:
    """*value* as an error may quote it."""
    if value is None:
        return "null"
    if isinstance(value, Mapping | BaseModel):
        return "a mapping"
    if isinstance(value, list | tuple):
        return "a list"
    if secret:
        return "a value not shown here"
    text = str(value).lower() if isinstance(value, bool) else ascii(value)
    # A URL that was refused need not have its credentials where redact() looks for them.
    text = redact(re.sub(r"//.*@", "//***@", text))
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"


def _find(loc: tuple[int | str, ...]) -> tuple[Key, type[Section], FieldInfo | None]:
    """What *loc* leads to: the key of a setting, the innermost section on the way, the last field.

    What pydantic appends to tell the branches of a union apart is left off.
    """
    key: Key = ()
    field: FieldInfo | None = None
    section: type[Section] = Settings
    inner: type[Section] | None = Settings
    for part in loc:
        if isinstance(part, str):
            if inner is None or part not in inner.model_fields:
                break
            field = inner.model_fields[part]
            inner = sections_in(field.annotation)
            section = inner or section
        key = (*key, part)
    return key, section, field


def _description(section: type[Section], field: FieldInfo | None) -> str:
    return (field.description if field else None) or f"a mapping with {', '.join(section.model_fields)}"


def _names_of(section: type[Section], name: str) -> str:
    close = difflib.get_close_matches(name, section.model_fields, n=1)
    return f"{close[0]!r}, perhaps" if close else f"one of {', '.join(section.model_fields)}"


def _origin(key: Key, origins: Mapping[Key, str]) -> str | None:
    """Where the value, or the list it is in, was given. None for a default."""
    return next((origins[key[:n]] for n in range(len(key), 0, -1) if key[:n] in origins), None)
