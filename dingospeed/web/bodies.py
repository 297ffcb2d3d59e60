"""JSON that is sent to our own routes, checked before anybody believes it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from flask import request
from pydantic import BaseModel, ConfigDict, ValidationError

from dingospeed.errors import BadRequest, Refusal, RepoNotFound

_LONGEST = 60


class Asked(BaseModel):
    """What may be in a body: the fields and nothing else; each describes in words what it can be."""

    # A token in a body must not come back in an error.
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class Unfit(Refusal):
    """The repo can not be had as it was asked for. Never 401: that is for want of the admin token."""

    def __init__(self, repo: str, refusal: Refusal) -> None:
        self.status = 403 if refusal.status == 401 else refusal.status
        why = str(refusal)
        if isinstance(refusal, RepoNotFound):
            # In the Hub's words it could also be a wrong password, which nobody gave.
            self.status, why = 404, "there is no such repo, or not for whom this is asked"
        super().__init__(f"{repo}: {why}")


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
