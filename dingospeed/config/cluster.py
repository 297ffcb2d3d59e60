"""Settings of a group of nodes."""

from __future__ import annotations

import re
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, SecretStr, field_validator
from pydantic_core.core_schema import ValidationInfo

from dingospeed.config.kinds import Refused, Secret, Section, Text
from dingospeed.config.lines import base_url

_REDIS_SCHEMES = ("redis", "rediss", "unix", "redis+sentinel", "rediss+sentinel")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:\[\]-]{0,99}\Z")
_MIN_SECRET = 16


def _name(text: str) -> str:
    if not _NAME.match(text):
        raise ValueError("not a name")
    return text


# It becomes a part of keys, of URLs and of labels.
Name = Annotated[Text, AfterValidator(_name)]
_NAMED = "a name of letters, digits and . _ : -, at most 100"


class Cluster(Section):
    """Alone unless there is a *redis_url*; then *address* and *secret* are needed, too."""

    redis_url: Secret | None = Field(
        default=None,
        description="null, or a URL: redis://, rediss://, unix://, redis+sentinel:// or rediss+sentinel://",
    )
    group: Name = Field(default="dingospeed", description=_NAMED)
    node_id: Name | None = Field(default=None, description=f"null, or {_NAMED}")
    address: Annotated[Text, AfterValidator(base_url)] | None = Field(
        default=None,
        description="the http or https URL, of host and port only, at which the other nodes reach this one",
    )
    secret: Secret | None = Field(
        default=None,
        description=f"a text of at least {_MIN_SECRET} printable ASCII characters, no spaces",
    )
    replicas: int = Field(default=1, ge=1, le=16, description="a whole number of copies, 1 to 16")
    hot_reads: int = Field(default=10, ge=1, le=100_000, description="a whole number of reads, 1 to 100000")
    zone: Name | None = Field(default=None, description=f"null, or {_NAMED}")
    weight: float = Field(default=1, ge=0.01, le=100, description="a number, 0.01 to 100")
    heartbeat_s: float = Field(default=2, ge=0.1, le=60, description="seconds, 0.1 to 60")
    holdings_s: float = Field(default=86_400, ge=60, le=31_536_000, description="seconds, 60 to 31536000")
    connect_s: float = Field(default=1, ge=0.05, lt=10, description="seconds, at least 0.05 and less than 10")
    # Clients give up after ten silent seconds, and the outside has to be asked after this.
    read_s: float = Field(default=5, ge=0.1, lt=10, description="seconds, at least 0.1 and less than 10")
    redis_s: float = Field(default=1, ge=0.05, le=10, description="seconds, 0.05 to 10")

    @property
    def is_on(self) -> bool:
        return self.redis_url is not None

    @property
    def id(self) -> str:
        """The name of this node in its group; without one of its own it is host and port of its address."""
        return self.node_id or urlsplit(self.address or "").netloc

    @field_validator("redis_url")
    @classmethod
    def _known_scheme(cls, url: SecretStr | None) -> SecretStr | None:
        if url is not None and urlsplit(url.get_secret_value()).scheme not in _REDIS_SCHEMES:
            raise ValueError("not a URL of Redis")
        return url

    @field_validator("address", "secret")
    @classmethod
    def _needed_in_a_group(
        cls, value: str | SecretStr | None, info: ValidationInfo
    ) -> str | SecretStr | None:
        if value is None and info.data.get("redis_url") is not None and info.field_name is not None:
            expected = cls.model_fields[info.field_name].description
            raise Refused(f"{expected}, as there is a cluster.redis_url", because=("redis_url",))
        return value

    @field_validator("secret")
    @classmethod
    def _long_enough(cls, secret: SecretStr | None) -> SecretStr | None:
        if secret is not None and len(secret.get_secret_value()) < _MIN_SECRET:
            raise ValueError("too short to be one")
        return secret
