"""nginx in front, as conf/nginx.conf has it: what it sends for us is what we would have sent."""

import http.client
import json
import os
from contextlib import closing

import pytest

from dingospeed.testing import FakeHub, Generated
from tests.harness import Client, expected, hashes, mirrors_in
from tests.nginx import nginx_before, trusting

pytestmark = pytest.mark.server

SIZE = 3_000_001
ANN = "hf_ann00000000000000000000000000000000"
# What may differ: when, under which id, and how the connection goes on.
VOLATILE = {"date", "server", "connection", "x-request-id", "keep-alive"}


@pytest.fixture(scope="module")
def hub():
    with FakeHub() as hub:
        for bucket in ("api", "resolvers"):
            hub.rate_limits.set(bucket, 1_000_000)
        hub.add_user("ann", token=ANN)
        for repo in (hub.add_repo("models", "org/open"), hub.add_repo("models", "org/gated", gated="auto")):
            repo.commit({"big.bin": Generated(SIZE, seed=5), "größe.txt": b"words", "empty": b""})
            repo.grant("ann")
        yield hub


@pytest.fixture(scope="module")
def mirror(hub, tmp_path_factory):
    with mirrors_in(tmp_path_factory.mktemp("behind")) as make:
        mirror = make(hub, server={"trusted_proxies": ["127.0.0.1"], "accel": "nginx"})
        for name in ("open", "gated"):
            for path in ("big.bin", "gr%C3%B6%C3%9Fe.txt", "empty"):
                assert mirror.get(f"/org/{name}/resolve/main/{path}", token=ANN)[0] == 200
        yield mirror


@pytest.fixture(scope="module")
def nginx(mirror, tmp_path_factory):
    with nginx_before(mirror, tmp_path_factory.mktemp("nginx") / "run") as nginx:
        yield nginx


def ask(port, path, *, method="GET", headers=None, source=None):
    source_address = (source, 0) if source else None
    with closing(
        http.client.HTTPConnection("127.0.0.1", port, timeout=60, source_address=source_address)
    ) as connection:
        connection.request(method, path, headers=headers or {})
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read()


def told(headers):
    return {name.lower(): value for name, value in headers.items() if name.lower() not in VOLATILE}


def times_handed_over(mirror):
    return mirror.log().count(", handed over ")


@pytest.mark.parametrize("path", ["big.bin", "gr%C3%B6%C3%9Fe.txt", "empty", "missing"])
@pytest.mark.parametrize(
    "sent",
    [
        {},
        {"Range": "bytes=0-0"},
        {"Range": "bytes=2-"},
        {"Range": "bytes=-3"},
        {"Range": "bytes=1-99999999999"},
        {"Range": "bytes=0-1,3-4"},
        {"Range": "bytes=99999999999-"},
        {"Range": "bytes=3-1"},
        {"Range": "lines=1-2"},
        {"If-None-Match": "*"},
        {"Range": "bytes=1-2", "If-Range": '"other"'},
        {"Accept-Encoding": "gzip, deflate"},
        {"Origin": "http://page.example"},
    ],
    ids=str,
)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_answer__with_nginx_in_front__is_the_same(mirror, nginx, method, path, sent):
    url = f"/org/open/resolve/main/{path}"

    status, headers, body = ask(nginx.port, url, method=method, headers=sent)

    own_status, own_headers, own_body = ask(mirror.port, url, method=method, headers=sent)
    assert (status, told(headers), body) == (own_status, told(own_headers), own_body)
    assert headers["X-Request-Id"]


def test_body__of_a_complete_file__is_sent_by_nginx(mirror, nginx):
    before = times_handed_over(mirror)

    status, headers, body = ask(nginx.port, "/org/open/resolve/main/big.bin")

    assert (status, len(body), headers["X-Cache"]) == (200, SIZE, "HIT")
    assert times_handed_over(mirror) == before + 1


def test_last_use__of_what_nginx_sends__is_kept(hub, mirror, nginx):
    etag = hub.content.repo("models", "org/open").sha256("big.bin")
    blob = mirror.repos / "blobs" / etag[:2] / etag
    os.utime(blob, (0, blob.stat().st_mtime))

    ask(nginx.port, "/org/open/resolve/main/big.bin")

    assert blob.stat().st_atime > 1_000_000


@pytest.mark.parametrize("sent", [{}, {"Range": "bytes=0-9"}])
def test_gated__without_the_right__no_byte_and_no_way_round(hub, mirror, nginx, sent):
    etag = hub.content.repo("models", "org/gated").sha256("big.bin")

    assert ask(nginx.port, "/org/gated/resolve/main/big.bin", headers=sent)[0] == 401
    allowed = ask(
        nginx.port, "/org/gated/resolve/main/big.bin", headers={**sent, "Authorization": f"Bearer {ANN}"}
    )
    assert allowed[0] in (200, 206)
    for path in (f"/-/held/{etag[:2]}/{etag}", f"//-/held/{etag[:2]}/{etag}", f"/-/held/../held/{etag}"):
        assert ask(nginx.port, path)[0] in (400, 403, 404), path


def test_client__says_it_is_nginx_and_is_not__gets_the_bytes(mirror):
    status, headers, body = ask(
        mirror.port,
        "/org/open/resolve/main/big.bin",
        headers={"X-Accel-Support": "nginx"},
        source="127.0.0.7",
    )

    assert (status, len(body), headers["X-Accel-Redirect"]) == (200, SIZE, None)


def test_blob__gone_before_nginx_opens_it__is_sent_by_us(mirror, tmp_path):
    (tmp_path / "nothing").mkdir()
    with nginx_before(mirror, tmp_path / "nginx", blobs=tmp_path / "nothing") as astray:
        before = times_handed_over(mirror)

        status, headers, body = ask(
            astray.port, "/org/open/resolve/main/big.bin", headers={"Range": "bytes=5-14"}
        )

    assert times_handed_over(mirror) == before + 1
    assert (status, len(body), headers["Content-Range"]) == (206, 10, f"bytes 5-14/{SIZE}")


def test_real_client__over_tls__right_bytes_and_links_to_where_it_asked(hub, mirror, nginx, tmp_path):
    repo = hub.content.repo("models", "org/open")
    client = Client(tmp_path, nginx.tls_url, SSL_CERT_FILE=str(nginx.ca), REQUESTS_CA_BUNDLE=str(nginx.ca))

    assert client.snapshot("org/open", local_dir=str(tmp_path / "got"))
    found = {path: sum for path, sum in hashes(tmp_path / "got").items() if not path.startswith(".cache")}
    assert found == expected(repo)
    with closing(
        http.client.HTTPSConnection("localhost", nginx.tls_port, context=trusting(nginx), timeout=60)
    ) as connection:
        connection.request("GET", "/api/models/org/open/tree/main?limit=1")
        answer = connection.getresponse()
        assert len(json.loads(answer.read())) == 1
        assert answer.headers["Link"].startswith(f"<{nginx.tls_url}/api/")
