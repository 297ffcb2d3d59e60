"""Settings of alerts: what is worth one, and who is told."""

from __future__ import annotations

from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, SecretStr, field_validator
from pydantic_core.core_schema import ValidationInfo

from dingospeed.config.kinds import Refused, Secret, Section, Text
from dingospeed.config.lines import proxy_url

WebhookKind = Literal["wecom", "dingtalk", "feishu", "slack", "json"]
_WITH_SECRET = ("dingtalk", "feishu", "json")


def _webhook_url(url: SecretStr) -> SecretStr:
    parts = urlsplit(url.get_secret_value())
    if parts.scheme not in ("http", "https") or not parts.hostname or "@" in parts.netloc or parts.port == 0:
        raise ValueError("not a URL to send to")
    return url


class Webhook(Section):
    """One who is told. The URL is a secret: whoever knows it can write there."""

    kind: WebhookKind = Field(description='"wecom", "dingtalk", "feishu", "slack" or "json"')
    url: Annotated[Secret, AfterValidator(_webhook_url)] = Field(
        description="an http or https URL without credentials before the host"
    )
    secret: Secret | None = Field(
        default=None,
        description="null, or the secret that messages are signed with: for dingtalk, feishu and json",
    )
    proxy: Annotated[Text, AfterValidator(proxy_url)] | None = Field(
        default=None, description="null, or an http, https, socks5 or socks5h URL of host and port"
    )

    @field_validator("secret")
    @classmethod
    def _of_use(cls, secret: SecretStr | None, info: ValidationInfo) -> SecretStr | None:
        kind = info.data.get("kind")
        if secret is not None and kind is not None and kind not in _WITH_SECRET:
            raise Refused(f"null: a webhook of the kind {kind} knows no signature", because=("kind",))
        return secret


class Alerts(Section):
    webhooks: tuple[Webhook, ...] = Field(
        default=(),
        max_length=16,
        description="a list of at most 16 webhooks, each {kind, url, secret, proxy}",
    )
    check_s: float = Field(default=10, ge=1, le=3600, description="seconds, 1 to 3600")
    settle_s: float = Field(default=30, ge=0, le=86400, description="seconds, 0 to 86400")
    remind_s: float = Field(
        default=14400, ge=0, le=31_536_000, description="seconds, 0 (no reminders) to 31536000"
    )
    disk_percent: float = Field(default=90, gt=0, le=100, description="a number, more than 0 and at most 100")
    rate_budget_percent: float = Field(default=10, ge=0, lt=100, description="a number, 0 to less than 100")
    hub_blocked_s: float = Field(default=2, ge=0.05, le=60, description="seconds, 0.05 to 60")
