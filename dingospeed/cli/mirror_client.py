"""What commands ask of a running mirror, over HTTP, as its administrator."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from ipaddress import ip_address
from typing import Any, TypeVar
from urllib.parse import urlsplit

import click
import requests

from dingospeed.cli.exits import CommandError, Exit
from dingospeed.cli.options import settings_for, with_flags
from dingospeed.config import Settings
from dingospeed.errors import StoreError
from dingospeed.store.keys import read_key
from dingospeed.store.layout import Layout

Command = TypeVar("Command", bound=Callable[..., Any])

_CONNECT_S = 5
_READ_S = 60
# All addresses of a machine are one to listen on, and none to connect to.
_CONNECTABLE = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104  # compared, not bound


class NoMirror(CommandError):
    """Nobody answers, or somebody who is no mirror."""

    exit_code = Exit.NO_MIRROR


class MirrorRefuses(CommandError):
    """The mirror answered, and the answer is no. *status* is that of HTTP."""

    exit_code = Exit.REFUSED

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


class MirrorClient:
    """The routes under ``/-/`` of the mirror at *url*, asked with the admin *token* if there is one."""

    def __init__(self, url: str, token: str | None) -> None:
        self.url = url.rstrip("/")
        self.has_token = token is not None
        self._session = requests.Session()
        # A proxy is for what is outside, and a .netrc would replace the token.
        self._session.trust_env = False
        if token is not None:
            self._session.headers["Authorization"] = f"Bearer {token}"

    def get(self, path: str, **query: str) -> Any:
        """The JSON at *path*. Raises NoMirror or MirrorRefuses, as all of these."""
        return self.ask("GET", path, query=query)

    def ask(self, method: str, path: str, *, body: Any = None, query: dict[str, str] | None = None) -> Any:
        """What is answered to *method* and the JSON *body*; None when that is nothing."""
        with self._told():
            answer = self._session.request(
                method, self.url + path, json=body, params=query, timeout=(_CONNECT_S, _READ_S)
            )
        self._check(answer)
        return self._read(answer) if answer.content else None

    def lines(self, path: str, **query: str) -> Iterator[str]:
        """The lines of an answer that goes on for as long as its mirror likes, each as it comes."""
        with self._told():
            answer = self._session.get(
                self.url + path, params=query, timeout=(_CONNECT_S, _READ_S), stream=True
            )
        with answer:
            self._check(answer)
            with self._told():
                # One byte at a time: with more, a line would be held back until the next ones fill it up.
                for line in answer.iter_lines(chunk_size=1):
                    yield line.decode("utf-8", "replace")

    def _check(self, answer: requests.Response) -> None:
        if answer.status_code == 401:
            what = "--admin-token, DINGOSPEED_ADMIN__TOKEN or admin.token of the settings"
            raise MirrorRefuses(f"{self.url} asks for its admin token: {what}", 401)
        if answer.status_code >= 400:
            why = answer.headers.get("X-Error-Message") or f"HTTP {answer.status_code} {answer.reason}"
            raise MirrorRefuses(f"{self.url}: {why}", answer.status_code)

    def _read(self, answer: requests.Response) -> Any:
        try:
            return answer.json()
        except ValueError as error:
            raise NoMirror(f"what answers at {self.url} is no dingospeed") from error

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except requests.ConnectionError as error:
            raise NoMirror(f"no mirror answers at {self.url}; is it running?") from error
        except requests.Timeout as error:
            raise NoMirror(f"the mirror at {self.url} does not answer") from error
        except requests.RequestException as error:
            raise NoMirror(f"{self.url} can not be asked: {error}") from error


def with_mirror(command: Command) -> Command:
    """Give *command* the options that say which mirror it speaks to; `mirror_of` takes them."""
    command = click.option(
        "--admin-token",
        metavar="TOKEN",
        help="Its admin token; without it admin.token of the settings, or the key in the cache's directory.",
    )(command)
    command = click.option(
        "--server", metavar="URL", help="The running mirror; without it the one that the settings tell of."
    )(command)
    return with_flags("--repos")(command)


def mirror_of(options: dict[str, Any]) -> MirrorClient:
    """The mirror that the *options* of a command with `with_mirror` mean.

    Ends the process with code 2 when they are wrong.
    """
    settings = settings_for(options["config"], options)
    server, token = options["server"], options["admin_token"]
    url = _checked(server) if server else own_address(settings)
    if token is None and settings.admin.token is not None:
        token = settings.admin.token.get_secret_value()
    # The key of this cache is no secret of others.
    if token is None and (not server or _is_this_machine(url)):
        token = _own_key(settings)
    return MirrorClient(url, token)


def own_address(settings: Settings) -> str:
    """Where the mirror of these *settings* is reached from the machine it runs on."""
    if settings.admin.bind:
        return f"http://{settings.admin.bind}"
    server = settings.server
    host = _CONNECTABLE.get(server.host, server.host)
    return f"http://[{host}]:{server.port}" if ":" in host else f"http://{host}:{server.port}"


def _checked(url: str) -> str:
    try:
        parts = urlsplit(url)
        is_url = parts.scheme in ("http", "https") and bool(parts.hostname) and not parts.username
    except ValueError:
        is_url = False
    if not is_url:
        raise click.BadParameter("expected a URL such as http://mirror:8090", param_hint="--server")
    return url


def _is_this_machine(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _own_key(settings: Settings) -> str | None:
    """The admin token of a cache that makes its own; None where we may not read it, or there is none."""
    try:
        return read_key(Layout(settings.cache.repos).key("admin"))
    except (OSError, StoreError):
        return None
