"""A whole mirror to test: gunicorn with two workers, and real clients of it."""

import hashlib
import http.client
import json
import os
import resource
import signal
import subprocess
import sys
import textwrap
import threading
import time
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psutil
import yaml

from tests import group_of_one

PATIENCE_S = 60
PROGRAM = "from dingospeed.cli import main; main()"
# Impatient lines, so that broken ones are left within a test's time. A block is small and a segment has
# eight, so that modest files have many of both.
SETTINGS: dict[str, dict[str, Any]] = {
    "server": {"host": "127.0.0.1", "port": 0, "workers": 2, "graceful_timeout_s": 10},
    "upstream": {"timeouts": {"connect_s": 1, "read_s": 2}, "probe_s": 0.2, "probe_max_s": 0.5},
    "metadata": {"ttl_s": 3600},
    "access": {"allowed_ttl_s": 3600, "denied_ttl_s": 3600},
    "download": {"block_bytes": 65536, "segment_blocks": 8, "read_ahead": 4},
}


def bare_environ():
    """That of this process, without any setting of ours or of clients."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("DINGO", "HF_"))}


class Mirror:
    """`dingospeed serve`, running."""

    def __init__(self, folder, lines, settings):
        self.folder = folder
        self.repos = folder / "repos"
        self.lines = lines
        self.settings = settings
        self.process: Any = None
        self.host = settings.get("server", {}).get("host", "127.0.0.1")
        self.port: Any = settings.get("server", {}).get("port", 0)
        self.log_path = folder / "mirror.log"
        # What it is started by, if not by itself.
        self.prefix: list[str] = []

    def start(self, *flags):
        """Start, and wait until all workers answer. The port stays the same over restarts."""
        merged = {
            section: {**values, **self.settings.get(section, {})} for section, values in SETTINGS.items()
        }
        merged.update({section: values for section, values in self.settings.items() if section not in merged})
        grouped = {} if "cluster" in merged else group_of_one.settings_for(self.host, self.port)
        self.port = grouped.get("server", {}).get("port", self.port)
        merged["server"]["port"] = self.port
        if "cluster" in grouped:
            merged["cluster"] = grouped["cluster"]
        merged["cache"] = {"repos": str(self.repos), "public": str(self.folder / "public")}
        merged["upstream"] = {"lines": self.lines, **merged["upstream"]}
        config = self.folder / "mirror.yaml"
        config.write_text(yaml.safe_dump(merged))
        with self.log_path.open("ab") as log:
            self.process = subprocess.Popen(
                [*self.prefix, sys.executable, "-c", PROGRAM, "serve", "--config", str(config), *flags],
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                cwd=self.folder,
                env=bare_environ(),
            )
        ready = self.process.stdout.readline()
        assert "ready on" in ready, self.log()
        self.url = self.process.stdout.readline().split("=", 1)[1].strip()
        self.port = urlsplit(self.url).port
        return self

    def stop(self):
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(PATIENCE_S)
            except subprocess.TimeoutExpired:
                self.process.kill()
                raise
            finally:
                self.process.stdout.close()

    def kill(self):
        """All its processes at once, in the middle of whatever they do."""
        workers = self.workers()
        self.process.kill()
        for worker in workers:
            with suppress(psutil.NoSuchProcess):
                worker.kill()
        self.process.wait(PATIENCE_S)
        psutil.wait_procs(workers, timeout=PATIENCE_S)
        self.process.stdout.close()

    def command(self, *arguments, patience_s=PATIENCE_S):
        """What `dingospeed <arguments>` prints, told of this mirror's settings."""
        command = [sys.executable, "-c", PROGRAM, *arguments, "--config", str(self.folder / "mirror.yaml")]
        environ = {**bare_environ(), "DINGOSPEED_SERVER__PORT": str(self.port)}
        done = subprocess.run(
            command, env=environ, capture_output=True, text=True, timeout=patience_s, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def restart(self, *flags):
        self.stop()
        return self.start(*flags)

    def workers(self):
        return psutil.Process(self.process.pid).children()

    def upkeep(self):
        """The pid of the worker that does the upkeep, None while nobody does."""
        for worker in self.workers():
            # One that was killed a moment ago may be no more.
            with suppress(psutil.Error):
                if any(file.path.endswith("run/upkeep") for file in worker.open_files()):
                    return worker.pid
        return None

    def metric(self, name):
        """The sum of all lines of /metrics that begin with *name*."""
        lines = self.get("/metrics")[2].decode().splitlines()
        return sum(float(line.split()[-1]) for line in lines if line.startswith(name))

    def cached_bytes(self):
        """What the blobs take of the disk."""
        found = 0
        for path in (self.repos / "blobs").glob("??/*"):
            with suppress(FileNotFoundError):
                found += path.stat().st_blocks * 512
        return found

    def log(self):
        return self.log_path.read_text(errors="replace")

    def sealed(self):
        """The etags of all complete blobs."""
        return {path.name for path in (self.repos / "blobs").glob("??/*") if "." not in path.name}

    def connect(self):
        return http.client.HTTPConnection(self.host, self.port, timeout=PATIENCE_S)

    def get(self, path, *, method="GET", token=None, headers=None, body=None):
        """Status, headers and body. A body cut short raises IncompleteRead or ConnectionError."""
        sent = {"Authorization": f"Bearer {token}"} if token else {}
        with closing(self.connect()) as connection:
            connection.request(method, path, body=body, headers={**sent, **(headers or {})})
            answer = connection.getresponse()
            return answer.status, answer.headers, answer.read()

    def json(self, path, **options):
        status, headers, body = self.get(path, **options)
        return status, headers, json.loads(body)


@contextmanager
def mirrors_in(folder):
    """A function that makes mirrors, each with a cache of its own; they are stopped at the end."""
    made: list[Mirror] = []

    def make(*hubs, **settings):
        own = folder / f"mirror{len(made)}"
        own.mkdir(exist_ok=True)
        # Only the first is the Hub itself; the others are lines that must see no token.
        lines = [{"url": hub.url, "hub": index == 0} for index, hub in enumerate(hubs)]
        mirror = Mirror(own, lines, settings)
        made.append(mirror)
        return mirror.start()

    try:
        yield make
    finally:
        for mirror in made:
            mirror.stop()


class Client:
    """The real huggingface_hub, in a process and a cache of its own."""

    def __init__(self, folder, endpoint, **variables):
        """*variables*: of its environment, besides those that every client here has."""
        self.home = folder
        self.endpoint = endpoint
        self.variables = variables

    def environ(self, token=None):
        kept = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
        environ = {
            **kept,
            "HF_ENDPOINT": self.endpoint,
            "HF_HOME": str(self.home),
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "HF_HUB_DISABLE_UPDATE_CHECK": "1",
            "HF_HUB_DISABLE_PROGRESS_BARS": "1",
            # Whoever goes round the mirror runs into a closed door.
            "HTTPS_PROXY": "http://127.0.0.1:9",
            "NO_PROXY": "127.0.0.1,localhost",
            **self.variables,
        }
        if token:
            environ["HF_TOKEN"] = token
        return environ

    def start(self, code, *, token=None):
        """Python *code* with `from huggingface_hub import *` done; it prints JSON."""
        text = "import json, sys\nfrom huggingface_hub import *\n" + textwrap.dedent(code)
        return subprocess.Popen(
            [sys.executable, "-c", text],
            env=self.environ(token),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, code, *, token=None):
        """What *code* prints as JSON. Fails with the client's own words."""
        return finish(self.start(code, token=token))

    def snapshot(self, repo, *, token=None, **arguments):
        """Download a snapshot; {path: sha256} of what lies on disk then."""
        called = f"snapshot_download({repo!r}, **{arguments!r})"
        return hashes(Path(self.run(f"print(json.dumps({called}))", token=token)))


@contextmanager
def small_disk(path, *, size_bytes):
    """A file system of *size_bytes* at *path*; where none can be mounted, no file gets longer than that.

    The second holds for processes started meanwhile, too.
    """
    command = ["mount", "-t", "tmpfs", "-o", f"size={size_bytes}", "dingospeed-test", str(path)]
    if os.getuid() == 0 and subprocess.run(command, check=False, capture_output=True).returncode == 0:
        try:
            yield
        finally:
            subprocess.run(["umount", "--lazy", str(path)], check=True)
        return
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def finish(process):
    out, err = process.communicate(timeout=PATIENCE_S * 2)
    assert process.returncode == 0, err[-4000:]
    return json.loads(out.strip().splitlines()[-1])


def hashes(folder):
    """{relative path: sha256} of all files below *folder*."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): sha256_file(path) for path in files}


def sha256_file(path):
    with path.open("rb") as file:
        return (
            hashlib.file_digest(file, "sha256").hexdigest()
            if hasattr(hashlib, "file_digest")
            else _slow(file)
        )


def _slow(file):
    digest = hashlib.sha256()
    while data := file.read(1 << 20):
        digest.update(data)
    return digest.hexdigest()


def expected(repo, revision="main"):
    """{path: sha256} of a repo of the fake Hub."""
    return {path: repo.sha256(path, revision=revision) for path in repo.files(revision)}


def all_at_once(calls):
    """Run *calls* in threads, begun together; their results in order, exceptions as values."""
    results: list[Any] = [None] * len(calls)
    gate = threading.Barrier(len(calls))

    def one(index, call):
        gate.wait()
        try:
            results[index] = call()
        except Exception as error:  # noqa: BLE001 - handed to the test
            results[index] = error

    threads = [threading.Thread(target=one, args=pair, daemon=True) for pair in enumerate(calls)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE_S * 2)
    return results


def wait_until(is_true, what="it"):
    deadline = time.monotonic() + PATIENCE_S
    while not is_true():
        assert time.monotonic() < deadline, f"{what} never came true"
        time.sleep(0.02)
