"""Every setting with its default, its unit and its limits.

Each description is the answer to "what was expected here?"; `conf/dingospeed.yaml`
tells what the settings are for.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator
from pydantic_core.core_schema import ValidationInfo

from dingospeed.config.alerts import Alerts
from dingospeed.config.cleaning import Cleaning
from dingospeed.config.cluster import Cluster
from dingospeed.config.kinds import ByteCount, FilePath, Network, Refused, RepoGlob, Secret, Section, Text
from dingospeed.config.lines import Line
from dingospeed.config.mounts import Mounts
from dingospeed.config.warmup import Warmup
from dingospeed.config.xet import Xet

_KIB, _MIB = 1 << 10, 1 << 20

# Clients of the Hub give up on a connection that was silent for ten seconds.
_CLIENT_PATIENCE_S = 10


class Limits(Section):
    """What one client, by its address, may take at once."""

    client_transfers: int | None = Field(
        default=None, ge=1, le=10_000, description="null, or a whole number of downloads, 1 to 10000"
    )
    client_questions: int | None = Field(
        default=None, ge=1, le=10_000, description="null, or a whole number of requests, 1 to 10000"
    )
    transfer_bytes_per_s: ByteCount | None = Field(
        default=None,
        ge=64 * _KIB,
        le=1 << 40,
        description='null, or bytes a second such as "20MB", 64KiB to 1 TiB',
    )


class Server(Section):
    host: Text = Field(default="0.0.0.0", description="an address or host name to listen on")  # noqa: S104
    port: int = Field(default=8090, ge=0, le=65535, description="a port, 0 to 65535 (0: any free one)")
    workers: int = Field(default=2, ge=1, le=256, description="a whole number of processes, 1 to 256")
    graceful_timeout_s: float = Field(default=30, ge=0, le=3600, description="seconds, 0 to 3600")
    reload_timeout_s: float = Field(default=3600, ge=0, le=86400, description="seconds, 0 to 86400")
    keepalive_s: float = Field(default=75, ge=0, le=3600, description="seconds, 0 to 3600")
    trusted_proxies: tuple[Network, ...] = Field(
        default=(), description='a list of addresses and networks such as "10.0.0.5" or "10.0.0.0/8"'
    )
    accel: Literal["nginx"] | None = Field(
        default=None, description='null, or "nginx" where trusted_proxies names one'
    )
    limits: Limits = Limits()

    @field_validator("accel")
    @classmethod
    def _by_a_proxy(cls, accel: str | None, info: ValidationInfo) -> str | None:
        if accel and not info.data.get("trusted_proxies", True):
            raise Refused("null, as server.trusted_proxies names no proxy", because=("trusted_proxies",))
        return accel


class Cache(Section):
    repos: FilePath = Field(default=Path("repos"), description="the path of a directory")
    public: FilePath = Field(default=Path("public"), description="the path of a directory")

    @field_validator("public")
    @classmethod
    def _apart(cls, public: Path, info: ValidationInfo) -> Path:
        repos: Path | None = info.data.get("repos")
        if repos is not None:
            inner, outer = Path(os.path.abspath(public)), Path(os.path.abspath(repos))  # noqa: PTH100
            if inner.is_relative_to(outer) or outer.is_relative_to(inner):
                raise Refused(f"the path of a directory apart from cache.repos ({repos})", because=("repos",))
        return public


class Timeouts(Section):
    connect_s: float = Field(
        default=3.05, ge=0.1, lt=_CLIENT_PATIENCE_S, description="seconds, at least 0.1 and less than 10"
    )
    read_s: float = Field(
        default=6,
        ge=0.1,
        lt=_CLIENT_PATIENCE_S,
        description="seconds, at least 0.1 and less than 10 (clients give up after 10 s of silence)",
    )


class Upstream(Section):
    # Before the lines: whether there must be one depends on it.
    offline: bool = Field(default=False, description="true or false: whether to never ask outside")
    lines: tuple[Line, ...] = Field(
        default=(Line(url="https://huggingface.co"), Line(url="https://hf-mirror.com")),  # type: ignore[call-arg]
        description="a list of lines, each a URL or {url, hub, name, proxy, token, max_connections}",
    )
    timeouts: Timeouts = Timeouts()
    retries: int = Field(
        default=4, ge=1, le=100, description="a whole number of rounds over all lines, 1 to 100"
    )
    retry_max_wait_s: float = Field(
        default=2, ge=0, lt=_CLIENT_PATIENCE_S, description="seconds, at least 0 and less than 10"
    )
    probe_s: float = Field(default=5, ge=0.1, le=3600, description="seconds, 0.1 to 3600")
    probe_max_s: float = Field(default=60, ge=0.1, le=86400, description="seconds, 0.1 to 86400")
    failures_to_down: int = Field(
        default=3, ge=1, le=1000, description="a whole number of failures, 1 to 1000"
    )
    ca_bundle: FilePath | None = Field(
        default=None, description="null, or the path of an existing file or directory of CA certificates"
    )

    @field_validator("lines")
    @classmethod
    def _lines_told_apart(cls, lines: tuple[Line, ...], info: ValidationInfo) -> tuple[Line, ...]:
        # A refused `offline` is not there, and was complained of already.
        if not lines and info.data.get("offline") is False:
            raise Refused("at least one line, or upstream.offline: true", because=("offline",))
        names = [line.name for line in lines]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise Refused(f"another name for every line; twice there is {', '.join(map(repr, twice))}")
        return lines

    @field_validator("probe_max_s")
    @classmethod
    def _grows(cls, probe_max_s: float, info: ValidationInfo) -> float:
        first = info.data.get("probe_s", 0)
        if probe_max_s < first:
            raise Refused(f"seconds, at least upstream.probe_s ({first:g})", because=("probe_s",))
        return probe_max_s

    @field_validator("ca_bundle")
    @classmethod
    def _exists(cls, path: Path | None) -> Path | None:
        # os.path and not Path: a path too long for the system is to be "not there", too.
        if path is not None and not os.path.exists(path):  # noqa: PTH110
            raise ValueError("no such file")
        return path


class Metadata(Section):
    ttl_s: float = Field(default=300, ge=0, le=31_536_000, description="seconds, 0 to 31536000")
    memory_bytes: ByteCount = Field(
        default=64 * _MIB, ge=0, le=1 << 40, description='bytes, or a size such as "64MiB", 0 to 1 TiB'
    )
    wait_tree_s: float = Field(
        default=4, ge=0, lt=_CLIENT_PATIENCE_S, description="seconds, at least 0 and less than 10"
    )


_GLOBS = 'a list of repos, with or without their type, such as "org/name", "org/*", "datasets/**" or "*"'


class NodeToken(Section):
    """Callers without a token of their own for whom the lines' tokens open repos that are not public."""

    repos: tuple[RepoGlob, ...] = Field(description=f"{_GLOBS}; at least 1")
    networks: tuple[Network, ...] = Field(
        description='a list of at least 1 address or network such as "10.0.0.0/8"'
    )

    @field_validator("repos", "networks")
    @classmethod
    def _says_whom(cls, listed: tuple[str, ...]) -> tuple[str, ...]:
        if not listed:
            raise ValueError("nobody, or everybody?")
        return listed


