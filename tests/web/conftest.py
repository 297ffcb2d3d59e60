"""The whole application in this process, before the fake Hub."""

import pytest

from dingospeed.app import create_app
from dingospeed.config import Settings
from dingospeed.testing import FakeHub

LET_IN, OTHER, INVALID = "hf_letin000000", "hf_other000000", "hf_nobody00000"


@pytest.fixture
def hub():
    with FakeHub() as hub:
        hub.add_user("ann", token=LET_IN)
        hub.add_user("bob", token=OTHER)
        yield hub


class App:
    """A mirror without a server, and what it answers."""

    def __init__(self, settings):
        self.flask = create_app(settings)
        self.repos = settings.cache.repos

    @property
    def parts(self):
        return self.flask.extensions["dingospeed"]

    def get(self, path, *, method="GET", token=None, headers=None, **options):
        """The answer, its body read. *path* is sent as it is."""
        sent = {"Authorization": f"Bearer {token}"} if token else {}
        with self.flask.test_client() as client:
            answer = client.open(path, method=method, headers={**sent, **(headers or {})}, **options)
            answer.get_data()
            return answer


@pytest.fixture
def make_app(tmp_path, hub):
    """Makes applications over one cache; arguments are settings by section, `token` that of the line."""

    def make(*, token=None, **sections):
        upstream = {
            "lines": [{"url": hub.url, "hub": True, **({"token": token} if token else {})}],
            "timeouts": {"connect_s": 1, "read_s": 2},
            "probe_s": 3600,
            "probe_max_s": 3600,
        }
        given = {
            "cache": {"repos": tmp_path / "repos", "public": tmp_path / "public"},
            **sections,
            "upstream": {**upstream, **sections.get("upstream", {})},
        }
        return App(Settings.model_validate(given))

    return make


@pytest.fixture
def app(make_app):
    return make_app()
