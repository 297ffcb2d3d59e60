"""Settings of cleaning."""

from __future__ import annotations

from typing import ClassVar

from dingospeed.config.reserved import Reserved


class Cleaning(Reserved):
    feature: ClassVar[str] = "cleaning is"
