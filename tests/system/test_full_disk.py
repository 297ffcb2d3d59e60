"""A cache without space: clients are served all the same, and nothing is damaged."""

import http.client

import pytest

from dingospeed.testing import Generated
from tests.harness import all_at_once, small_disk

pytestmark = pytest.mark.server

SIZE = 6_000_000
PATH = "/org/model/resolve/main/big.bin"


@pytest.fixture
def full_mirror(hub, tmp_path, make_mirror):
    repos = tmp_path / "mirror0" / "repos"
    repos.mkdir(parents=True)
    with small_disk(repos, size_bytes=3 << 20):
        yield make_mirror(hub)


@pytest.fixture
def repo(hub):
    repo = hub.add_repo("models", "org/model")
    repo.commit({"big.bin": Generated(size=SIZE, seed=8), "small.txt": b"small"})
    return repo


def test_disk__full_in_mid_file__clients_get_all_of_it(repo, full_mirror):
    results = all_at_once([lambda: full_mirror.get(PATH)[2]] * 4)

    assert results == [repo.content("big.bin")] * 4
    assert not full_mirror.sealed()
    assert "served straight through" in full_mirror.log()
    metrics = full_mirror.get("/metrics")[2].decode()
    assert float(metrics.split("\ndingospeed_store_full_total ")[1].split()[0]) >= 1
    part = full_mirror.get(PATH, headers={"Range": "bytes=1000000-4999999"})
    assert (part[0], part[2]) == (206, repo.content("big.bin")[1_000_000:5_000_000])


def test_disk__full_and_the_content_is_wrong__connection_is_cut_before_the_end(hub, repo, full_mirror):
    hub.fault(where="cdn", kind="corrupt", offset=5_000_000)

    with pytest.raises((http.client.IncompleteRead, ConnectionError)):
        full_mirror.get(PATH)

    assert not full_mirror.sealed()


def test_disk__has_space_again__the_file_is_cached(repo, full_mirror):
    filler = full_mirror.repos / "filler"
    filler.write_bytes(b"x" * (2 << 20))
    assert full_mirror.get(PATH)[2] == repo.content("big.bin")
    filler.unlink()

    assert full_mirror.get("/org/model/resolve/main/small.txt")[2] == b"small"
    assert repo.etag("small.txt") in full_mirror.sealed()
