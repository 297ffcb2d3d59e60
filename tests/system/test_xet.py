"""Xet from the mirror itself: the newest client with hf_xet, and nothing of it goes elsewhere."""

import datetime
import ipaddress
import socket
import subprocess
from contextlib import closing

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from dingospeed.mirror.xorbs import BLOCK_BYTES
from dingospeed.testing import File, Generated
from tests.clients.guard import HOOKS, Guard
from tests.harness import Client, all_at_once, expected, wait_until

pytestmark = pytest.mark.server

LET_IN = "hf_letin000000"
# Two blocks, the second a short one; less than a chunk.
SIZES = {"big.bin": BLOCK_BYTES + 12_345, "small.bin": 100}
BLOCKS = 3
FILES = {
    "config.json": b"{}",
    "big.bin": Generated(SIZES["big.bin"], seed=1),
    "small.bin": File(b"s" * SIZES["small.bin"], lfs=True),
}
ON = {"xet": {"mode": "on"}}


@pytest.fixture
def hub(hub):
    hub.add_user("ann", token=LET_IN)
    for bucket in ("api", "resolvers"):
        hub.rate_limits.set(bucket, 1_000_000)
    return hub


def add(hub, id="org/model", files=FILES, **rights):
    repo = hub.add_repo("models", id, **rights)
    repo.commit(files)
    repo.grant("ann")
    return repo


@pytest.fixture
def guard():
    guard = Guard()
    yield guard
    guard.stop()


def blocks_asked(mirror, repo):
    """How many answers with a block of *repo* there were."""
    etags = [repo.sha256(path) for path in SIZES]
    return sum(mirror.log().count(f" GET /-/xet/blocks/{etag}/") for etag in etags)


def test_snapshot__xet_on__cold_warm_and_offline_and_nobody_else_is_spoken_to(
    hub, make_mirror, guard, tmp_path
):
    repo, mirror = add(hub), make_mirror(hub, **ON)
    guard.start(mirror.port)
    notes = tmp_path / "notes"

    def snapshot(name):
        (tmp_path / name).mkdir()
        client = Client(tmp_path / name, mirror.url, **guard.environ(notes), PYTHONPATH=str(HOOKS))
        before = blocks_asked(mirror, repo)
        found = client.snapshot("org/model")
        assert blocks_asked(mirror, repo) >= before + BLOCKS, "it was not fetched by Xet"
        return found

    assert snapshot("cold") == expected(repo)
    assert hub.bytes_sent(host="cdn") == sum(SIZES.values())
    hub.reset_counters()
    assert snapshot("warm") == expected(repo)
    assert hub.calls == []
    mirror.restart("--offline")
    assert snapshot("offline") == expected(repo)
    assert hub.calls == []
    assert guard.take(notes) == []


def test_snapshots__two_clients_at_once__each_byte_once(hub, make_mirror, make_client):
    repo, mirror = add(hub), make_mirror(hub, **ON)
    clients = [make_client(mirror) for _ in range(2)]

    found = all_at_once([lambda client=client: client.snapshot("org/model") for client in clients])

    assert found == [expected(repo)] * 2
    assert hub.bytes_sent(host="cdn") == sum(SIZES.values())


def test_private__cold__fetched_in_the_callers_name(hub, make_mirror, make_client):
    repo, mirror = add(hub, private=True), make_mirror(hub, **ON)

    assert make_client(mirror).snapshot("org/model", token=LET_IN) == expected(repo)
    assert blocks_asked(mirror, repo) >= BLOCKS
    assert LET_IN not in mirror.log()


def test_content__wrong_in_the_first_block__no_client_gets_it_and_the_next_try_is_right(
    hub, make_mirror, make_client
):
    """The wrong block has left long before the hash is known, and the client looks at nothing."""
    repo = add(hub, files={"big.bin": FILES["big.bin"]})
    client = make_client(make_mirror(hub, **ON))
    hub.fault("cdn", "corrupt", offset=5, times=1)

    process = client.start("print(json.dumps(hf_hub_download('org/model', 'big.bin')))")
    _, errors = process.communicate(timeout=60)

    assert process.returncode != 0
    assert "404" in errors
    assert list(client.home.glob(f"hub/*/blobs/{repo.sha256('big.bin')}")) == []
    assert client.snapshot("org/model") == expected(repo)


# --- behind a proxy ------------------------------------------------------------------------

NGINX = """
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/nginx.log;
events {{ worker_connections 256; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    server {{
        listen 127.0.0.1:{port} ssl;
        ssl_certificate {folder}/cert.pem;
        ssl_certificate_key {folder}/key.pem;
        location /team/hf/ {{
            proxy_pass {mirror}/;
            proxy_http_version 1.1;
            proxy_buffering off;
            proxy_set_header Host $http_host;
            proxy_set_header X-Forwarded-Proto $scheme;
            proxy_set_header X-Forwarded-Host $http_host;
            proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
            proxy_set_header X-Forwarded-Prefix /team/hf;
        }}
    }}
}}
"""


@pytest.fixture
def nginx(tmp_path):
    """Starts an nginx with TLS that serves a mirror under a path; its address, and the CA it is known by."""
    started = []

    def start(mirror):
        with closing(socket.socket()) as sock:
            sock.bind(("127.0.0.1", 0))
            port = sock.getsockname()[1]
        make_certificates(tmp_path)
        config = tmp_path / "nginx.conf"
        config.write_text(NGINX.format(folder=tmp_path, port=port, mirror=mirror.url))
        started.append(subprocess.Popen(["nginx", "-c", str(config), "-g", "daemon off;"]))
        wait_until(lambda: answers(port), "nginx")
        return f"https://127.0.0.1:{port}/team/hf", tmp_path / "ca.pem"

    yield start
    for process in started:
        process.terminate()
        process.wait(30)


def answers(port):
    with closing(socket.socket()) as sock:
        return sock.connect_ex(("127.0.0.1", port)) == 0


def make_certificates(folder):
    """A CA in ca.pem, and by it cert.pem and key.pem of 127.0.0.1. One in both roles is refused by hf_xet."""
    ca_key, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    ca = signed("a CA under test", ca_key, by="a CA under test", ca_key=ca_key, is_ca=True)
    own = signed("a mirror under test", key, by="a CA under test", ca_key=ca_key, is_ca=False)
    for name, certificate in (("ca.pem", ca), ("cert.pem", own)):
        (folder / name).write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    form = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    (folder / "key.pem").write_bytes(key.private_bytes(serialization.Encoding.PEM, *form))


def signed(name, key, *, by, ca_key, is_ca):
    now = datetime.datetime.now(datetime.timezone.utc)
    address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    return (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
        .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, by)]))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([address]), critical=False)
        .add_extension(x509.BasicConstraints(ca=is_ca, path_length=None), critical=True)
        .sign(ca_key, hashes.SHA256())
    )


def test_snapshot__behind_nginx_with_tls_under_a_path__right_by_xet(hub, make_mirror, make_client, nginx):
    repo = add(hub)
    mirror = make_mirror(hub, **ON, server={"trusted_proxies": ["127.0.0.1"]})
    url, ca = nginx(mirror)
    client = make_client(mirror)
    client.endpoint, client.variables = url, {"SSL_CERT_FILE": str(ca)}

    assert client.snapshot("org/model") == expected(repo)
    assert blocks_asked(mirror, repo) >= BLOCKS
