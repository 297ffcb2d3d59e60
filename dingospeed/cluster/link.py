"""The one way to Redis, with short time-outs and a breaker.

Only background threads come here: a request reads what they have learnt, so a Redis that is slow or
gone costs it nothing. After a failure Redis is left alone for a moment, longer each time.
"""

from __future__ import annotations

import logging
import ssl
import threading
import time
from collections.abc import Iterator, Sequence
from typing import Any
from urllib.parse import unquote, urlsplit

import redis
from redis.backoff import NoBackoff
from redis.connection import parse_url
from redis.retry import Retry
from redis.sentinel import Sentinel

from dingospeed.errors import ConfigError, LinkDown

log = logging.getLogger(__name__)

Command = tuple[str | int | float, ...]

_PAUSE_S, _MAX_PAUSE_S = 0.25, 5.0
_CONNECTIONS = 8

# What a failure is called; the first kind found anywhere among its causes. Redis' own words can hold
# addresses and names of users, so they are not passed on.
_WORDS: tuple[tuple[type[BaseException] | tuple[type[BaseException], ...], str], ...] = (
    (
        ssl.SSLCertVerificationError,
        "its certificate is not trusted; expected one for this host, signed by an authority in the file that "
        "?ssl_ca_certs= of cluster.redis_url names, or else by one of the system's",
    ),
    (
        (FileNotFoundError, PermissionError),
        "a file named in cluster.redis_url can not be read, or its socket",
    ),
    (ssl.SSLError, "TLS failed; expected TLS there as cluster.redis_url says rediss://, and PEM files"),
    (redis.AuthenticationError, "it refuses the user or the password of cluster.redis_url"),
    (redis.exceptions.NoPermissionError, "it does not let the user of cluster.redis_url do what is needed"),
    (ConnectionRefusedError, "nobody listens there"),
    ((redis.TimeoutError, TimeoutError), "nothing came in time"),
    ((redis.ConnectionError, OSError), "the connection broke"),
)


class Link:
    """Runs *commands* on the Redis behind *url*. Thread-safe; connects when first needed.

    *trouble* says why it does not answer, "" when it does. *withheld* is why nobody but the registry may
    use it, "" when all may.

    Raises ConfigError for a URL that Redis' library does not take.
    """

    def __init__(self, url: str, *, timeout_s: float) -> None:
        try:
            self._client = _client(url, timeout_s)
        except (ValueError, redis.RedisError) as error:
            raise ConfigError("cluster.redis_url: expected a URL of Redis") from error
        self.trouble = ""
        self.withheld = ""
        self._place = _place(url)
        self._lock = threading.Lock()
        self._failures = 0
        self._closed_until = 0.0

    @property
    def is_up(self) -> bool:
        """Whether the last answer was one, and Redis may be asked now."""
        return not self.withheld and time.monotonic() >= self._closed_until

    def run(self, commands: Sequence[Command], *, anyway: bool = False) -> list[Any]:
        """The answers, in order, in one round trip. Not a transaction. Raises LinkDown.

        *anyway*: also when it is withheld.
        """
        if self.withheld and not anyway:
            raise LinkDown(self.withheld)
        if time.monotonic() < self._closed_until:
            raise LinkDown("Redis is left alone for a moment")
        try:
            pipeline = self._client.pipeline(transaction=False)
            for command in commands:
                pipeline.execute_command(*command)  # type: ignore[no-untyped-call]
            answers: list[Any] = pipeline.execute()
        except (redis.RedisError, OSError) as error:
            self._note_failure(error)
            raise LinkDown(f"Redis: {type(error).__name__}") from error
        if self._failures:
            with self._lock:
                failures, self._failures, self.trouble = self._failures, 0, ""
            if failures:
                log.info("Redis at %s answers again", self._place)
        return answers

    def close(self) -> None:
        self._client.close()

    def _note_failure(self, error: Exception) -> None:
        trouble = f"Redis at {self._place} does not answer: {_why(error)}"
        with self._lock:
            self._failures += 1
            pause_s = min(_MAX_PAUSE_S, _PAUSE_S * 2 ** min(self._failures - 1, 10))
            self._closed_until = time.monotonic() + pause_s
            # A Redis that stays away for the same reason is no news.
            is_news = trouble != self.trouble
            self.trouble = trouble
        if is_news:
            log.warning("going on alone, %s", trouble)
        # After a failover the old connections lead to who is no master any more.
        self._client.connection_pool.disconnect(inuse_connections=False)


def _client(url: str, timeout_s: float) -> redis.Redis:
    options: dict[str, Any] = {
        "socket_timeout": timeout_s,
        "socket_connect_timeout": timeout_s,
        "retry": Retry(NoBackoff(), 0),  # The breaker is ours.
        "max_connections": _CONNECTIONS,
        "decode_responses": True,
    }
    parts = urlsplit(url)
    if "sentinel" not in parts.scheme:
        return redis.Redis.from_url(url, **options)
    hosts = parts.netloc.rpartition("@")[2].split(",")
    service, _, database = parts.path.strip("/").partition("/")
    if parts.scheme == "rediss+sentinel":
        options["ssl"] = True
    # What else the URL says, its kinds of values known to the library.
    said = parse_url(f"{parts.scheme.partition('+')[0]}://?{parts.query}")  # type: ignore[no-untyped-call]
    options |= {name: value for name, value in said.items() if name != "connection_class"}
    options["db"] = int(database or 0)
    for name, value in (("username", parts.username), ("password", parts.password)):
        if value:
            options[name] = unquote(value)
    known = [_host(host) for host in hosts]
    sentinel = Sentinel(known, sentinel_kwargs=dict(options, db=0), **options)  # type: ignore[no-untyped-call]
    client: redis.Redis = sentinel.master_for(service or "mymaster")  # type: ignore[no-untyped-call]
    return client


def _host(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":") if ":" in text else (text, "", "26379")
    return host.strip("[]"), int(port)


def _place(url: str) -> str:
    """Where Redis is, without a password."""
    parts = urlsplit(url)
    return parts.netloc.rpartition("@")[2] or parts.path


def _why(error: BaseException) -> str:
    causes = list(_causes(error))
    for kind, words in _WORDS:
        if any(isinstance(cause, kind) for cause in causes):
            return words
    return type(error).__name__


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
