"""Settings of mounts."""

from __future__ import annotations

from typing import ClassVar

from dingospeed.config.reserved import Reserved


class Mounts(Reserved):
    feature: ClassVar[str] = "mounts are"
