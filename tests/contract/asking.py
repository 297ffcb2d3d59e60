"""Words that the tests of this folder have in common: who asks, for what, and how answers are compared."""

import contextlib
import socket
from urllib.parse import urlsplit

from tests.harness import Mirror

LET_IN, OTHER, INVALID = "hf_letin000000", "hf_other000000", "hf_nobody00000"
# All clients since huggingface_hub 0.20 give up when nothing came for so long.
CLIENT_PATIENCE_S = 10

SMALL, BIG, EMPTY = "config.json", "model.safetensors", "empty.txt"
DEEP, MORE = "nested/a/deep.txt", "nested/more.bin"
BIG_BYTES = 1_200_000

XET_ACCEPT = "application/vnd.xet-fileinfo+json, */*"
FORM = "application/x-www-form-urlencoded"

# What may differ between two answers to the same question.
VOLATILE = frozenset({"date", "x-request-id"})


def resolve(repo, path, revision="main"):
    """Where a file is asked for; *path* and *revision* encoded if need be."""
    return f"{repo.address}/resolve/{revision}/{path}"


def api(repo, rest=""):
    return repo.api_address + rest


def said(headers):
    """Headers to compare."""
    return {name.lower(): value for name, value in headers.items() if name.lower() not in VOLATILE}


def next_page(mirror, headers):
    """The path behind ``Link: rel="next"``, None at the end; it has to lead to the mirror."""
    link = headers["Link"]
    if link is None:
        return None
    assert link.startswith(f"<{mirror.url}/"), link
    assert link.endswith('>; rel="next"'), link
    return link[len(mirror.url) + 1 : -len('>; rel="next"')]


def pages(mirror, path, **options):
    """The JSON of all pages."""
    following: str | None = path
    while following is not None:
        status, headers, found = mirror.json(following, **options)
        assert status == 200, found
        yield found
        following = next_page(mirror, headers)


def hosts_of(*hubs):
    """Names that no answer may hold."""
    own = [urlsplit(url).netloc for hub in hubs for url in (hub.url, hub.cdn_url)]
    return [*own, "huggingface.co", "hf.co", "xethub"]


def begin(mirror: Mirror, path: str, *, receive_buffer: int = 4096, **headers: str) -> socket.socket:
    """A bare socket on which a file was asked for; nothing was read yet."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    sock.settimeout(CLIENT_PATIENCE_S)
    sock.connect(("127.0.0.1", mirror.port))
    lines = [f"GET {path} HTTP/1.1", f"Host: 127.0.0.1:{mirror.port}", "Connection: close"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    # Paths go out as they are, as some clients send them.
    sock.sendall("\r\n".join([*lines, "", ""]).encode())
    return sock


def spoken(mirror, path, **headers):
    """Status and body of a request whose path is sent as it is, without any encoding."""
    with contextlib.closing(begin(mirror, path, receive_buffer=1 << 20, **headers)) as sock:
        answer = b""
        while data := sock.recv(1 << 16):
            answer += data
    head, _, body = answer.partition(b"\r\n\r\n")
    return int(head.split()[1]), body
