"""Settings of a group of nodes."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from dingospeed.config.kinds import Secret, Text
from dingospeed.config.reserved import Reserved


class Cluster(Reserved):
    feature: ClassVar[str] = "groups of several nodes are"

    redis_url: Secret | None = Field(default=None, description="null")
    node_id: Text | None = Field(default=None, description="null")
    address: Text | None = Field(default=None, description="null")
    secret: Secret | None = Field(default=None, description="null")
    replicas: int = Field(default=1, description="1")
