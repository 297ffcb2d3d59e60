"""Real lines to two fake Hubs with the same content; only the first is the Hub itself."""

import time

import pytest
from prometheus_client import CollectorRegistry

from dingospeed.metrics import Metrics
from dingospeed.model import Blob, FileMeta, RepoRef
from dingospeed.sources.chain import Chain, Persistence
from dingospeed.testing import FakeHub, Generated
from dingospeed.upstream.client import Client
from dingospeed.upstream.health import Health
from dingospeed.upstream.lines import Line, Lines

SMALL, BIG = b"small words", Generated(size=1_500_000, seed=3)
LET_IN, OTHER = "hf_letin000000", "hf_other000000"


@pytest.fixture
def hub():
    with FakeHub() as hub:
        hub.add_user("ann", token=LET_IN)
        hub.add_user("bob", token=OTHER)
        hub.add_repo("models", "org/name").commit(
            {"small.txt": SMALL, "big.bin": BIG, "page.html": b"<html>"}
        )
        yield hub


@pytest.fixture
def second(hub):
    with FakeHub(content=hub.content) as second:
        yield second


@pytest.fixture
def repo(hub):
    return hub.content.repo("models", "org/name")


@pytest.fixture
def meta(repo):
    """What is known of the file at a path."""

    def make(path):
        blob = Blob(repo.etag(path), len(repo.content(path)))
        return FileMeta(RepoRef("models", "org", "name"), repo.branches["main"], path, blob)

    return make


def make_line(name, hub, *, is_hub=True):
    client = Client(name=name, base_url=hub.url, is_hub=is_hub, connect_s=1, read_s=1)
    return Line(name, client, Health(failures_to_down=2, probe_s=3600, clock=time.monotonic), is_hub)


@pytest.fixture
def line(hub):
    line = make_line("a", hub)
    yield line
    line.client.close()


@pytest.fixture
def lines(line, second):
    lines = Lines(lines=[line, make_line("b", second, is_hub=False)])
    yield lines
    lines.close()


@pytest.fixture
def make_chain(lines):
    def make(*, rejections=0, rounds=2):
        return Chain(
            lines=lines,
            persistence=Persistence(rounds, 0),
            rejections=lambda _: rejections,
            connections={"a": 4, "b": 4},
            metrics=Metrics(CollectorRegistry()),
        )

    return make


@pytest.fixture
def chain(make_chain):
    return make_chain()
