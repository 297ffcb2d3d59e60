"""What values can be: the kinds of setting that pydantic does not have.

A checker raises Refused to say what it would have taken instead; otherwise the
description of the field says it.
"""

from __future__ import annotations

import re
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, SecretStr, field_validator
from pydantic_core.core_schema import ValidationInfo

from dingospeed.errors import BadRequest, RepoNotFound
from dingospeed.model import REPO_TYPES, RepoRef, checked_revision

_SIZE = re.compile(r"\s*([0-9]{1,15})\s*([KMGT]?i?)B?\s*\Z", re.IGNORECASE)
_DURATION = re.compile(r"\s*([0-9]{1,9})\s*([smhdw])\s*\Z")
_TIME_OF_DAY = re.compile(r"([01][0-9]|2[0-3]):([0-5][0-9])\Z")
_SHARE = re.compile(r"\s*([0-9]{1,3}(?:\.[0-9]{1,3})?)\s*%\s*\Z")
_GLOB = re.compile(r"[A-Za-z0-9._*?-]+(?:/[A-Za-z0-9._*?-]+){0,2}\Z")
_FACTORS = {"": 1, "k": 1000, "m": 1000**2, "g": 1000**3, "t": 1000**4}
_FACTORS |= {"ki": 1 << 10, "mi": 1 << 20, "gi": 1 << 30, "ti": 1 << 40}
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}


class Refused(ValueError):
    """The value can not be. *expected* says in words what could.

    *because* names the settings of the same section that it does not go with.
    """

    def __init__(self, expected: str, *, because: tuple[str, ...] = ()) -> None:
        self.expected = expected
        self.because = because
        super().__init__(expected)


class Section(BaseModel):
    """A group of settings. Every field describes in words what it can be."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        validate_default=True,
        allow_inf_nan=False,
        # An error of pydantic's own must not quote a token.
        hide_input_in_errors=True,
    )

    @field_validator("*", mode="before")
    @classmethod
    def _a_truth_is_no_number(cls, value: Any, info: ValidationInfo) -> Any:
        # To Python True is 1; in a file `workers: yes` is a slip.
        annotation = cls.model_fields[info.field_name].annotation if info.field_name else None
        if isinstance(value, bool) and annotation is not bool:
            raise ValueError("true and false are no numbers")
        return value


def _to_bytes(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    match = _SIZE.match(value)
    if match is None or match[2].lower() not in _FACTORS:
        raise ValueError("not a size")
    return int(match[1]) * _FACTORS[match[2].lower()]


def _to_seconds(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    match = _DURATION.match(value)
    if match is None:
        raise ValueError("not a time")
    return int(match[1]) * _SECONDS[match[2]]


def _to_time_of_day(value: Any) -> Any:
    # Without quotes YAML makes a number of 12:30.
    if not isinstance(value, str) or not _TIME_OF_DAY.match(value):
        raise ValueError("not a time of day")
    return value


def _to_mark(value: Any) -> Any:
    match = _SHARE.match(value) if isinstance(value, str) else None
    mark = float(match[1]) / 100 if match is not None else _to_bytes(value)
    if isinstance(mark, float) and not 0 < mark <= 1:
        raise ValueError("not a share")
    if isinstance(mark, int) and not 0 <= mark < 1 << 63:
        raise ValueError("not a size")
    return mark


def _to_path(value: Any) -> Any:
    if isinstance(value, Path):
        return value
    if not isinstance(value, str) or not value or "\0" in value:
        raise ValueError("not a path")
    path = Path(value)
    # The shell widens ~ on a command line; in a file it would become a directory of that name.
    if path.parts[:1] == ("~",):
        try:
            return Path.home().joinpath(*path.parts[1:])
        except RuntimeError as error:
            raise ValueError("there is no home directory") from error
    return path


def _to_text(value: Any) -> Any:
    if not isinstance(value, str) or not value or not value.isprintable() or value != value.strip():
        raise ValueError("not a text")
    return value


def _to_secret(value: Any) -> Any:
    # It ends up in a header: anything else could not be sent, or would end the header.
    if isinstance(value, str) and not re.fullmatch(r"[\x21-\x7e]+", value):
        raise ValueError("not a token")
    return value


def _to_network(value: Any) -> Any:
    # A number would be taken for an address, too: 1 is 0.0.0.1.
    if not isinstance(value, str):
        raise ValueError("not an address")
    network = ip_network(value)
    return str(network.network_address if network.num_addresses == 1 else network)


def _to_glob(value: Any) -> Any:
    if not isinstance(value, str) or not _GLOB.match(value):
        raise ValueError("not a pattern of repos")
    type, slash, rest = value.partition("/")
    # A misspelt type would match nothing; in a list of what is refused nobody would notice.
    if slash and "/" in rest and type not in REPO_TYPES and "*" not in type:
        raise ValueError("not a type of repo")
    return value


def _to_repo_name(value: Any) -> Any:
    try:
        return RepoRef.parse("models", _to_text(value)).id
    except RepoNotFound as error:
        raise ValueError("not the name of a repo") from error


def _to_revision(value: Any) -> Any:
    try:
        return checked_revision(_to_text(value))
    except BadRequest as error:
        raise ValueError("not a revision") from error


# A number of bytes, as it is or with a unit: 67108864, "64MiB", "64 MB".
ByteCount = Annotated[int, BeforeValidator(_to_bytes)]
# Seconds, as they are or with a unit: 3600, "60m", "1h".
Duration = Annotated[float, BeforeValidator(_to_seconds)]
# Local time, "00:00" to "23:59".
TimeOfDay = Annotated[str, BeforeValidator(_to_time_of_day)]
# A float is a share of a disk, "80%"; an int is bytes, "500GB".
Mark = Annotated[int | float, BeforeValidator(_to_mark)]
# Relative to the working directory; ~ is the home directory.
FilePath = Annotated[Path, BeforeValidator(_to_path)]
# One line, not empty, no space around it.
Text = Annotated[str, BeforeValidator(_to_text)]
Secret = Annotated[SecretStr, BeforeValidator(_to_secret)]
# An address, or a network in CIDR notation.
Network = Annotated[str, BeforeValidator(_to_network)]
# Repos by name, with or without their type: "org/*", "datasets/org/name", "*".
RepoGlob = Annotated[str, BeforeValidator(_to_glob)]
# One repo, without its type: "org/name".
RepoName = Annotated[str, BeforeValidator(_to_repo_name)]
# A branch, a tag or a commit.
RevisionName = Annotated[str, BeforeValidator(_to_revision)]
