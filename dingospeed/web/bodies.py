"""JSON that is sent to our own routes, checked before anybody believes it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from flask import request
from pydantic import BaseModel, ConfigDict, ValidationError

from dingospeed.errors import BadRequest, Refusal

_LONGEST = 60


class Asked(BaseModel):
    """What may be in a body: the fields and nothing else; each describes in words what it can be."""

    # A token in a body must not come back in an error.
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class Unfit(Refusal):
    """The repo can not be had as it was asked for. Not a 401 or 404: those are about us and what is ours."""

    status = 422


A = TypeVar("A", bound=Asked)


def body_as(kind: type[A]) -> A:
    """The request's JSON object; one that was left out is empty. Raises BadRequest with all that is wrong."""
    value = request.get_json(force=True, silent=True) if request.get_data(cache=True) else {}
    if not isinstance(value, dict):
        raise BadRequest("The body is no JSON object")
    return checked_as(kind, value)


def checked_as(kind: type[A], value: Mapping[str, Any]) -> A:
    """*value*, from wherever it came, as a *kind*. Raises BadRequest with all that is wrong."""
    try:
        return kind.model_validate(value)
    except ValidationError as error:
        told = (_told(kind, [str(part) for part in each["loc"]]) for each in error.errors())
        raise BadRequest("; ".join(dict.fromkeys(told))) from None


def _told(kind: type[Asked], loc: list[str]) -> str:
    name = ascii(loc[0])[1:-1][:_LONGEST] if loc else "the body"
    field = kind.model_fields.get(loc[0]) if loc else None
    if field is None:
        return f"{name}: expected one of {', '.join(kind.model_fields)}"
    return f"{name}: expected {field.description}"
