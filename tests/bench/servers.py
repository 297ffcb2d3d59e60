"""The servers on the stage beside the mirror: nginx, and Olah from PyPI."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path
from urllib.parse import urlsplit

from tests.bench.load import PROJECT, Processes, Server
from tests.nginx import make_certificate

PATIENCE_S = 60
OLAH = PROJECT / ".venv-bench-olah"

NGINX = """\
{user}worker_processes 2;
daemon off;
error_log {folder}/error.log;
pid {folder}/nginx.pid;
events {{ worker_connections 1024; }}
http {{
    log_format connections '$connection';
    access_log {folder}/access.log connections;
    default_type application/octet-stream;
    sendfile on;
    tcp_nopush on;
    keepalive_requests 1000000;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    server {{
        listen 127.0.0.1:{port}{tls};
        # The address of a CDN: whatever comes before the name of the content, and whatever is signed.
        location ~ ^/xet-bridge-us/[0-9a-f]+/(?<name>[0-9a-f]+)$ {{ alias {files}/$name; }}
        location / {{ root {files}; }}
    }}
}}
"""


TLS = " ssl; ssl_certificate {folder}/cert.pem; ssl_certificate_key {folder}/cert.key"


class Nginx:
    """nginx as people have it: static files by sendfile. *files*: the directory it gives out.

    With TLS it has a certificate of its own, which is at *ca*.
    """

    def __init__(self, folder: Path, files: Path, *, has_tls: bool = False) -> None:
        folder.mkdir()
        self.port = free_port()
        self.url = f"https://localhost:{self.port}" if has_tls else f"http://127.0.0.1:{self.port}"
        self.ca = folder / "cert.pem"
        if has_tls:
            make_certificate(folder)
        tls = TLS.format(folder=folder) if has_tls else ""
        self._log = folder / "access.log"
        config = folder / "nginx.conf"
        # Started by root its workers would be somebody else, who may not look into our folder.
        user = "user root;\n" if os.geteuid() == 0 else ""
        config.write_text(NGINX.format(user=user, folder=folder, files=files, port=self.port, tls=tls))
        program = shutil.which("nginx") or "/usr/sbin/nginx"
        self._process = subprocess.Popen([program, "-c", str(config), "-p", str(folder)])
        wait_for_port(self.port)
        self.server = Server(self.url, Processes((self._process.pid,)))

    @property
    def answered(self) -> list[str]:
        """The number of the connection, for each request so far."""
        return self._log.read_text().split()

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait(PATIENCE_S)


class Olah:
    """Olah, newest from PyPI, in an environment of its own; two workers."""

    def __init__(self, folder: Path, hub_url: str) -> None:
        folder.mkdir()
        self.port = free_port()
        hub = urlsplit(hub_url).netloc
        own = f"127.0.0.1:{self.port}"
        settings = {
            "host": "127.0.0.1",
            "port": self.port,
            "hf-scheme": "http",
            "hf-netloc": hub,
            "hf-lfs-netloc": hub,
            "mirror-scheme": "http",
            "mirror-netloc": own,
            "mirror-lfs-netloc": own,
            "repos-path": str(folder / "repos"),
            "cache-compression": "none",
        }
        lines = [
            f"{key} = {value if isinstance(value, int) else repr(value)}" for key, value in settings.items()
        ]
        config = folder / "olah.toml"
        config.write_text("\n".join(["[basic]", *lines, ""]))
        command = ["uvicorn", "olah.server:app", "--host", "127.0.0.1", "--port", str(self.port)]
        with (folder / "olah.log").open("wb") as log:
            self._process = subprocess.Popen(
                [OLAH / "bin/python", "-m", *command, "--workers", "2"],
                cwd=folder,
                env={
                    **{name: value for name, value in os.environ.items() if "proxy" not in name.lower()},
                    "OLAH_CONFIG": str(config),
                    "OLAH_LOG_PATH": str(folder / "logs"),
                    "NO_PROXY": "127.0.0.1,localhost",
                },
                stdout=log,
                stderr=log,
            )
        wait_for_port(self.port)
        self._folder = folder
        self.server = Server(f"http://{own}", Processes((self._process.pid,)))

    def forget(self) -> None:
        """Make its cache of files cold again."""
        shutil.rmtree(self._folder / "repos" / "lfs", ignore_errors=True)
        shutil.rmtree(self._folder / "repos" / "files", ignore_errors=True)
        os.sync()

    @staticmethod
    def install() -> str:
        """Make its environment if there is none; the version."""
        python = OLAH / "bin/python"
        if not (OLAH / "installed").exists():
            subprocess.run([sys.executable, "-m", "venv", "--clear", str(OLAH)], check=True)
            subprocess.run(
                [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "olah"], check=True
            )
            (OLAH / "installed").touch()
        asked = "from importlib.metadata import version; print(version('olah'))"
        return subprocess.run(
            [python, "-c", asked], check=True, capture_output=True, text=True
        ).stdout.strip()

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait(PATIENCE_S)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for_port(port: int) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)
        else:
            return
