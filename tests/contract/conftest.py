"""A mirror for each module, and repos that each test has to itself."""

import itertools
import json
from pathlib import Path

import pytest

from dingospeed.testing import FakeHub, File, Generated
from tests.contract.asking import BIG, BIG_BYTES, DEEP, EMPTY, LET_IN, MORE, OTHER, SMALL
from tests.harness import Client, mirrors_in

NUMBERS = itertools.count(1)


@pytest.fixture(scope="module")
def hub():
    with a_hub() as hub:
        yield hub


@pytest.fixture(scope="module")
def mirror(hub, tmp_path_factory):
    with mirrors_in(tmp_path_factory.mktemp("contract")) as make:
        yield make(hub)


@pytest.fixture(autouse=True)
def _behaves(hub):
    """No fault outlives its test."""
    yield
    hub.clear_faults()


@pytest.fixture
def lone_hub():
    """For what would be felt by others: outages, broken lines, settings."""
    with a_hub() as hub:
        yield hub


@pytest.fixture
def make_mirror(tmp_path):
    with mirrors_in(tmp_path) as make:
        yield make


@pytest.fixture
def make_repo(hub):
    """Repos with content of their own, of which nothing is held yet."""

    def make(files=None, *, type="models", id=None, on=hub, only=False, **rights):
        """*files* besides those that every repo has; *only* in their place."""
        number = next(NUMBERS)
        repo = on.add_repo(type, id or f"org/repo{number}", **rights)
        usual = {
            SMALL: json.dumps({"model_type": "bert", "number": number}).encode(),
            EMPTY: b"",
            DEEP: f"deep down in {number}\n".encode(),
            BIG: Generated(BIG_BYTES, seed=number),
            # Small, and of git-lfs all the same.
            MORE: File(f"more of {number}".encode() * 100, lfs=True),
        }
        repo.commit({**({} if only else usual), **(files or {})})
        repo.grant("ann")
        on.reset_counters()
        return repo

    return make


@pytest.fixture
def make_client(tmp_path):
    """Clients of an address, each with an empty cache."""
    made: list[Path] = []

    def make(url, **variables):
        folder = tmp_path / f"client{len(made)}"
        folder.mkdir()
        made.append(folder)
        return Client(folder, url, **variables)

    return make


def a_hub():
    hub = FakeHub()
    hub.add_user("ann", token=LET_IN)
    hub.add_user("bob", token=OTHER)
    for bucket in ("api", "resolvers"):
        hub.rate_limits.set(bucket, 1_000_000)
    return hub
