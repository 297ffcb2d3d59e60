import json

import pytest

from dingospeed.store.documents import Documents
from dingospeed.upkeep.diskhistory import DiskHistory, Forecast, forecast

HOUR, DAY = 3600, 86400
NOW = 1_700_000_000


def noted(*used_by_hour, since=NOW):
    return [(since + hour * HOUR, used) for hour, used in enumerate(used_by_hour)]


def test_forecast__of_a_disk_that_fills_evenly__says_when_it_is_full():
    notes = noted(*(1_000 * hour for hour in range(25)))

    found = forecast(notes, free_bytes=72_000)

    assert found is not None
    assert found.grows_by == 24_000
    assert found.full_in_s == pytest.approx(3 * DAY)


def test_forecast__of_a_disk_that_fills_and_is_cleaned__follows_the_trend():
    notes = noted(*([0, 50_000, 20_000, 70_000] * 12))

    found = forecast(notes, free_bytes=10_000)

    assert found is not None
    assert 0 < found.grows_by < 50_000


@pytest.mark.parametrize("used", [(5, 5, 5, 5, 5, 5, 5), (70, 60, 50, 40, 30, 20, 10)])
def test_forecast__of_a_disk_that_does_not_fill__has_no_end(used):
    found = forecast(noted(*used), free_bytes=10)

    assert found is not None
    assert found.full_in_s is None


@pytest.mark.parametrize("notes", [[], noted(1), noted(1, 2, 3, 4, 5)])
def test_forecast__from_too_little__is_none(notes):
    assert forecast(notes, free_bytes=10) is None


class Clock:
    now = float(NOW)

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def history(tmp_path, clock):
    documents = Documents(memory_bytes=1 << 20)
    return DiskHistory(folder=tmp_path, path=tmp_path / "disk.json", documents=documents, clock=clock)


def test_history__noted_hourly__keeps_a_week(history, clock, tmp_path):
    for _ in range(10 * 24):
        history.note()
        clock.now += HOUR
    notes = json.loads((tmp_path / "disk.json").read_text())

    assert 7 * 24 <= len(notes) <= 7 * 24 + 1
    assert isinstance(history.forecast(), Forecast)


def test_history__noted_twice_in_an_hour__is_noted_once(history, clock, tmp_path):
    history.note()
    clock.now += HOUR / 4
    history.note()

    assert len(json.loads((tmp_path / "disk.json").read_text())) == 1


@pytest.mark.parametrize("text", ["{}", "[[1]]", '["x", null, [1, "a"]]', "nonsense"])
def test_history__of_nonsense__begins_anew(history, tmp_path, text):
    (tmp_path / "disk.json").write_text(text)

    assert history.forecast() is None
    history.note()
    assert len(json.loads((tmp_path / "disk.json").read_text())) == 1
