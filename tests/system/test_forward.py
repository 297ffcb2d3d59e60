"""What the mirror asks the Hub on its callers' behalf, keeps of it, and tells to whom."""

import pytest

pytestmark = pytest.mark.server

HIS, HERS = "hf_his0000000", "hf_hers000000"


@pytest.fixture
def hub(hub):
    hub.add_user("him", token=HIS)
    hub.add_user("her", token=HERS)
    hub.add_repo("models", "org/model").commit({"a.txt": b"a"})
    return hub


def test_list__asked_twice_by_nobody_in_particular__goes_out_once_per_query_as_sent(hub, mirror):
    first = mirror.get("/api/models?author=org&limit=1")
    again = mirror.get("/api/models?author=org&limit=1")
    other = mirror.get("/api/models?limit=1&author=org")

    assert first[2] == again[2] == other[2]
    assert (first[1]["X-Cache"], again[1]["X-Cache"], other[1]["X-Cache"]) == ("MISS", "HIT", "MISS")
    assert hub.count(path_contains="/api/models") == 2


def test_expand__hub_is_gone__told_as_before(hub, make_mirror):
    mirror = make_mirror(hub, metadata={"ttl_s": 0})
    before = mirror.get("/api/models/org/model/tree/main?expand=true")
    hub.stop()

    after = mirror.get("/api/models/org/model/tree/main?expand=true")

    assert (after[0], after[1]["X-Cache"], after[2]) == (200, "STALE", before[2])


def test_answer__to_a_token__is_nobody_elses(hub, mirror):
    assert mirror.json("/api/whoami-v2", token=HIS)[2]["name"] == "him"
    assert mirror.json("/api/whoami-v2", token=HERS)[2]["name"] == "her"
    assert mirror.get("/api/whoami-v2")[0] == 401
    assert mirror.json("/api/whoami-v2", token=HIS)[2]["name"] == "him"
    assert hub.count(path_contains="whoami") == 4


def test_kept__repo_became_private__is_told_no_more(hub, make_mirror):
    mirror = make_mirror(hub, metadata={"ttl_s": 0})
    path = "/api/models/org/model/commits/main"
    assert mirror.get(path)[0] == 200

    hub.content.repo("models", "org/model").private = True

    assert mirror.get(path)[0] == 401


def test_missing_repo__asked_again_and_again__is_asked_once_each(hub, mirror):
    for _ in range(4):
        assert mirror.get("/org/none/resolve/main/a", method="HEAD")[0] == 401

    assert hub.count(path_contains="org/none") <= 2  # Each worker remembers for itself.


@pytest.mark.parametrize("is_allowed", [False, True])
def test_change__only_where_the_operator_allows_it__is_sent_on_with_the_callers_token(
    hub, make_mirror, is_allowed
):
    mirror = make_mirror(hub, access={"allow_uploads": is_allowed})

    status, headers, _ = mirror.get("/api/repos/create", method="POST", body=b'{"name":"x"}', token=HIS)

    sent = [call for call in hub.calls if call.method == "POST"]
    assert [call.authorization for call in sent] == ["him"] * is_allowed
    assert is_allowed or (status == 403 and "read-only" in headers["X-Error-Message"])


def test_change__first_line_is_gone__is_not_sent_to_one_that_is_not_the_hub(hub, second_hub, make_mirror):
    mirror = make_mirror(hub, second_hub, access={"allow_uploads": True})
    hub.stop()

    assert mirror.get("/api/repos/create", method="POST", body=b"{}", token=HIS)[0] >= 500
    assert not [call for call in second_hub.calls if call.method == "POST"]
