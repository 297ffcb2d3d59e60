"""gunicorn, started by us or by its own command, with the same options either way.

The hooks check what can be checked before anything forks, say when all workers answer,
and make a second SIGTERM mean what the person sending it means. The application is
built in each worker, after the fork.
"""

from __future__ import annotations

import logging
import os
import resource
import shutil
import signal
import socket
import sys
import tempfile
from collections.abc import Callable
from contextlib import suppress
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from gunicorn.app.base import BaseApplication
from gunicorn.glogging import Logger

from dingospeed import __version__, log
from dingospeed.errors import ConfigError
from dingospeed.upkeep.board import SHEETS, sheet_path
from dingospeed.upkeep.tokens import new_key

if TYPE_CHECKING:
    from dingospeed.config import Settings

_log = logging.getLogger(__name__)

METRICS_DIR_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"

# A worker that does not report for so long is stuck, not busy: it reports every second.
_HEARTBEAT_S = 60
_OPEN_FILES = 65536
_SHARED_MEMORY = "/dev/shm"  # noqa: S108  # gunicorn makes its own private file there


def run(settings: Settings, *, read_again: Callable[[], Settings]) -> None:
    """Serve until told to stop; ends the process. Exit code 1 when it can not start.

    On SIGHUP what *read_again* gives is put into force, by new workers; streams of the old ones go on.
    """
    _Server(settings, read_again).run()


def gunicorn_options(settings: Settings, hooks: _Hooks | None = None) -> dict[str, Any]:
    """All gunicorn settings that differ from its defaults, hooks included. Nothing is done yet."""
    hooks = hooks or _Hooks(settings)
    server = settings.server
    own = [settings.admin.bind] if settings.admin.bind else []
    options: dict[str, Any] = {
        "bind": [_address_text(server.host, server.port), *own],
        "workers": server.workers,
        "worker_class": "dingospeed.worker.Worker",
        "worker_connections": 4096,
        "backlog": 2048,
        "timeout": _HEARTBEAT_S,
        "graceful_timeout": ceil(server.graceful_timeout_s),
        "keepalive": ceil(server.keepalive_s),
        "forwarded_allow_ips": ",".join(server.trusted_proxies),
        "limit_request_line": 8190,  # as long as gunicorn can be told to take
        "limit_request_fields": 100,
        "limit_request_field_size": 8190,
        "accesslog": None,
        "errorlog": "-",
        "loglevel": settings.log.level,
        "logger_class": ServerLog,
        "preload_app": False,
        "control_socket_disable": True,
        "on_starting": hooks.on_starting,
        "when_ready": hooks.when_ready,
        "post_worker_init": hooks.post_worker_init,
        "worker_exit": hooks.worker_exit,
        "child_exit": hooks.child_exit,
        "on_exit": hooks.on_exit,
    }
    if os.access(_SHARED_MEMORY, os.W_OK):
        options["worker_tmp_dir"] = _SHARED_MEMORY  # a heartbeat must not wait for a busy disk
    return options


class ServerLog(Logger):  # type: ignore[misc]  # gunicorn has no types
    """gunicorn's own lines, handed to the handlers of all others."""

    def setup(self, cfg: Any) -> None:
        super().setup(cfg)
        self.error_log.handlers.clear()
        self.error_log.propagate = True


class _Server(BaseApplication):  # type: ignore[misc]
    def __init__(self, settings: Settings, read_again: Callable[[], Settings]) -> None:
        self._settings = settings
        self._read_again = read_again
        self._hooks = _Hooks(settings)
        super().__init__()

    def reload(self) -> None:
        """SIGHUP. A running server is not stopped by a slip in its settings: the old ones stay in force."""
        try:
            self._settings = self._hooks.settings = self._read_again()
        except ConfigError as error:
            _log.error("settings not reloaded, the old ones stay in force: %s", error)
        super().reload()

    def load_config(self) -> None:
        for name, value in gunicorn_options(self._settings, self._hooks).items():
            if name in self.cfg.settings:  # older ones have not all of them
                self.cfg.set(name, value)

    def load(self) -> Any:
        from dingospeed.app import create_app

        return create_app(self._settings)


