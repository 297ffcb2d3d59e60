"""The fake Hub in this process, mirrors beside it, clients beside those."""

import pytest

from dingospeed.testing.hub import FakeHub
from tests.harness import Client, Mirror


@pytest.fixture
def hub():
    with FakeHub() as hub:
        yield hub


@pytest.fixture
def second_hub(hub):
    """The same content over another line, which is not the Hub."""
    with FakeHub(content=hub.content) as second:
        yield second


@pytest.fixture
def make_mirror(tmp_path):
    """Mirrors, each with a cache of its own; stopped at the end."""
    made = []

    def make(*hubs, start=True, is_hub=(True,), **settings):
        folder = tmp_path / f"mirror{len(made)}"
        folder.mkdir()
        marks = [*is_hub, *[False] * len(hubs)]
        lines = [{"url": hub.url, "hub": mark} for hub, mark in zip(hubs, marks, strict=False)]
        mirror = Mirror(folder, lines, settings)
        made.append(mirror)
        return mirror.start() if start else mirror

    yield make
    for mirror in made:
        mirror.stop()


@pytest.fixture
def mirror(make_mirror, hub):
    return make_mirror(hub)


@pytest.fixture
def make_client(tmp_path):
    """Clients of a mirror, each with an empty cache."""
    made = []

    def make(mirror):
        folder = tmp_path / f"client{len(made)}"
        folder.mkdir()
        made.append(folder)
        return Client(folder, mirror.url)

    return make
