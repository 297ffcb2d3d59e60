"""Figures as people read them: sizes, rates, durations, how long ago."""

from __future__ import annotations

import time

_UNITS = ("B", "kB", "MB", "GB", "TB", "PB")
_DURATIONS = ((86400, "d"), (3600, "h"), (60, "min"), (1, "s"))
NOTHING = "–"


def size(value: float | None) -> str:
    """Bytes with three figures, in powers of a thousand as disks and networks are sold: ``1.23 GB``."""
    if value is None:
        return NOTHING
    scaled, unit = float(value), _UNITS[0]
    for unit in _UNITS:
        # 999.5 would be rounded to four figures.
        if abs(scaled) < 999.5 or unit == _UNITS[-1]:
            break
        scaled /= 1000
    digits = 0 if unit == "B" or abs(scaled) >= 99.95 else 1 if abs(scaled) >= 9.995 else 2
    return f"{scaled:.{digits}f} {unit}"


def rate(bytes_per_s: float | None) -> str:
    return NOTHING if bytes_per_s is None else f"{size(bytes_per_s)}/s"


def percent(part: float | None, whole: float | None = 1.0) -> str:
    """*part* of *whole*, rounded down: only what is complete is 100 %."""
    if part is None or not whole:
        return NOTHING
    return f"{int(part / whole * 100)} %"


def duration(seconds: float | None) -> str:
    """The two largest units that matter: ``3 d 4 h``, ``12 min 5 s``, ``7 s``."""
    if seconds is None:
        return NOTHING
    left, parts = int(seconds), list[str]()
    for length, unit in _DURATIONS:
        count, left = divmod(left, length)
        if count or parts:
            parts.append(f"{count} {unit}")
        if len(parts) == 2:
            break
    return " ".join(part for part in parts if not part.startswith("0 ")) or "0 s"


def ago(moment: float | None) -> str:
    """How long ago *moment* (Unix time) was, in one unit."""
    if moment is None:
        return "never"
    passed = int(time.time() - moment)
    for length, unit in _DURATIONS[:3]:
        if passed >= length:
            return f"{passed // length} {unit} ago"
    return "just now"


def iso(moment: float) -> str:
    """*moment* for machines and for the tip of a mouse: UTC, in seconds."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(moment))


FILTERS = {
    "size": size,
    "rate": rate,
    "percent": percent,
    "duration": duration,
    "ago": ago,
    "iso": iso,
}
