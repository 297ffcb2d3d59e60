"""When the cache is walked, and what a walk finds."""

import pytest

from dingospeed.config.cleaning import Cleaning
from dingospeed.config.settings import Log
from dingospeed.flight.leases import Leases
from dingospeed.store.usage import Disk
from dingospeed.upkeep.apart import Report, Task, run_apart, tidy
from dingospeed.upkeep.caretaker import Seen, is_due
from dingospeed.upkeep.cleaning import Marks, NoGoal
from tests.cache import Cache, content, etag_of

A, B = content(100_000, 1), content(100_000, 2)


def seen(at, cache_bytes=0, used=100):
    return Seen(at, cache_bytes, Disk(size_bytes=1000, free_bytes=1000 - used))


def test_is_due__never_looked__yes():
    assert is_due(None, seen(0), NoGoal(), 300)


@pytest.mark.parametrize(("passed", "expected"), [(299, False), (300, True)])
def test_is_due__nothing_grew__by_the_interval(passed, expected):
    assert is_due(seen(0), seen(passed), Marks(500, 400), 300) is expected


def test_is_due__disk_grew_over_the_mark__without_waiting_for_the_interval():
    assert is_due(seen(0, 450, used=600), seen(60, used=700), Marks(500, 400), 300)
    assert not is_due(seen(0, 450, used=600), seen(60, used=640), Marks(500, 400), 300)


def test_is_due__mark_is_a_share_of_the_disk__whoever_fills_it():
    assert is_due(seen(0, 0, used=100), seen(60, used=901), Marks(0.9, 0.8), 300)


def test_is_due__just_walked__not_at_once_again():
    assert not is_due(seen(0, 600, used=700), seen(10, used=700), Marks(500, 400), 300)


def test_is_due__all_that_is_left_has_to_stay__not_before_the_interval_is_over():
    last = Seen(0, 600, Disk(1000, 300), is_short=True)

    assert not is_due(last, seen(299, used=750), Marks(500, 400), 300)
    assert is_due(last, seen(300, used=750), Marks(500, 400), 300)


@pytest.fixture
def cache(tmp_path):
    """Two blobs of one repo, A the longer unused."""
    cache = Cache(tmp_path / "repos")
    cache.repo("org/one", {"a": A, "b": B})
    cache.blob(A, unused=2000)
    cache.blob(B, unused=1000)
    return cache


def task(cache, *, is_down=False, **settings):
    return Task(repos=cache.root, cleaning=Cleaning(**settings), log=Log(), is_down=is_down)


def test_tidy__nothing_set__only_measures(cache):
    cache.leftover(f"{etag_of(B)}.damaged-1", unused=10_000_000)
    before = cache.files()

    report = tidy(task(cache))

    assert report.cleaned is None
    assert (report.usage.blobs, report.usage.others) == (2, 1)
    assert cache.files() == before


def test_tidy__above_the_mark__in_another_process_just_so(cache):
    report = run_apart(task(cache, high_water="150KB", low_water="110KB"))

    assert report.cleaned is not None
    assert (report.cleaned.files, report.usage.blobs) == (1, 1)
    assert cache.blobs() == {etag_of(B)}


def test_tidy__down__although_the_high_mark_is_not_reached(cache):
    settings = {"high_water": "1MB", "low_water": "110KB"}

    assert tidy(task(cache, **settings)).cleaned is None
    assert tidy(task(cache, is_down=True, **settings)).cleaned
    assert cache.blobs() == {etag_of(B)}


@pytest.mark.parametrize(("age", "left"), [("25m", {etag_of(B)}), ("34m", {etag_of(A), etag_of(B)})])
def test_tidy__age_only__what_is_older_goes(cache, age, left):
    tidy(task(cache, older_than_s=age))

    assert cache.blobs() == left


def test_tidy__kept_by_the_settings__stays_and_is_missed(cache):
    report = tidy(task(cache, high_water="1KB", keep=("org/*",)))

    assert report.cleaned is not None
    assert report.cleaned.missing_bytes > 0
    assert len(cache.blobs()) == 2


def test_tidy__somebody_cleans_already__only_measures(cache):
    lease = Leases(path_of=cache.layout.lease).try_acquire("cleaning")
    assert lease is not None

    with lease:
        report = tidy(task(cache, high_water="1KB"))

    assert report.cleaned is None
    assert len(cache.blobs()) == 2


def test_report__to_a_document_and_back__is_the_same(cache):
    report = tidy(task(cache, high_water="1KB"))

    assert Report.model_validate(report.model_dump()) == report


def test_walk__foreign_files_and_folders__are_not_ours(cache, tmp_path):
    (cache.layout.blobs / "ab").mkdir(exist_ok=True)
    (cache.layout.blobs / "ab" / "notes.txt").write_text("x")
    (cache.layout.blobs / "ab" / ("ab" + "0" * 62)).mkdir()
    (cache.layout.blobs / "stray").write_text("x")
    (cache.layout.blobs / "cd").symlink_to(tmp_path)

    assert tidy(task(cache)).usage.blobs == 2
