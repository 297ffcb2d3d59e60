"""The picture of it: docs/benchmarks.png."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.bench.case import ACCEL, NGINX, OLAH, US, Rounds, medians

_COLOURS = {US: "#ff9d00", ACCEL: "#ffcf70", NGINX: "#5b8c5a", "curl -o": "#5b8c5a", OLAH: "#9aa0a6"}
_OTHER = "#4a6fa5"
# Title, unit, cases with their labels, and whether the numbers are too far apart for a plain scale.
_PANELS: tuple[tuple[str, str, Mapping[str, str], bool], ...] = (
    (
        "A cached file, by clients at once",
        "GB/s",
        {"hot-1": "1", "hot-4": "4", "hot-16": "16"},
        False,
    ),
    ("A file for the first time", "GB/s", {"cold": "1 GiB"}, False),
    (
        "Small requests, 64 connections",
        "requests/s",
        {"small-head": "HEAD", "small-get": "GET 4 KB", "small-info": "revision"},
        True,
    ),
)


def draw(results: Mapping[str, Rounds], target: Path) -> None:
    """Bars of the medians, as far as the cases were measured."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    panels = [panel for panel in _PANELS if any(name in results for name in panel[2])]
    widths = [len(labels) + 0.6 for _, _, labels, _ in panels]
    figure, axes = pyplot.subplots(1, len(panels), figsize=(13, 4.4), width_ratios=widths, squeeze=False)
    for axis, (title, unit, labels, is_log) in zip(axes[0], panels, strict=True):
        cases = [name for name in labels if name in results]
        systems = list(dict.fromkeys(system for name in cases for system in results[name]))
        _bars(axis, [results[name] for name in cases], systems, unit)
        axis.set_xticks(range(len(cases)), [labels[name] for name in cases])
        axis.set_title(title, fontsize=11)
        axis.set_ylabel(unit)
        if is_log:
            axis.set_yscale("log")
        axis.legend(fontsize=8, frameon=False, loc="upper center", bbox_to_anchor=(0.5, -0.08), ncols=2)
        axis.spines[["top", "right"]].set_visible(False)
    figure.tight_layout()
    figure.savefig(target, dpi=110)


def _bars(axis, cases: Sequence[Rounds], systems: Sequence[str], unit: str) -> None:
    width = 0.8 / max(1, len(systems))
    for index, system in enumerate(systems):
        places = [at for at, rounds in enumerate(cases) if system in rounds]
        heights = [medians(cases[at][system]).get(unit, 0.0) for at in places]
        offsets = [at + (index - (len(systems) - 1) / 2) * width for at in places]
        bars = axis.bar(offsets, heights, width * 0.92, label=system, color=_COLOURS.get(system, _OTHER))
        axis.bar_label(
            bars, [f"{height:.2g}" if height < 100 else f"{height:,.0f}" for height in heights], fontsize=8
        )