class _Hooks:
    """What happens around the workers. Methods are named as gunicorn names the moments."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._roll_call: int | None = None
        self._ready_text = ""
        self._metrics: Path | None = None
        # In memory only, and the same in all workers.
        self._key = new_key()

    def on_starting(self, arbiter: Any) -> None:
        log.setup(self.settings.log.level, self.settings.log.format)
        check_cache(self.settings.cache.repos)
        if not _inherits_sockets():
            for address in arbiter.cfg.address:
                if isinstance(address, tuple):
                    check_port(*address)
        self._metrics = prepare_metrics()
        _raise_file_limit()

    def when_ready(self, arbiter: Any) -> None:
        host, port = _bound_address(arbiter)
        self._ready_text = (
            f"dingospeed {__version__} ready on http://{_address_text(host, port)}"
            f" ({_counted(arbiter.num_workers, 'worker')}, cache {self.settings.cache.repos})\n"
            f"export HF_ENDPOINT=http://{_address_text(reachable_host(host), port)}\n"
        )
        self._roll_call = _roll_call(arbiter.num_workers)
        stop_at_second_term(arbiter)

    def post_worker_init(self, worker: Any) -> None:
        # How long a worker that was replaced goes on. When all are to end, the arbiter's time counts.
        worker.cfg.set("graceful_timeout", ceil(self.settings.server.reload_timeout_s))
        # A worker that replaces another finds nobody called any more.
        if self._roll_call is not None and os.read(self._roll_call, 1) == _LAST:
            sys.stdout.write(self._ready_text)
            sys.stdout.flush()
        if (parts := _parts(worker)) is not None:
            parts.upkeep.warm_up.tokens.share(self._key)
            parts.start(lambda: worker.alive)

    def worker_exit(self, arbiter: Any, worker: Any) -> None:
        if (parts := _parts(worker)) is not None:
            parts.stop()

    def on_exit(self, arbiter: Any) -> None:
        if self._metrics is not None:
            shutil.rmtree(self._metrics, ignore_errors=True)

    def child_exit(self, arbiter: Any, worker: Any) -> None:
        if METRICS_DIR_VARIABLE in os.environ:
            from prometheus_client.multiprocess import mark_process_dead

            mark_process_dead(worker.pid)  # type: ignore[no-untyped-call]
            sheet_path(Path(os.environ[METRICS_DIR_VARIABLE]), worker.pid).unlink(missing_ok=True)


def _parts(worker: Any) -> Any:
    """The mirror behind a worker's application; None before that is there, and for others' applications."""
    return getattr(getattr(worker.app, "callable", None), "extensions", {}).get("dingospeed")


# --- before anything forks -----------------------------------------------------


def check_cache(repos: Path) -> None:
    """Exit with one line unless files can be made in *repos*."""
    try:
        repos.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=repos):
            pass
    except OSError as error:
        _refuse(f"the cache directory {repos} can not be written: {error.strerror}")


def check_port(host: str, port: int) -> None:
    """Exit with one line unless *port* is free: gunicorn itself would try for five seconds first."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, port))
    except OSError as error:
        _refuse(f"can not listen on {_address_text(host, port)}: {error.strerror}")


def prepare_metrics() -> Path | None:
    """An empty directory for the workers' counters, named to prometheus_client in the environment.

    To be removed at the end. None when the environment named one already; that is emptied, unless the
    workers of the server that is being replaced still count there.
    """
    # prometheus_client looks once, when imported: what it counts must not be chosen before this.
    named = os.environ.get(METRICS_DIR_VARIABLE)
    if named is None:
        # Never on the disk of the cache: the counters are sparse files mapped into memory, and to
        # touch a page that a full disk can not give is SIGBUS, the end of the worker.
        shared = _SHARED_MEMORY if os.access(_SHARED_MEMORY, os.W_OK) else None
        made = tempfile.mkdtemp(prefix="dingospeed-", dir=shared)
        os.environ[METRICS_DIR_VARIABLE] = made
        return Path(made)
    directory = Path(named)
    directory.mkdir(parents=True, exist_ok=True)
    if "GUNICORN_PID" not in os.environ:
        for left_over in (*directory.glob("*.db"), *directory.glob(SHEETS)):
            left_over.unlink(missing_ok=True)
    return None


def _raise_file_limit() -> None:
    # A client and the file it reads are two descriptors, and many systems begin with 1024.
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _OPEN_FILES if hard == resource.RLIM_INFINITY else min(_OPEN_FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _inherits_sockets() -> bool:
    return "GUNICORN_FD" in os.environ or os.environ.get("LISTEN_PID") == str(os.getpid())


def _refuse(why: str) -> NoReturn:
    sys.stderr.write(f"dingospeed can not start: {why}\n")
    sys.exit(1)


# --- ready ---------------------------------------------------------------------

_LAST = b"!"


def _roll_call(workers: int) -> int:
    """A pipe with one byte for each worker to take when it is up; who takes _LAST completes them."""
    taken_from, put_into = os.pipe()
    os.write(put_into, b"." * (workers - 1) + _LAST)
    os.close(put_into)  # with no writer left an empty pipe reads as b"" and never blocks
    return taken_from


def _bound_address(arbiter: Any) -> tuple[str, int]:
    name = arbiter.LISTENERS[0].getsockname()
    return (name[0], name[1]) if isinstance(name, tuple) else (str(name), 0)


def reachable_host(host: str) -> str:
    """What a client can call *host*: for "all addresses" the one that faces the network."""
    if host not in ("0.0.0.0", "::", ""):  # noqa: S104  # compared, not bound
        return host
    try:
        # Connecting UDP sends nothing; it only asks the routing table.
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.connect(("192.0.2.1", 9))  # RFC 5737: belongs to nobody
            return str(probe.getsockname()[0])
    except OSError:
        return "127.0.0.1"


def _address_text(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _counted(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


# --- stopping ------------------------------------------------------------------


def stop_at_second_term(arbiter: Any) -> None:
    """The first SIGTERM lets finish what is in flight; the next one ends it.

    gunicorn does so for SIGINT and SIGQUIT only, and its older versions for none.
    """
    terms = 0

    def on_term(number: int, frame: Any) -> None:
        nonlocal terms
        if os.getpid() != arbiter.pid:
            os._exit(0)  # a worker that has not set its own handlers yet: nothing is in flight
        terms += 1
        if terms == 1:
            arbiter.signal(number, frame)
        else:
            arbiter.signal(signal.SIGQUIT, frame)
            arbiter.kill_workers(signal.SIGQUIT)

    signal.signal(signal.SIGTERM, on_term)
