"""Settings of mounts: repos that lie in the public directory, in the layout of the Hub's own clients."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import Field, model_validator

from dingospeed.config.kinds import RepoName, RevisionName, Section
from dingospeed.model import REPO_TYPES, RepoType


class Mount(Section):
    """One repo to be mounted. In a file its bare name stands for its main branch."""

    repo: RepoName = Field(description='the name of a repo, "org/name"')
    type: RepoType = Field(default="models", description=f"one of {', '.join(REPO_TYPES)}")
    revision: RevisionName = Field(default="main", description="a branch, a tag or a commit")
    restricted: bool = Field(
        default=False, description="true or false: whether to mount it although it is private or gated"
    )

    @model_validator(mode="before")
    @classmethod
    def _from_the_name(cls, given: Any) -> Any:
        if isinstance(given, str):
            given = {"repo": given}
        if isinstance(given, Mapping) and "type" not in given:
            # datasets/org/name, as in the address of its page.
            type, slash, rest = str(given.get("repo", "")).partition("/")
            if slash and "/" in rest and type in REPO_TYPES:
                given = {**given, "repo": rest, "type": type}
        return given


class Mounts(Section):
    repos: tuple[Mount, ...] = Field(
        default=(), description="a list of repos, each a name or {repo, type, revision, restricted}"
    )
    hot: int = Field(default=0, ge=0, le=10_000, description="a whole number of repos, 0 to 10000")
    check_s: float = Field(default=30, ge=1, le=86400, description="seconds, 1 to 86400")
