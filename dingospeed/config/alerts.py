"""Settings of alerts."""

from __future__ import annotations

from typing import ClassVar

from dingospeed.config.reserved import Reserved


class Alerts(Reserved):
    feature: ClassVar[str] = "alerts are"
