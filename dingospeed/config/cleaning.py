"""Settings of cleaning."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator
from pydantic_core.core_schema import ValidationInfo

from dingospeed.config.kinds import Duration, Mark, Refused, RepoGlob, Section, TimeOfDay

_YEARS_S = 315_360_000
_MARK = 'null, a share of the disk such as "90%", or a size of the cache such as "500GB"'


class Cleaning(Section):
    strategy: Literal["LRU", "FIFO", "LARGE_FIRST"] = Field(
        default="LRU", description='"LRU", "FIFO" or "LARGE_FIRST"'
    )
    high_water: Mark | None = Field(default=None, description=_MARK)
    low_water: Mark | None = Field(default=None, description=_MARK)
    older_than_s: Duration | None = Field(
        default=None,
        ge=0,
        le=_YEARS_S,
        description='null, or 0 to 315360000 seconds, or a time such as "30d"',
    )
    leftovers_s: Duration = Field(
        default=604_800, ge=0, le=_YEARS_S, description='0 to 315360000 seconds, or a time such as "7d"'
    )
    keep: tuple[RepoGlob, ...] = Field(
        default=(), description='a list of repos, such as "org/name", "org/*" or "datasets/**"'
    )
    daily: TimeOfDay | None = Field(default=None, description='null, or a time of day such as "03:30"')
    interval_s: Duration = Field(
        default=300, ge=1, le=86400, description='1 to 86400 seconds, or a time such as "5m"'
    )

    @field_validator("low_water")
    @classmethod
    def _below_the_high(cls, low: int | float | None, info: ValidationInfo) -> int | float | None:
        high = info.data.get("high_water")
        if low is None or "high_water" not in info.data:
            return low
        if high is None or type(low) is not type(high) or low > high:
            what = (
                "null" if high is None else f"a mark of the same kind, at most cleaning.high_water ({high})"
            )
            raise Refused(what, because=("high_water",))
        return low

    @field_validator("daily")
    @classmethod
    def _down_to_a_mark(cls, daily: str | None, info: ValidationInfo) -> str | None:
        if daily is not None and info.data.get("high_water", 0) is None:
            raise Refused("null, or cleaning.high_water set as well", because=("high_water",))
        return daily

    @property
    def low(self) -> int | float | None:
        """The mark that is cleaned down to: without one of its own nine tenths of the high one."""
        high = self.high_water
        if self.low_water is not None or high is None:
            return self.low_water
        return high * 0.9 if isinstance(high, float) else high * 9 // 10
