"""Traffic by the hour: added up over workers, kept over restarts, gone after a day."""

import pytest

from dingospeed.store.documents import Documents
from dingospeed.upkeep.traffic import HOURS, Traffic

NOON = 1_000_000 * 3600.0


class Clock:
    now = NOON

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def worker(tmp_path, clock):
    def make(fetched=lambda: 0):
        documents = Documents(memory_bytes=1 << 20)
        return Traffic(folder=tmp_path, documents=documents, fetched=fetched, clock=clock)

    return make


def served(traffic, sent, *, repo="models/org/a", client="10.0.0.1", is_hit=True):
    traffic.add(repo=repo, client=client, is_hit=is_hit, sent=sent, requests=1)
    traffic.write(traffic.take_due(at_once=True))


def test_read__two_workers_and_one_that_is_gone__all_are_added_up(worker):
    served(worker(), 5)  # Nobody has it any more.
    first, second = worker(lambda: 70), worker()
    served(first, 100, is_hit=False)
    served(second, 20, repo="models/org/b", client="10.0.0.2")

    found = second.read()

    assert len(found["hours"]) == HOURS
    assert found["hours"][-1] == {
        "start": int(NOON),
        "requests": 3,
        "hits": 2,
        "bytes": 125,
        "hit_bytes": 25,
        "fetched_bytes": 70,
    }
    assert found["repos"] == [
        {"repo": "models/org/a", "bytes": 105},
        {"repo": "models/org/b", "bytes": 20},
    ]
    assert found["clients"] == [
        {"address": "10.0.0.1", "bytes": 105},
        {"address": "10.0.0.2", "bytes": 20},
    ]


def test_add__the_hour_turns_before_it_was_written__each_hour_has_its_own(worker, clock):
    traffic = worker()
    traffic.add(repo="models/org/a", client="x", is_hit=True, sent=7)
    clock.now += 3600

    served(traffic, 2)

    assert [hour["bytes"] for hour in traffic.read()["hours"][-2:]] == [7, 2]


def test_take_due__nothing_new__nothing_to_write(worker):
    traffic = worker()
    served(traffic, 1)

    assert traffic.take_due(at_once=True) == []


def test_read__a_day_later__nothing_is_told_and_the_folder_goes(worker, clock, tmp_path):
    traffic = worker()
    served(traffic, 7)
    clock.now += 23 * 3600
    traffic.forget_old()
    assert traffic.read()["hours"][0]["bytes"] == 7

    clock.now += 3600
    traffic.forget_old()

    assert sum(hour["bytes"] for hour in traffic.read()["hours"]) == 0
    assert traffic.read()["repos"] == []
    assert list(tmp_path.iterdir()) == []


def test_read__a_file_is_nonsense__the_others_count(worker, tmp_path):
    traffic = worker()
    served(traffic, 7)
    folder = tmp_path / str(int(NOON // 3600))
    (folder / "a.json").write_text("{")
    (folder / "b.json").write_text('{"counts": {"bytes": "many"}, "repos": {}, "clients": []}')

    assert traffic.read()["hours"][-1]["bytes"] == 7
