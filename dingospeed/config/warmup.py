"""Settings of warm-up."""

from __future__ import annotations

from typing import ClassVar

from dingospeed.config.reserved import Reserved


class Warmup(Reserved):
    feature: ClassVar[str] = "warm-up is"
