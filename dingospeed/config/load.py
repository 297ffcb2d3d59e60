"""Where settings come from: flags win over the environment, that over the file, that over defaults.

All of it is gathered first and checked once, so that one error tells of everything.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, get_args, get_origin

from pydantic import ValidationError
from pydantic.fields import FieldInfo

from dingospeed.config import yamlfile
from dingospeed.config.kinds import Section
from dingospeed.config.lines import is_loopback
from dingospeed.config.problems import (
    Problem,
    config_error,
    dotted,
    from_validation,
    sections_in,
    shown,
    unknown_variable,
)
from dingospeed.config.settings import Settings
from dingospeed.config.yamlfile import Key

CONFIG_VARIABLE = "DINGOSPEED_CONFIG"
PREFIX = "DINGOSPEED_"

# The options of the command line and the settings they set.
FLAGS: Mapping[str, Key] = MappingProxyType(
    {
        "--host": ("server", "host"),
        "--port": ("server", "port"),
        "--workers": ("server", "workers"),
        "--repos": ("cache", "repos"),
        "--public": ("cache", "public"),
        "--upstream": ("upstream", "lines"),
        "--offline": ("upstream", "offline"),
    }
)

# Kubernetes gives these to every container beside a service named dingospeed.
_SERVICE_LINK = re.compile(
    PREFIX + r"(SERVICE_(HOST|PORT(_[A-Z0-9_]+)?)|PORT(_[0-9]+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?)"
)


@dataclass(frozen=True, slots=True)
class _Given:
    """A value that somebody gave for a setting, and where."""

    key: Key
    value: Any
    where: str


class _Gathering:
    """All that was given, later over earlier, and what can not even be put in its place."""

    def __init__(self) -> None:
        self.problems: list[Problem] = []
        self.origins: dict[Key, str] = {}
        self.tree: dict[str, Any] = {}

    def put(self, given: _Given) -> None:
        """Set a setting, over what was given for it before."""
        place = self.tree
        for part in given.key[:-1]:
            place = place.setdefault(str(part), {})
        place[str(given.key[-1])] = given.value
        # Nothing of an earlier value is left, so neither are the lines its parts stood in.
        for key in [key for key in self.origins if key[: len(given.key)] == given.key]:
            del self.origins[key]
        self.origins[given.key] = given.where

    def refuse(self, where: str, key: Key, expected: str, found: str) -> None:
        self.problems.append(Problem(where, dotted(key), expected, found))

    def settings(self) -> Settings:
        """What all of it amounts to. Raises ConfigError with every problem."""
        try:
            settings = Settings.model_validate(self.tree)
        except ValidationError as error:
            told = [from_validation(details, self.origins) for details in error.errors(include_url=False)]
            raise config_error([*self.problems, *told]) from None
        if self.problems:
            raise config_error(self.problems)
        return settings


def load_settings(
    file: Path | None = None,
    environ: Mapping[str, str] = os.environ,
    flags: Mapping[str, Any] = MappingProxyType({}),
) -> Settings:
    """The settings in force.

    *file* is YAML; without one `DINGOSPEED_CONFIG` in *environ* may name it, and without
    either there is none. Of *environ* the variables `DINGOSPEED_<SECTION>__<KEY>` are read;
    an empty one counts as absent. *flags* is keyed by the options in FLAGS.

    Raises ConfigError, which tells of everything that is wrong.
    """
    gathering = _Gathering()
    if file is None and environ.get(CONFIG_VARIABLE):
        file = Path(environ[CONFIG_VARIABLE])
    if file is not None:
        _gather_file(gathering, file)
    _gather_environ(gathering, environ)
    for flag, value in flags.items():
        gathering.put(_Given(FLAGS[flag], _lines_of(value) if flag == "--upstream" else value, flag))
    return gathering.settings()


def _lines_of(urls: Any) -> list[dict[str, Any]]:
    """The lines for a list of URLs on the command line.

    Only huggingface.co and this machine are taken for the Hub, to which callers' tokens go:
    who means another host has to say so, in a file.
    """
    return [{"url": url, "hub": True} if is_loopback(str(url)) else {"url": url} for url in urls]


def _gather_file(gathering: _Gathering, file: Path) -> None:
    try:
        document = yamlfile.read(file.read_bytes())
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        why = error.strerror if isinstance(error, OSError) else None
        gathering.refuse(str(file), (), "a file that can be read", why or str(error))
        return
    for fault in document.faults:
        gathering.refuse(f"{file}:{fault.line}", fault.key, fault.expected, fault.found)
    if not isinstance(document.value, dict | None):
        gathering.refuse(f"{file}:1", (), "sections with settings", shown(document.value))
        return
    where = {key: f"{file}:{line}" for key, line in document.lines.items()}
    for key, value in _leaves(gathering, document.value or {}, where):
        gathering.put(_Given(key, value, where[key]))
    gathering.origins.update(
        (key, place)
        for key, place in where.items()
        if any(key[:n] in gathering.origins for n in range(len(key)))
    )


def _leaves(
    gathering: _Gathering,
    tree: Mapping[str, Any],
    where: Mapping[Key, str],
    *,
    section: type[Section] = Settings,
    above: Key = (),
) -> Iterator[tuple[Key, Any]]:
    """The settings in a file's tree. An empty section, all of it commented out, has none."""
    for name, value in tree.items():
        key = (*above, name)
        field = section.model_fields.get(name)
        inner = _section_of(field)
        if inner is None:
            yield key, value
        elif isinstance(value, dict):
            yield from _leaves(gathering, value, where, section=inner, above=key)
        elif value is not None:
            names = ", ".join(inner.model_fields)
            gathering.refuse(where[key], key, f"a mapping with {names}", shown(value))


def _gather_environ(gathering: _Gathering, environ: Mapping[str, str]) -> None:
    known = {PREFIX + "__".join(map(str, key)).upper(): (key, field) for key, field in settings_of(Settings)}
    for name in sorted(environ):
        if not name.startswith(PREFIX) or name == CONFIG_VARIABLE or _SERVICE_LINK.fullmatch(name):
            continue
        if name not in known:
            gathering.problems.append(unknown_variable(name, known))
        elif environ[name]:
            key, field = known[name]
            gathering.put(_Given(key, _from_text(gathering, name, environ[name], (key, field)), name))


def settings_of(section: type[Section], above: Key = ()) -> Iterator[tuple[Key, FieldInfo]]:
    """Every setting below *section* with its key. A list of lines is one setting."""
    for name, field in section.model_fields.items():
        inner = _section_of(field)
        if inner is None:
            yield (*above, name), field
        else:
            yield from settings_of(inner, (*above, name))


def _from_text(gathering: _Gathering, name: str, text: str, setting: tuple[Key, FieldInfo]) -> Any:
    """The value that a variable means: lists are YAML (so JSON, too), `null` is nothing."""
    key, field = setting
    if get_origin(field.annotation) is tuple:
        document = yamlfile.read(text)
        for fault in document.faults:
            gathering.refuse(name, (*key, *fault.key), fault.expected, fault.found)
        return document.value
    nullable = type(None) in get_args(field.annotation)
    return None if nullable and text == "null" else text


def _section_of(field: FieldInfo | None) -> type[Section] | None:
    """The section that the field is; None where it is a setting, if only a list of sections."""
    if field is None or get_origin(field.annotation) is tuple:
        return None
    return sections_in(field.annotation)
