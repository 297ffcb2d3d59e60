"""Jobs as values, and as documents that several change at once."""

import threading
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dingospeed.flight.leases import Leases
from dingospeed.model import RepoRef
from dingospeed.store.documents import Documents
from dingospeed.store.layout import Layout
from dingospeed.upkeep.jobfiles import JobFiles
from dingospeed.upkeep.jobs import Act, JobNotFound, NotNow, Progress, State, Wish, new_job
from dingospeed.upkeep.tokens import Tokens, new_key

WISH = Wish(RepoRef("models", "org", "name"), include=("*.json",))


@pytest.fixture
def jobs(tmp_path):
    layout = Layout(tmp_path)
    layout.prepare()
    return JobFiles(
        documents=Documents(memory_bytes=1 << 20), layout=layout, leases=Leases(path_of=layout.lease)
    )


@given(st.lists(st.sampled_from(Act), max_size=12))
def test_job__whatever_happens__what_is_over_stays_over_and_keeps_no_token(acts):
    job = new_job(WISH, token="sealed")
    for act in acts:
        try:
            job = job.after(act)
        except NotNow:
            continue
        if job.state in (State.DONE, State.CANCELLED):
            assert job.token is None
            for other in Act:
                if other is not Act.CANCEL or job.state is State.DONE:
                    with pytest.raises(NotNow):
                        job.after(other)


def test_job__paused__shows_no_rate_any_more():
    job = replace(new_job(WISH).after(Act.BEGIN), progress=Progress(bytes=10, bytes_held=5, rate=3, left_s=2))

    paused = job.after(Act.PAUSE, "because")

    assert (paused.progress.bytes_held, paused.progress.rate, paused.progress.left_s) == (5, 0, None)
    assert paused.reason == "because"
    assert paused.after(Act.PAUSE).reason == "because"
    assert paused.after(Act.RESUME).reason == ""


@pytest.mark.parametrize(
    ("path", "include", "exclude", "is_wanted"),
    [
        ("a/b.json", (), (), True),
        ("a/b.json", ("*.json",), (), True),
        ("a/b.json", ("a/",), (), True),
        ("b/a.json", ("a/",), (), False),
        ("a/b.json", ("*.json",), ("a/*",), False),
        ("a/b.bin", ("*.json",), (), False),
        ("A.JSON", ("*.json",), (), False),
    ],
)
def test_wish__patterns__as_huggingface_hub_reads_them(path, include, exclude, is_wanted):
    from huggingface_hub.utils._paths import filter_repo_objects

    assert Wish(WISH.repo, include=include, exclude=exclude).wants(path) == is_wanted
    theirs = filter_repo_objects(
        [path], allow_patterns=list(include) or None, ignore_patterns=list(exclude) or None
    )
    assert (list(theirs) == [path]) == is_wanted


def test_jobs__kept__are_read_as_they_were(jobs):
    job = new_job(WISH, address="10.0.0.1", token="sealed")

    jobs.add(job)

    assert jobs.get(job.id) == job
    assert jobs.all() == [job]


@pytest.mark.parametrize("id", ["x", "../keys/admin", "20260101-000000-abcdef"])
def test_jobs__no_such_id__is_not_found(jobs, id):
    with pytest.raises(JobNotFound):
        jobs.get(id)


def test_jobs__damaged_or_from_another_time__are_not_believed(jobs, tmp_path):
    job = new_job(WISH)
    jobs.add(job)
    (path,) = (tmp_path / "jobs").glob("*.json")
    path.write_text('{"id": "x"}')

    assert jobs.all() == []
    with pytest.raises(JobNotFound):
        jobs.get(job.id)


def test_update__by_many_at_once__none_is_lost(jobs):
    job = new_job(WISH)
    jobs.add(job)

    def one_more():
        for _ in range(20):
            jobs.update(job.id, lambda job: replace(job, progress=Progress(bytes=job.progress.bytes + 1)))

    threads = [threading.Thread(target=one_more) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert jobs.get(job.id).progress.bytes == 80


def test_update__refused__changes_nothing(jobs):
    job = new_job(WISH)
    jobs.add(job)

    with pytest.raises(NotNow):
        jobs.update(job.id, lambda job: job.after(Act.FINISH))

    assert jobs.get(job.id) == job


def test_tokens__sealed__open_with_the_shared_key_only():
    ours, others, stranger = Tokens(), Tokens(), Tokens()
    key = new_key()
    ours.share(key)
    others.share(key)

    sealed = ours.seal("hf_secret")

    assert "hf_secret" not in sealed
    assert others.open(sealed) == "hf_secret"
    assert stranger.open(sealed) is None
    assert ours.open("nonsense") is None
