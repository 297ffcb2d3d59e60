"""The Hub's "no", in our words.

Clients tell refusals apart by X-Error-Code (hub: RepoNotFound, RevisionNotFound,
EntryNotFound, GatedRepo). The Hub itself leaves it out of anonymous 401s, where "no such
repo" and "log in first" are meant to look alike. Its messages are not passed on: they
name its address.
"""

from __future__ import annotations

from collections.abc import Mapping

from dingospeed.errors import (
    EntryNotFound,
    Forbidden,
    GatedRepo,
    InvalidCredentials,
    Refusal,
    RepoNotFound,
    RevisionNotFound,
)
from dingospeed.model import RepoRef, is_commit


def is_about_the_token(status: int, headers: Mapping[str, str]) -> bool:
    """Whether what is refused is the token itself, whatever was asked with it."""
    return status == 401 and "Invalid credentials" in headers.get("X-Error-Message", "")


def refusal(
    status: int, headers: Mapping[str, str], *, repo: RepoRef, revision: str = "", path: str = ""
) -> Refusal:
    """What an answer of 4xx means for a question about *repo*."""
    code = headers.get("X-Error-Code", "")
    commit = headers.get("X-Repo-Commit", "")
    if code == "GatedRepo":
        return GatedRepo(repo.id, anonymous=status == 401)
    if code == "EntryNotFound" and is_commit(commit):
        return EntryNotFound(path, commit=commit)
    if code == "RevisionNotFound":
        return RevisionNotFound(revision)
    if is_about_the_token(status, headers):
        return InvalidCredentials()
    if status in (401, 404) or code == "RepoNotFound":
        return RepoNotFound(repo.id, anonymous=status == 401)
    return Forbidden("Access to this resource is refused.")
