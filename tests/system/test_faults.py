"""The third promise, under every fault: right bytes, or a broken connection and nothing kept."""

import hashlib
import http.client
import itertools
from typing import Any

import pytest

from dingospeed.testing import Generated
from tests.harness import mirrors_in, wait_until

pytestmark = pytest.mark.server

SIZE = 1_500_000
PATH = "/org/model/resolve/main/big.bin"
SMALL = "/org/model/resolve/main/small.txt"
NUMBERS = itertools.count()


@pytest.fixture(scope="module")
def shared_mirror(shared_hub, tmp_path_factory):
    """One that soon asks again about what was refused."""
    with mirrors_in(tmp_path_factory.mktemp("faults")) as make:
        yield make(shared_hub, access={"denied_ttl_s": 1})


@pytest.fixture
def repo(hub):
    return make_repo(hub, "org/model", 7)


def make_repo(hub, id, seed):
    repo = hub.add_repo("models", id)
    repo.commit(
        {"big.bin": Generated(size=SIZE, seed=seed), "small.txt": f"a small file of git: {id}".encode()}
    )
    return repo


@pytest.fixture
def own_repo(shared_hub, shared_mirror):
    """A repo that nobody asked for yet, behind a mirror whose line is well."""
    shared_hub.clear_faults()
    number = next(NUMBERS)
    # Each worker has its own opinion of the line, and which one answers is chance.
    wait_until(lambda: all(forwarded(shared_mirror) for _ in range(10)), "the line is well")
    yield make_repo(shared_hub, f"org/own{number}", 1000 + number)
    shared_hub.clear_faults()


# What may go wrong with the bytes of a file; each happens once, on each of the hosts they may come from.
FAULTS: dict[str, dict[str, Any]] = {
    "latency": {"seconds": 0.5},
    "rate": {"bytes_per_s": 3_000_000},
    "cut": {"after": 100_000},
    "cut hard": {"after": 100_000, "reset": True},
    "short": {"missing": 20},
    "short_honest": {"missing": 20},
    "long": {"extra": 20},
    "long chunked": {"extra": 20, "chunked": True},
    "corrupt": {"offset": 700_000},
    "stall": {"after": 100_000, "seconds": 30},
    "ignore_range": {},
    "wrong_content_range": {},
    "wrong_content_range matching": {"matching": True},
    "wrong_total": {},
    "html_200": {},
    "gzip": {},
    "status": {"code": 500},
    "status 503": {"code": 503},
    "status 429": {"code": 429, "retry_after": 1},
    "status 404": {"code": 404},
    "status 403": {"code": 403},
    "refuse": {},
    "expire_signatures": {},
    "redirect_loop": {},
    "drop_headers": {"names": ["Content-Length", "Content-Range"]},
}


def small(arguments):
    """The same fault for an answer of a few bytes."""
    return {
        name: min(value, 5) if name in ("after", "offset") else value for name, value in arguments.items()
    }


def fetch(mirror, path):
    """The body, None when the connection broke or the answer was an error."""
    try:
        status, _, body = mirror.get(path)
    except (http.client.HTTPException, ConnectionError):
        return None
    return body if status == 200 else None


