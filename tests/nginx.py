"""A real nginx with the configuration that users are given, in front of a mirror."""

import socket
import ssl
import subprocess
from contextlib import contextmanager

from tests.conftest import ROOT
from tests.harness import wait_until

# Around what goes into the http block: what a distribution's own file has.
_AROUND = """
user root;
worker_processes {workers};
pid {folder}/nginx.pid;
error_log {folder}/error.log warn;
events {{ worker_connections 512; }}
http {{
    access_log off;
    default_type application/octet-stream;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    include {folder}/dingospeed.conf;
}}
"""
# Each has to be in our file once, or this would test something else.
_PLACES = {
    "server 127.0.0.1:8090;": "server 127.0.0.1:{mirror};",
    "listen 80;": "listen 127.0.0.1:{plain};",
    "listen 443 ssl;": "listen 127.0.0.1:{tls} ssl;",
    "/etc/nginx/tls/hub.example.org.pem": "{folder}/cert.pem",
    "/etc/nginx/tls/hub.example.org.key": "{folder}/cert.key",
    "alias /var/lib/dingospeed/repos/blobs/;": "alias {blobs}/;",
}


class Nginx:
    """Where it listens: *port* plain, *tls_port* with the certificate at *ca*; *pid* is its first process."""

    def __init__(self, folder, port, tls_port, pid):
        self.pid = pid
        self.port = port
        self.tls_port = tls_port
        self.ca = folder / "cert.pem"
        self.url = f"http://127.0.0.1:{port}"
        self.tls_url = f"https://localhost:{tls_port}"


@contextmanager
def nginx_before(mirror, folder, *, blobs=None, workers=1):
    """nginx in front of *mirror*; *blobs* in place of the mirror's own, to lead it astray."""
    folder.mkdir()
    plain, tls = _free_ports(2)
    make_certificate(folder)
    text = (ROOT / "conf/nginx.conf").read_text()
    for ours, theirs in _PLACES.items():
        assert text.count(ours) == 1, ours
        text = text.replace(
            ours,
            theirs.format(
                mirror=mirror.port, plain=plain, tls=tls, folder=folder, blobs=blobs or mirror.repos / "blobs"
            ),
        )
    (folder / "dingospeed.conf").write_text(text)
    (folder / "nginx.conf").write_text(_AROUND.format(folder=folder, workers=workers))
    command = ["nginx", "-p", str(folder), "-e", str(folder / "error.log"), "-c", str(folder / "nginx.conf")]
    checked = subprocess.run([*command, "-t"], capture_output=True, text=True, check=False, timeout=60)
    assert checked.returncode == 0, checked.stderr
    process = subprocess.Popen([*command, "-g", "daemon off;"])
    try:
        wait_until(lambda: _listens(plain) and _listens(tls), "nginx")
        yield Nginx(folder, plain, tls, process.pid)
    finally:
        process.terminate()
        process.wait(60)


def make_certificate(folder):
    """cert.pem and cert.key for localhost, signed by itself."""
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"),
            *("-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"),
            *("-keyout", str(folder / "cert.key"), "-out", str(folder / "cert.pem")),
        ],
        check=True,
        capture_output=True,
        timeout=60,
    )


def trusting(nginx):
    """A TLS context that believes this nginx and nobody else."""
    return ssl.create_default_context(cafile=str(nginx.ca))


def _free_ports(count):
    sockets = [socket.socket() for _ in range(count)]
    try:
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]
    finally:
        for one in sockets:
            one.close()


def _listens(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