class Access(Section):
    allow: tuple[RepoGlob, ...] = Field(default=("*",), description=_GLOBS)
    deny: tuple[RepoGlob, ...] = Field(default=(), description=_GLOBS)
    cache: tuple[RepoGlob, ...] = Field(default=("*",), description=_GLOBS)
    no_cache: tuple[RepoGlob, ...] = Field(default=(), description=_GLOBS)
    node_token: tuple[NodeToken, ...] = Field(
        default=(), description="a list of rules, each {repos, networks}"
    )
    allow_uploads: bool = Field(
        default=False,
        description="true or false: whether callers may change repos on the Hub through the mirror",
    )
    allowed_ttl_s: float = Field(default=300, ge=0, le=86400, description="seconds, 0 to 86400")
    denied_ttl_s: float = Field(default=60, ge=0, le=86400, description="seconds, 0 to 86400")
    offline_grace_s: float = Field(
        default=604800, ge=0, le=315_360_000, description="seconds, 0 to 315360000"
    )


class Download(Section):
    block_bytes: ByteCount = Field(
        default=_MIB, ge=64 * _KIB, le=16 * _MIB, description="bytes, a power of two, 64KiB to 16MiB"
    )
    segment_blocks: int = Field(
        default=16,
        ge=8,
        le=1024,
        multiple_of=8,
        description="a whole number of blocks, a multiple of 8, 8 to 1024",
    )
    parallel: int = Field(default=48, ge=1, le=1024, description="a whole number of segments, 1 to 1024")
    # At most as many as a node fills at once.
    read_ahead: int = Field(
        default=12, ge=1, description="a whole number of segments, 1 to download.parallel"
    )
    hold_s: float = Field(default=120, ge=0, le=3600, description="seconds, 0 to 3600")
    finish_abandoned: Literal["never", "always"] | float = Field(
        default="never", description='"never", "always" or a share of the file between 0 and 1'
    )

    @property
    def segment_bytes(self) -> int:
        return self.block_bytes * self.segment_blocks

    @field_validator("block_bytes")
    @classmethod
    def _power_of_two(cls, block_bytes: int) -> int:
        if block_bytes & (block_bytes - 1):
            raise ValueError("not a power of two")
        return block_bytes

    @field_validator("read_ahead")
    @classmethod
    def _within_the_node(cls, read_ahead: int, info: ValidationInfo) -> int:
        parallel = info.data.get("parallel", read_ahead)
        if read_ahead > parallel:
            raise Refused(
                f"a whole number of segments, at most download.parallel ({parallel})", because=("parallel",)
            )
        return read_ahead

    @field_validator("finish_abandoned")
    @classmethod
    def _share(cls, when: str | float) -> str | float:
        if not isinstance(when, str) and not 0 < when < 1:
            raise ValueError("not a share")
        return when


class Admin(Section):
    bind: Text | None = Field(
        default=None, description='null, or an address with a port such as "127.0.0.1:8092" or "[::1]:8092"'
    )
    token: Secret | None = Field(default=None, description="null, or a token of printable ASCII characters")

    @field_validator("bind")
    @classmethod
    def _with_a_port(cls, bind: str | None) -> str | None:
        host, _, port = (bind or "localhost:1").rpartition(":")
        is_host = host.startswith("[") == host.endswith("]") == (":" in host) and host
        if not is_host or not port.isdecimal() or not 0 < int(port) < 65536:
            raise ValueError("no address with a port")
        return bind


class Log(Section):
    level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description='"debug", "info", "warning" or "error"'
    )
    format: Literal["text", "json"] = Field(default="text", description='"text" or "json"')
    access: bool = Field(default=True, description="true or false: whether to write a line for every request")


class Settings(Section):
    """All settings of a node. Built by `load_settings`; built directly, all have their defaults."""

    server: Server = Server()
    cache: Cache = Cache()
    upstream: Upstream = Upstream()
    metadata: Metadata = Metadata()
    access: Access = Access()
    download: Download = Download()
    xet: Xet = Xet()
    cluster: Cluster = Cluster()
    warmup: Warmup = Warmup()
    mounts: Mounts = Mounts()
    cleaning: Cleaning = Cleaning()
    alerts: Alerts = Alerts()
    admin: Admin = Admin()
    log: Log = Log()
