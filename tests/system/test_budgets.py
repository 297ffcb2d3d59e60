"""What a download costs upstream, at most: counted by the Hub, as the newest client causes it."""

import itertools

import pytest

from dingospeed.testing import File, Generated
from tests.harness import expected

pytestmark = pytest.mark.server

PAGE_SIZE = 10
PLAIN, LFS = 21, 4
NUMBERS = itertools.count(1)


@pytest.fixture
def model(shared_hub):
    """A repo whose listing has several pages."""
    shared_hub.content.page_size = PAGE_SIZE
    repo = shared_hub.add_repo("models", f"org/budget{next(NUMBERS)}")
    repo.commit({f"folder/{number:02}.json": f"{repo.id} {number}".encode() for number in range(PLAIN)})
    repo.commit({f"{seed}.safetensors": Generated(300_000 + next(NUMBERS), seed) for seed in range(LFS - 1)})
    repo.commit({"small.bin": File(f"{repo.id}, small and of git-lfs".encode(), lfs=True)})
    shared_hub.reset_counters()
    return repo


def test_snapshot__cold__a_call_for_each_file_and_few_besides(shared_hub, shared_mirror, make_client, model):
    """An upstream call is what the mirror asks of its own accord; where the Hub redirects, as it does for
    every file, one more request goes where it says.
    """
    files = PLAIN + LFS
    pages = -(-(files + len(["folder"])) // PAGE_SIZE)
    assert pages > 1

    found = make_client(shared_mirror).snapshot(model.id)

    assert found == expected(model)
    redirected = [call for call in shared_hub.calls if call.host == "cdn" or call.kind == "resolve-cache"]
    asked = [call for call in shared_hub.calls if call not in redirected]
    assert len(asked) <= 2 + pages + files
    assert len(redirected) <= files
    assert shared_hub.bytes_sent(host="cdn") == sum(
        model.entry(path).size for path in model.files() if model.entry(path).is_lfs
    )


def test_snapshot__unchanged__not_one_call_for_new_clients_and_old(
    shared_hub, shared_mirror, make_client, model
):
    client = make_client(shared_mirror)
    client.snapshot(model.id)
    shared_hub.reset_counters()

    for again in (client, make_client(shared_mirror)):
        assert again.snapshot(model.id) == expected(model)

    assert shared_hub.calls == []
