"""A redis-server that speaks TLS only, with a certificate of an authority of its own, to users of its own."""

import subprocess

import redis as library

from tests.redis_server import RedisServer

USER, PASSWORD = "node", "a:pass/word@ours"
# As docs/cluster.md says what a node needs.
RIGHTS = "~dingospeed:* resetchannels -@all +@read +@write +@connection +time -@dangerous"


class TlsRedisServer(RedisServer):
    """Its own client is the administrator; *ca* is the file that nodes are to trust."""

    def __init__(self, folder):
        self.ca = make_authority(folder, "ours")
        key, certificate = make_certificate(folder, "ours")
        super().__init__(
            *("--tls-auth-clients", "no", "--tls-ca-cert-file", str(self.ca)),
            *("--tls-cert-file", str(certificate), "--tls-key-file", str(key)),
            *("--user", "default", "on", ">root", "~*", "&*", "+@all"),
            *("--user", USER, "on", f">{PASSWORD}", *RIGHTS.split()),
        )
        self.ports = {"port": 0, "tls-port": self.port}
        self.client = library.Redis(
            host=self.host,
            port=self.port,
            password="root",
            ssl=True,
            ssl_ca_certs=str(self.ca),
            decode_responses=True,
        )

    def url_for(self, ca, *, user=USER, password="a%3Apass%2Fword%40ours"):
        return f"rediss://{user}:{password}@{self.host}:{self.port}/0?ssl_ca_certs={ca}"


def make_authority(folder, name):
    """The certificate of a new authority; its key lies beside it."""
    certificate = folder / f"{name}-ca.pem"
    _openssl(
        *("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", f"/CN=authority {name}"),
        *("-keyout", str(folder / f"{name}-ca.key"), "-out", str(certificate)),
    )
    return certificate


def make_certificate(folder, authority):
    """Key and certificate of a server on 127.0.0.1."""
    key, asked, signed = (folder / f"{authority}-server.{kind}" for kind in ("key", "csr", "pem"))
    names = folder / "names"
    names.write_text("subjectAltName=IP:127.0.0.1\n")
    _openssl(
        *("req", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=redis"),
        *("-keyout", str(key), "-out", str(asked)),
    )
    _openssl(
        *("x509", "-req", "-in", str(asked), "-days", "2", "-CAcreateserial", "-extfile", str(names)),
        *("-CA", str(folder / f"{authority}-ca.pem"), "-CAkey", str(folder / f"{authority}-ca.key")),
        *("-out", str(signed)),
    )
    return key, signed


def _openssl(*arguments):
    subprocess.run(["openssl", *arguments], check=True, capture_output=True, timeout=60)
