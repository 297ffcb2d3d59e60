"""Settings of warm-up: what is fetched before anybody asks for it, when, and how fast at most."""

from __future__ import annotations

from pydantic import Field, model_validator

from dingospeed.config.kinds import (
    ByteCount,
    Duration,
    Refused,
    RepoName,
    RevisionName,
    Secret,
    Section,
    Text,
    TimeOfDay,
)
from dingospeed.model import REPO_TYPES, RepoType

_RATE = 'bytes a second, or a size such as "20MB", at least 65536'
_SLOWEST = 65536
_TIME = 'a time of day, "00:00" to "23:59", in quotes'
_PATTERNS = 'a list of patterns of paths, such as "*.safetensors" or "onnx/*"'
_SHORTEST_S = 60


class Limit(Section):
    """How fast warm-up may be at some time of the day; past midnight when it stops before it starts."""

    start: TimeOfDay = Field(description=_TIME)
    stop: TimeOfDay = Field(description=_TIME)
    rate: ByteCount | None = Field(default=None, ge=_SLOWEST, description=f"{_RATE}; or null for no limit")


class Planned(Section):
    """A warm-up that is repeated, each so many seconds or each day at a time."""

    repo: RepoName = Field(description='the name of a repo, "org/name"')
    type: RepoType = Field(default="models", description=f"one of {', '.join(REPO_TYPES)}")
    revision: RevisionName = Field(default="main", description="a branch, a tag or a commit")
    include: tuple[Text, ...] = Field(default=(), description=_PATTERNS)
    exclude: tuple[Text, ...] = Field(default=(), description=_PATTERNS)
    every: Duration | None = Field(
        default=None, ge=_SHORTEST_S, description='null, or seconds or a time such as "6h", at least a minute'
    )
    at: TimeOfDay | None = Field(default=None, description=f"null, or {_TIME}")
    token: Secret | None = Field(default=None, description="null, or a token of printable ASCII characters")

    @model_validator(mode="after")
    def _says_when(self) -> Planned:
        if (self.every is None) == (self.at is None):
            raise Refused("either `every` or `at`")
        return self


class Warmup(Section):
    parallel: int = Field(default=4, ge=1, le=256, description="a whole number of segments, 1 to 256")
    rate: ByteCount | None = Field(default=None, ge=_SLOWEST, description=f"null for no limit, or {_RATE}")
    limits: tuple[Limit, ...] = Field(default=(), description="a list of limits, each {start, stop, rate}")
    keep_budget: float = Field(
        default=0.25, ge=0, lt=1, description="a share of the upstream's rate limit, 0 to less than 1"
    )
    patience_s: float = Field(default=3600, ge=1, le=604800, description="seconds, 1 to 604800")
    jobs: tuple[Planned, ...] = Field(
        default=(), description="a list of warm-ups, each {repo, type, revision, include, exclude, every, at}"
    )