@pytest.mark.parametrize("times", [1, None], ids=["once", "for ever"])
@pytest.mark.parametrize("kind", FAULTS)
def test_fault__of_the_cdn__right_bytes_or_none(shared_hub, shared_mirror, own_repo, kind, times):
    if kind == "expire_signatures":  # Makes old ones bad, so there have to be some.
        for start in range(0, SIZE, SIZE // 4):
            shared_mirror.get(big(own_repo), headers={"Range": f"bytes={start}-{start}"})
    fault = shared_hub.fault(where="cdn", kind=kind.split()[0], times=times, **FAULTS[kind])

    body = fetch(shared_mirror, big(own_repo))

    assert fault.hits or kind == "expire_signatures"
    assert body is None or body == own_repo.content("big.bin")
    if times == 1 and kind != "corrupt":
        assert body is not None, "one fault is healed inside the connection"
    shared_hub.clear_faults()
    wait_until(lambda: fetch(shared_mirror, big(own_repo)) is not None, "it works again")
    assert fetch(shared_mirror, big(own_repo)) == own_repo.content("big.bin")
    assert_all_sealed_are_right(shared_mirror)


@pytest.mark.parametrize("kind", sorted(set(FAULTS) - {"expire_signatures"}))
def test_fault__of_a_small_file__is_healed_inside_the_connection(shared_hub, shared_mirror, own_repo, kind):
    fault = shared_hub.fault(where="resolve-cache", kind=kind.split()[0], times=1, **small(FAULTS[kind]))

    body = fetch(shared_mirror, tiny(own_repo))

    # A file that is asked for whole meets no Range.
    assert fault.hits or "range" in kind or kind == "wrong_total"
    # That the caller may not have it is the one thing the Hub may say of a file that is there.
    assert body == (None if kind == "status 403" else own_repo.content("small.txt"))


@pytest.mark.parametrize("kind", sorted(set(FAULTS) - {"corrupt", "short_honest", "expire_signatures"}))
def test_fault__of_the_api__never_taken_for_not_found(shared_hub, shared_mirror, own_repo, kind):
    shared_hub.fault(where="api", kind=kind.split()[0], **small(FAULTS[kind]))

    status, headers, body = shared_mirror.get(tiny(own_repo))

    if kind not in ("status 404", "status 403"):  # Of which the mirror can not know that they are untrue.
        assert status in (200, 429, 502, 503, 504)
        assert headers["X-Error-Code"] is None
    assert status != 200 or body == own_repo.content("small.txt")
    shared_hub.clear_faults()
    wait_until(lambda: fetch(shared_mirror, tiny(own_repo)) is not None, "it works again")
    assert fetch(shared_mirror, tiny(own_repo)) == own_repo.content("small.txt")


def forwarded(mirror):
    """Whether a question that was never asked before, and so is in no cache, is answered from outside."""
    return mirror.get(f"/api/models?search=none{next(NUMBERS)}")[0] == 200


def assert_all_sealed_are_right(mirror):
    for etag in mirror.sealed():
        content = (mirror.repos / "blobs" / etag[:2] / etag).read_bytes()
        if len(etag) == 64:
            assert hashlib.sha256(content).hexdigest() == etag
        else:
            assert hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest() == etag


def big(repo):
    return f"/{repo.id}/resolve/main/big.bin"


def tiny(repo):
    return f"/{repo.id}/resolve/main/small.txt"


def test_line__breaks_in_mid_file__second_goes_on_at_that_byte(hub, second_hub, repo, make_mirror):
    mirror = make_mirror(hub, second_hub)
    hub.fault(where="cdn", kind="cut", after=50_000)

    assert fetch(mirror, PATH) == repo.content("big.bin")
    assert hub.bytes_sent(host="cdn") > 0
    # What the first line had delivered was not fetched again.
    total = hub.bytes_sent(host="cdn") + second_hub.bytes_sent(host="cdn")
    assert total == SIZE


def test_line__down__second_serves_all(hub, second_hub, repo, make_mirror, make_client):
    mirror = make_mirror(hub, second_hub)
    hub.stop()

    found = make_client(mirror).snapshot("org/model")

    assert found == {path: repo.sha256(path) for path in repo.files("main")}


def test_flipped_byte__big_file__never_sealed_reported_and_healed_by_the_second_line(
    hub, second_hub, repo, make_mirror
):
    mirror = make_mirror(hub, second_hub)
    hub.fault(where="cdn", kind="corrupt", offset=SIZE - 200_000)

    assert fetch(mirror, PATH) is None
    assert not mirror.sealed()
    assert f"blob {repo.sha256('big.bin')} rejected" in mirror.log()
    assert b"dingospeed_content_mismatches_total 1.0" in mirror.get("/metrics")[2]

    assert fetch(mirror, PATH) == repo.content("big.bin")
    assert second_hub.bytes_sent(host="cdn") == SIZE
    assert mirror.sealed() == {repo.sha256("big.bin")}


def test_flipped_byte__small_file__healed_inside_the_connection(hub, second_hub, repo, make_mirror):
    mirror = make_mirror(hub, second_hub)
    hub.fault(where="resolve-cache", kind="corrupt", offset=3)

    assert fetch(mirror, SMALL) == repo.content("small.txt")


def test_flipped_byte__client_resumes_after_the_cut__is_made_to_start_over(
    hub, second_hub, repo, make_mirror
):
    mirror = make_mirror(hub, second_hub)
    hub.fault(where="cdn", kind="corrupt", offset=10)
    assert fetch(mirror, PATH) is None

    status, _, body = mirror.get(PATH, headers={"Range": "bytes=1000000-"})

    assert (status, body) == (200, repo.content("big.bin"))
