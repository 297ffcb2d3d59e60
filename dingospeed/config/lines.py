"""A line in the settings: one way to the upstream."""

from __future__ import annotations

import re
from collections.abc import Mapping
from ipaddress import ip_address
from typing import Annotated, Any
from urllib.parse import SplitResult, urlsplit

from pydantic import AfterValidator, Field, model_validator

from dingospeed.config.kinds import Secret, Section, Text

HUB_HOST = "huggingface.co"

_HOST = re.compile(r"[a-z0-9]([a-z0-9._-]*[a-z0-9])?|\[[0-9a-f:.]+\]", re.IGNORECASE)


def is_loopback(url: str) -> bool:
    """Whether *url* leads to this machine: a Hub to try things with, not somebody else's."""
    try:
        host = urlsplit(url).hostname or ""
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def _split(url: str, schemes: tuple[str, ...]) -> SplitResult:
    """The parts of *url*. Raises ValueError unless it is scheme, credentials, host and port only."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    if parts.port is not None:
        host = host.rpartition(":")[0]
    if parts.scheme not in schemes or not _HOST.fullmatch(host) or parts.port == 0:
        raise ValueError("not an address of a server")
    if parts.path not in ("", "/") or "?" in url or "#" in url:
        raise ValueError("more than the address of a server")
    return parts


def base_url(url: str) -> str:
    """*url* of scheme, host and port, without a slash at the end. Raises ValueError for any other."""
    parts = _split(url, ("http", "https"))
    if "@" in parts.netloc:
        raise ValueError("no place for credentials")
    return f"{parts.scheme}://{parts.netloc.lower()}"


def proxy_url(url: str) -> str:
    _split(url, ("http", "https", "socks5", "socks5h"))
    return url.rstrip("/")


class Line(Section):
    """One way to the upstream; the callers' tokens travel only on lines marked as the Hub.

    In a file a bare URL stands for a line with nothing but that URL.
    """

    url: Annotated[Text, AfterValidator(base_url)] = Field(
        description="an http or https URL of host and port only: no path, query or credentials"
    )
    hub: bool = Field(
        description="true or false: whether this is the Hub itself, to which callers' tokens may be sent"
    )
    name: Text = Field(max_length=64, description="a text of 1 to 64 characters, another for every line")
    proxy: Annotated[Text, AfterValidator(proxy_url)] | None = Field(
        default=None, description="null, or an http, https, socks5 or socks5h URL of host and port"
    )
    token: Secret | None = Field(default=None, description="null, or a token of printable ASCII characters")
    max_connections: int = Field(
        default=64, ge=1, le=4096, description="a whole number of connections, 1 to 4096"
    )

    @model_validator(mode="before")
    @classmethod
    def _from_the_url(cls, given: Any) -> Any:
        """Fill in what follows from the URL: whether it is the Hub, and the name."""
        if isinstance(given, str):
            given = {"url": given}
        if not isinstance(given, Mapping):
            return given
        try:
            parts = urlsplit(base_url(str(given.get("url", ""))))
        except ValueError:
            # Refused below, under the name of the field. Do not complain of the others, too.
            return {"hub": False, "name": "?", **given}
        return {"hub": parts.hostname == HUB_HOST, "name": parts.netloc, **given}
