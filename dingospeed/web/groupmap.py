"""The picture of a group: where its nodes stand, and how what went between them is drawn.

The template only draws it. Of many nodes those with the most traffic are in it, or it would show nothing.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

# Of the drawing. Names stand beside the circle.
WIDTH, HEIGHT = 480.0, 300.0
_RADIUS = 105.0
DOT = 9.0
_NAME_AWAY = 16.0
_MOST_NODES, _MOST_WAYS = 24, 120
_THIN, _THICK = 1.5, 8.0
# How far a way bends aside, as a share of its length: there and back are two ways.
_BEND = 0.12


@dataclass(frozen=True, slots=True)
class Dot:
    """A node; its name is written at *name_x*, *name_y*, and *anchor* says on which side."""

    id: str
    state: str
    x: float
    y: float
    name_x: float
    name_y: float
    anchor: str


@dataclass(frozen=True, slots=True)
class Way:
    """What went from *sender* to *receiver*: a bow whose *width* tells how much of the most it is."""

    sender: str
    receiver: str
    bytes: int
    path: str
    width: float


@dataclass(frozen=True, slots=True)
class Picture:
    """*left_out* nodes are not in it."""

    dots: tuple[Dot, ...]
    ways: tuple[Way, ...]
    left_out: int


def picture_of(nodes: Sequence[Mapping[str, Any]], traffic: Sequence[Mapping[str, Any]]) -> Picture:
    """*nodes* and *traffic* as Group.told tells them; the thickest ways are drawn first."""
    moved: Counter[str] = Counter()
    for way in traffic:
        moved[way["from"]] += way["bytes"]
        moved[way["to"]] += way["bytes"]
    most = sorted(nodes, key=lambda node: (-moved[node["id"]], node["id"]))[:_MOST_NODES]
    shown = sorted(most, key=lambda node: str(node["id"]))
    dots = {node["id"]: _dot(node, index, len(shown)) for index, node in enumerate(shown)}
    between = [way for way in traffic if way["from"] in dots and way["to"] in dots and way["bytes"] > 0]
    between.sort(key=lambda way: -int(way["bytes"]))
    ways = [
        Way(
            sender=way["from"],
            receiver=way["to"],
            bytes=way["bytes"],
            path=_bow(dots[way["from"]], dots[way["to"]]),
            width=round(_THIN + (_THICK - _THIN) * way["bytes"] / between[0]["bytes"], 2),
        )
        for way in between[:_MOST_WAYS]
        if way["from"] != way["to"]
    ]
    return Picture(tuple(dots.values()), tuple(ways), left_out=len(nodes) - len(shown))


def _dot(node: Mapping[str, Any], index: int, count: int) -> Dot:
    """The first one stands on the left, the others follow clockwise."""
    angle = math.pi + 2 * math.pi * index / count
    x, y = math.cos(angle), math.sin(angle)
    away = _RADIUS + _NAME_AWAY
    return Dot(
        id=node["id"],
        state=node["state"],
        x=round(WIDTH / 2 + _RADIUS * x, 2),
        y=round(HEIGHT / 2 + _RADIUS * y, 2),
        name_x=round(WIDTH / 2 + away * x, 2),
        name_y=round(HEIGHT / 2 + away * y, 2),
        anchor="middle" if abs(x) < 0.3 else "start" if x > 0 else "end",
    )


def _bow(start: Dot, end: Dot) -> str:
    """From the rim of one dot to that of the other, bent to the right of who travels it."""
    over_x, over_y = end.x - start.x, end.y - start.y
    length = math.hypot(over_x, over_y)
    bend_x = (start.x + end.x) / 2 - over_y * _BEND
    bend_y = (start.y + end.y) / 2 + over_x * _BEND
    # Room for the point of the arrow.
    share = (DOT + 3) / length
    from_x, from_y = start.x + over_x * share, start.y + over_y * share
    to_x, to_y = end.x - over_x * share, end.y - over_y * share
    return f"M{from_x:.1f} {from_y:.1f} Q{bend_x:.1f} {bend_y:.1f} {to_x:.1f} {to_y:.1f}"
