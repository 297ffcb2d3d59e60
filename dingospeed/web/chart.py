"""The chart of a day's traffic: where its bars stand. The template only draws them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

# Of the drawing; it is stretched to whatever there is room for.
WIDTH, HEIGHT = 480.0, 100.0
_GAP = 3.0
_STEPS = (1, 2, 5, 10)
_SUMS = ("requests", "bytes", "hit_bytes", "fetched_bytes")


@dataclass(frozen=True, slots=True)
class Bar:
    """An hour: bytes from the cache below, those that had to be fetched above. *y* grows downwards."""

    x: float
    width: float
    hit_y: float
    hit_height: float
    rest_y: float
    rest_height: float
    hour: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Chart:
    """The *bars*, oldest first, drawn so that *top* bytes an hour fill the height; sums of the day."""

    bars: tuple[Bar, ...]
    top: int
    requests: int
    bytes: int
    hit_bytes: int
    fetched_bytes: int


def chart_of(hours: Sequence[Mapping[str, Any]]) -> Chart:
    """*hours* as Traffic.read tells them."""
    top = _round_up(max((hour["bytes"] for hour in hours), default=0))
    step = WIDTH / max(len(hours), 1)

    def bar(index: int, hour: Mapping[str, Any]) -> Bar:
        hit = hour["hit_bytes"] / top * HEIGHT
        rest = (hour["bytes"] - hour["hit_bytes"]) / top * HEIGHT
        return Bar(
            x=round(index * step + _GAP / 2, 2),
            width=round(step - _GAP, 2),
            hit_y=round(HEIGHT - hit, 2),
            hit_height=round(hit, 2),
            rest_y=round(HEIGHT - hit - rest, 2),
            rest_height=round(rest, 2),
            hour=hour,
        )

    sums = {
        name: sum(hour[name] for hour in hours)
        for name in ("requests", "bytes", "hit_bytes", "fetched_bytes")
    }
    return Chart(tuple(bar(index, hour) for index, hour in enumerate(hours)), top, **sums)


def _round_up(most: int) -> int:
    """The first of 1, 2, 5, 10, 20, 50 … that *most* does not exceed."""
    magnitude = 1
    while magnitude * _STEPS[-1] < most:
        magnitude *= 10
    return next(magnitude * step for step in _STEPS if magnitude * step >= most)
