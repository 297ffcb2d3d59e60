"""Uses counted: one caller once, all workers together, over restarts."""

import pytest

from dingospeed.flight.leases import Leases
from dingospeed.model import RepoRef
from dingospeed.store.documents import Documents
from dingospeed.upkeep.uses import Uses
from tests.harness import wait_until

A, B = RepoRef("models", "org", "a"), RepoRef("datasets", "org", "b")


@pytest.fixture
def make(tmp_path):
    def make():
        return Uses(
            documents=Documents(memory_bytes=1 << 20),
            path=tmp_path / "uses.json",
            leases=Leases(path_of=lambda key: tmp_path / key),
        )

    return make


def test_most__two_workers_many_callers__added_up_and_remembered(make):
    one, other = make(), make()
    for _ in range(5):
        one.note(A, "10.0.0.1")
    one.note(B, "10.0.0.1")
    other.note(B, "10.0.0.2")

    # A caller who takes five files has used the repo once.
    wait_until(lambda: make().most() == [B, A], "both have told")


def test_most__nothing_or_nonsense_kept__is_nothing(make, tmp_path):
    assert make().most() == []
    (tmp_path / "uses.json").write_text(
        '{"at": 0, "uses": {"models/../x": 3, "nonsense": 1, "models/org/a": 2}}'
    )

    assert make().most() == [A]
