"""One environment per client, kept between runs below .venv-clients/.

What is pinned is made once. What is "newest" is looked up again on another day; when that can not be
done, the one of before is taken.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path

from tests.clients.roster import Client

PROJECT = Path(__file__).resolve().parents[2]
ENVIRONMENTS = PROJECT / ".venv-clients"
BUILD_LIMIT_S = 600
# How a tool of the system says which one it is; others know --version.
VERSION_COMMANDS = {"aria2": ("aria2c", "--version"), "git-lfs": ("git", "lfs", "version")}


class NoEnvironment(Exception):
    """The client could not be installed."""


class NotInstalled(Exception):
    """A program of the system is not there, and not ours to install."""


@dataclass(frozen=True, slots=True)
class Environment:
    """Where a client is installed: *python* to run programs with, or *modules* for node."""

    python: Path
    modules: Path | None = None
    versions: dict[str, str] = field(default_factory=dict)

    @property
    def path(self) -> str:
        return f"{self.python.parent}:{os.environ.get('PATH', '')}"


class Builder:
    """Makes environments; may be asked by several threads."""

    def __init__(self) -> None:
        self._uv: Path | None = None
        self._is_looked_for = False
        self._system = threading.Lock()

    def build(self, client: Client) -> Environment:
        """Raises NoEnvironment and NotInstalled."""
        match client.kind:
            case "python":
                return self._python(client)
            case "node":
                return self._node(client)
            case "tool":
                return self._tool(client)

    def _python(self, client: Client) -> Environment:
        folder = ENVIRONMENTS / client.slug
        python = folder / "bin/python"
        with _kept(folder, _stamp(client)) as is_made:
            if not is_made:
                try:
                    self._install(folder, client)
                except NoEnvironment:
                    if client.is_pinned or not (folder / "stamp").exists():
                        raise
        text = (
            "import json, sys, platform\n"
            "from importlib.metadata import PackageNotFoundError, version\n"
            "found = {'Python': platform.python_version()}\n"
            "for name in sys.argv[1:]:\n"
            "    try: found[name] = version(name)\n"
            "    except PackageNotFoundError: pass\n"
            "print(json.dumps(found))\n"
        )
        told = _run([str(python), "-c", text, *client.versions])
        return Environment(python, versions=json.loads(told))

    def _install(self, folder: Path, client: Client) -> None:
        uv = self._installer()
        if uv is not None:
            try:
                self._install_with(uv, folder, client)
                return
            except NoEnvironment:
                # It knows nothing of how pip is set up here: another index, a certificate, a proxy.
                if (folder / "stamp").exists():
                    raise
        self._install_with(None, folder, client)

    def _install_with(self, uv: Path | None, folder: Path, client: Client) -> None:
        python = str(folder / "bin/python")
        if not (folder / "stamp").exists():
            shutil.rmtree(folder, ignore_errors=True)
            make = [str(uv), "venv", "-q", "-p", sys.executable] if uv else [sys.executable, "-m", "venv"]
            _run([*make, str(folder)])
        pip = [str(uv), "pip"] if uv else [python, "-m", "pip"]
        which = ["-p", python] if uv else []
        _run([*pip, "install", "-q", *which, "--upgrade", *client.requires])
        if client.without:
            _run([*pip, "uninstall", "-q", *which, *([] if uv else ["-y"]), *client.without])

    def _installer(self) -> Path | None:
        """uv, which is much faster than pip; None where it can not be had."""
        with self._system:
            if not self._is_looked_for:
                self._is_looked_for = True
                folder = ENVIRONMENTS / "uv"
                if not (folder / "bin/uv").exists():
                    _run([sys.executable, "-m", "venv", "--clear", str(folder)])
                    try:
                        _run([str(folder / "bin/python"), "-m", "pip", "install", "-q", "uv"])
                    except NoEnvironment:
                        return None
                self._uv = folder / "bin/uv"
        return self._uv

    def _node(self, client: Client) -> Environment:
        if shutil.which("node") is None or shutil.which("npm") is None:
            raise NotInstalled("node and npm are not installed here.")
        folder = ENVIRONMENTS / client.slug
        with _kept(folder, _stamp(client)) as is_made:
            if not is_made:
                folder.mkdir(parents=True, exist_ok=True)
                (folder / "package.json").write_text('{"private": true}\n')
                latest = [name if "@" in name[1:] else f"{name}@latest" for name in client.requires]
                try:
                    _run(["npm", "install", "--silent", "--no-fund", "--no-audit", *latest], folder=folder)
                except NoEnvironment:
                    if not (folder / "stamp").exists():
                        raise
        versions = {"node": _run(["node", "--version"]).strip().removeprefix("v")}
        for name in client.versions:
            told = json.loads((folder / "node_modules" / name / "package.json").read_text())
            versions[name] = told["version"]
        return Environment(Path(sys.executable), modules=folder, versions=versions)

    def _tool(self, client: Client) -> Environment:
        commands = {name: VERSION_COMMANDS.get(name, (name, "--version")) for name in client.requires}
        with self._system:
            missing = [name for name, command in commands.items() if not _answers(command)]
            if missing and os.getuid() == 0 and shutil.which("apt-get"):
                _run(["apt-get", "update", "-qq"])
                _run(["apt-get", "install", "-y", "-qq", *missing])
                missing = [name for name, command in commands.items() if not _answers(command)]
        if missing:
            raise NotInstalled(
                f"{' and '.join(missing)} {'are' if missing[1:] else 'is'} not installed here."
            )
        versions = {name: _number(_run(list(command))) for name, command in commands.items()}
        return Environment(Path(sys.executable), versions=versions)


@contextmanager
def _kept(folder: Path, stamp: str) -> Iterator[bool]:
    """Whether *folder* was made to this *stamp*; nobody else works on it meanwhile. Stamped on a good end."""
    ENVIRONMENTS.mkdir(exist_ok=True)
    with (ENVIRONMENTS / f"{folder.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        path = folder / "stamp"
        is_made = path.exists() and path.read_text() == stamp
        yield is_made
        if not is_made:
            path.write_text(stamp)


def _stamp(client: Client) -> str:
    today = "" if client.is_pinned else datetime.now(timezone.utc).date().isoformat()
    return json.dumps([client.requires, client.without, sys.version, today])


def _answers(command: tuple[str, ...]) -> bool:
    if shutil.which(command[0]) is None:
        return False
    return subprocess.run(command, check=False, capture_output=True).returncode == 0


def _number(told: str) -> str:
    """The first word with a digit in front and a dot in it: ``curl 7.88.1 (x86_64…``."""
    words = told.replace("/", " ").split()
    return next((word.rstrip(",;") for word in words if word[0].isdigit() and "." in word), "?")


def _run(command: list[str], folder: Path | None = None) -> str:
    environ = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    try:
        done = subprocess.run(
            command,
            check=False,
            capture_output=True,
            text=True,
            timeout=BUILD_LIMIT_S,
            cwd=folder,
            env=environ,
        )
    except subprocess.TimeoutExpired as error:
        raise NoEnvironment(f"{command[0]} took more than {BUILD_LIMIT_S} s") from error
    if done.returncode != 0:
        said = [line for line in (done.stderr or done.stdout).splitlines() if line.strip()]
        raise NoEnvironment(f"{Path(command[0]).name}: {said[-1].strip() if said else 'failed'}")
    return done.stdout
