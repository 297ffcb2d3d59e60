import http.client
from urllib.parse import urlsplit

import pytest
import requests

from dingospeed.testing import FakeHub, Generated

BIG = Generated(3_000_000, seed=5)


@pytest.fixture
def hub():
    with FakeHub() as hub:
        hub.add_user("alice", token="hf_alice")
        hub.add_user("bob", token="hf_bob")
        yield hub


@pytest.fixture
def repo(hub):
    """A public model with a small file, and one of git-lfs."""
    repo = hub.add_repo("models", "org/name")
    repo.commit({"config.json": b'{"a": 1}\n', "nested/big.bin": BIG})
    return repo


class Asker:
    """Asks one hub, over one session; a path in place of a URL is asked of the hub."""

    def __init__(self, hub, session):
        self._hub = hub
        self._session = session

    def __call__(self, path, *, method="GET", token=None, follow=False, headers=None, **more):
        url = path if path.startswith("http") else self._hub.url + path
        bearer = {"Authorization": f"Bearer {token}"} if token else {}
        # Without these, requests says "gzip, deflate".
        sent = {"Accept-Encoding": "identity", **bearer, **(headers or {})}
        return self._session.request(method, url, headers=sent, allow_redirects=follow, timeout=30, **more)


@pytest.fixture
def ask(hub):
    with requests.Session() as session:
        session.trust_env = False
        yield Asker(hub, session)


@pytest.fixture
def signed(repo, ask):
    """The address of the LFS file on the CDN."""
    return ask("/org/name/resolve/main/nested/big.bin", method="HEAD").headers["Location"]


@pytest.fixture
def content(repo):
    """The bytes of the LFS file."""
    return repo.content("nested/big.bin")


@pytest.fixture
def receive():
    """Gets a URL, or a span of it: status, headers, the body as far as it came, and whether it came whole."""

    def receive(url, span=None):
        parts = urlsplit(url)
        connection = http.client.HTTPConnection(parts.netloc, timeout=30)
        try:
            headers = {"Range": f"bytes={span[0]}-{span[1] - 1}"} if span else {}
            connection.request("GET", f"{parts.path}?{parts.query}", headers=headers)
            answer = connection.getresponse()
            try:
                return answer.status, answer.headers, answer.read(), True
            except http.client.IncompleteRead as error:
                return answer.status, answer.headers, error.partial, False
        finally:
            connection.close()

    return receive
