"""The third promise, under every fault of the fake Hub: right bytes, or a broken connection and nothing kept."""

import hashlib
import http.client

import pytest

from dingospeed.testing.hub import Generated

pytestmark = pytest.mark.server

SIZE = 1_500_000
PATH = "/org/model/resolve/main/big.bin"
SMALL = "/org/model/resolve/main/small.txt"


@pytest.fixture
def repo(hub):
    repo = hub.add_repo("models", "org/model")
    repo.commit({"big.bin": Generated(size=SIZE, seed=7), "small.txt": b"a small file of git"})
    return repo


# What may go wrong with the bytes of a file; each happens once, on each of the hosts they may come from.
FAULTS = {
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
def test_fault__of_the_cdn__right_bytes_or_none(hub, repo, mirror, kind, times):
    hub.fault(where="cdn", kind=kind.split()[0], times=times, **FAULTS[kind])

    body = fetch(mirror, PATH)

    assert body is None or body == repo.content("big.bin")
    if times == 1 and kind != "corrupt":
        assert body is not None, "one fault is healed inside the connection"
    hub.clear_faults()
    mirror.restart()
    assert fetch(mirror, PATH) == repo.content("big.bin")
    for path in (mirror.repos / "blobs").glob("??/*"):
        if "." not in path.name:
            digest = hashlib.sha256(path.read_bytes()).hexdigest()
            assert digest == path.name or len(path.name) == 40


@pytest.mark.parametrize("kind", FAULTS)
def test_fault__of_a_small_file__right_bytes_or_none(hub, repo, mirror, kind):
    hub.fault(where="resolve-cache", kind=kind.split()[0], times=1, **small(FAULTS[kind]))

    assert fetch(mirror, SMALL) == b"a small file of git"


@pytest.mark.parametrize("kind", sorted(set(FAULTS) - {"corrupt", "short_honest"}))
def test_fault__of_the_api__never_taken_for_not_found(hub, repo, mirror, kind):
    hub.fault(where="api", kind=kind.split()[0], **small(FAULTS[kind]))

    status, headers, body = mirror.get(SMALL)

    if status != 200:
        assert status in (
            (404, 403, 401) if kind in ("status 404", "status 403") else (429, 502, 503, 504)
        ), body
        assert status < 500 or headers["X-Error-Code"] is None
    hub.clear_faults()
    mirror.restart()
    assert mirror.get(SMALL)[2] == b"a small file of git"


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

    assert fetch(mirror, SMALL) == b"a small file of git"


def test_flipped_byte__client_resumes_after_the_cut__is_made_to_start_over(
    hub, second_hub, repo, make_mirror
):
    mirror = make_mirror(hub, second_hub)
    hub.fault(where="cdn", kind="corrupt", offset=10)
    assert fetch(mirror, PATH) is None

    status, _, body = mirror.get(PATH, headers={"Range": "bytes=1000000-"})

    assert (status, body) == (200, repo.content("big.bin"))
