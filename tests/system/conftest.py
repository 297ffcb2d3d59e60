"""The fake Hub in this process, mirrors beside it, clients beside those."""

from pathlib import Path

import pytest

from dingospeed.testing import FakeHub
from tests.harness import Client, mirrors_in


@pytest.fixture
def hub():
    with FakeHub() as hub:
        yield hub


@pytest.fixture
def second_hub(hub):
    """The same content over another line."""
    with FakeHub(content=hub.content) as second:
        yield second


@pytest.fixture
def make_mirror(tmp_path):
    with mirrors_in(tmp_path) as make:
        yield make


@pytest.fixture
def mirror(make_mirror, hub):
    return make_mirror(hub)


@pytest.fixture(scope="module")
def shared_hub():
    with FakeHub() as hub:
        for bucket in ("api", "resolvers"):
            hub.rate_limits.set(bucket, 1_000_000)
        yield hub


@pytest.fixture(scope="module")
def make_shared_mirror(tmp_path_factory):
    """Mirrors for all tests of a module, for those that each bring a repo of their own."""
    with mirrors_in(tmp_path_factory.mktemp("shared")) as make:
        yield make


@pytest.fixture(scope="module")
def shared_mirror(shared_hub, make_shared_mirror):
    return make_shared_mirror(shared_hub)


@pytest.fixture
def make_client(tmp_path):
    """Clients of a mirror, each with an empty cache."""
    made: list[Path] = []

    def make(mirror):
        folder = tmp_path / f"client{len(made)}"
        folder.mkdir()
        made.append(folder)
        return Client(folder, mirror.url)

    return make
