import pytest

from dingospeed.testing.faultkinds import KINDS

RESOLVE_BIG = "/org/name/resolve/main/nested/big.bin"
RESOLVE_SMALL = "/org/name/resolve/main/config.json"


@pytest.mark.parametrize(
    ("where", "hit"),
    [
        ("any", {"api", "resolve", "resolve-cache", "cdn"}),
        ("hub", {"api", "resolve", "resolve-cache"}),
        ("api", {"api"}),
        ("resolve", {"resolve"}),
        ("resolve-cache", {"resolve-cache"}),
        ("cdn", {"cdn"}),
    ],
)
def test_where__each_place__meets_only_what_goes_there(hub, ask, signed, where, hit):
    cached = ask(RESOLVE_SMALL).headers["Location"]
    asked = {"api": "/api/models/org/name", "resolve": RESOLVE_SMALL, "resolve-cache": cached, "cdn": signed}

    hub.fault(where, "status", code=503)

    assert {kind for kind, url in asked.items() if ask(url).status_code == 503} == hit


def test_path__given__meets_only_paths_that_fit(hub, ask, repo):
    fault = hub.fault(where="resolve", kind="status", path=r"\.bin$")

    assert [ask(url).status_code for url in (RESOLVE_BIG, RESOLVE_SMALL)] == [500, 307]
    assert fault.hits == 1


def test_method__given__meets_only_that(hub, ask, repo):
    hub.fault("resolve", "status", method="GET")

    assert [ask(RESOLVE_BIG, method=method).status_code for method in ("HEAD", "GET")] == [302, 500]


def test_times_and_skip__given__meet_that_many_after_that_many(hub, ask, repo):
    fault = hub.fault("api", "status", times=2, skip=1)

    assert [ask("/api/models").status_code for _ in range(5)] == [200, 500, 500, 200, 200]
    assert (fault.hits, hub.faults) == (2, [])


def test_remove__one_of_two__leaves_the_other(hub, ask, repo):
    first = hub.fault("api", "status", code=502)
    hub.fault("api", "status", code=503)

    statuses = [ask("/api/models").status_code]
    first.remove()
    statuses.append(ask("/api/models").status_code)
    hub.clear_faults()
    statuses.append(ask("/api/models").status_code)

    assert statuses == [502, 503, 200]


def test_two_faults__on_one_request__both_strike(hub, ask, receive, signed, content):
    hub.fault("cdn", "corrupt", offset=5)
    hub.fault("cdn", "cut", after=10)

    _, _, body, is_whole = receive(signed)

    assert (len(body), is_whole) == (10, False)
    assert body[5] == content[5] ^ 0xFF


def test_calls__met_by_a_fault__say_so(hub, ask, repo):
    hub.fault("api", "status", code=502)

    ask("/api/models")

    assert [(call.status, call.faults) for call in hub.calls] == [(502, ["status"])]


@pytest.mark.parametrize("kind", ["cut", "stall", "short", "rate", "gzip", "long", "corrupt"])
def test_body_faults__head_without_a_body__is_not_counted(hub, ask, signed, kind):
    fault = hub.fault("cdn", kind, **({"bytes_per_s": 1000} if kind == "rate" else {}))

    ask(signed, method="HEAD")

    assert fault.hits == 0


@pytest.mark.parametrize(
    ("where", "kind", "more", "error"),
    [
        ("cdn", "nope", {}, ValueError),
        ("nowhere", "cut", {}, ValueError),
        ("cdn", "cut", {"nope": 1}, TypeError),
        ("cdn", "latency", {}, TypeError),
        ("cdn", "drop_headers", {"names": "ETag"}, TypeError),
    ],
)
def test_fault__that_does_not_exist__is_refused(hub, where, kind, more, error):
    with pytest.raises(error):
        hub.fault(where, kind, **more)


def test_kinds__all_of_them__are_documented():
    assert [name for name, kind in KINDS.items() if not (kind.__doc__ or "").strip()] == []
