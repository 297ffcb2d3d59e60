"""Settings of Xet."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from dingospeed.config.kinds import ByteCount, Section

# What huggingface_hub refuses to fetch by plain HTTP is larger (its MAX_HTTP_DOWNLOAD_SIZE).
_PLAIN_LIMIT_BYTES = 50 * 1000**3


class Xet(Section):
    mode: Literal["auto", "on", "off"] = Field(default="auto", description='"auto", "on" or "off"')
    above_bytes: ByteCount = Field(
        default=_PLAIN_LIMIT_BYTES,
        ge=0,
        le=1 << 60,
        description='bytes, or a size such as "50GB", 0 to 1 EiB',
    )
