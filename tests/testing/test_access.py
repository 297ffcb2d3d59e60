import pytest

from tests.testing import shapes
from tests.testing.shapes import assert_shape

MASK = "*" * 64
FILES = {"small.txt": b"small", "big.bin": b"x" * 2_000_000}


@pytest.fixture
def private(hub):
    repo = hub.add_repo("models", "org/private", private=True)
    repo.commit(FILES)
    repo.grant("alice")
    return repo


@pytest.fixture(params=["auto", "manual"])
def gated(hub, request):
    repo = hub.add_repo("models", "org/gated", gated=request.param)
    repo.commit(FILES)
    repo.grant("alice")
    return repo


@pytest.mark.parametrize("id", ["org/private", "org/unknown"])
def test_private_or_unknown__asked_anonymously__is_a_401_without_a_code(ask, private, id):
    for path in (f"/{id}/resolve/main/big.bin", f"/{id}/raw/main/small.txt"):
        answer = ask(path)
        assert (answer.status_code, answer.text) == (401, "Invalid username or password.")
        assert_shape(answer.headers, shapes.UNAUTHORIZED)
    for path in ("", "/revision/main", "/tree/main", "/refs", "/xet-read-token/main", "/auth-check"):
        answer = ask(f"/api/models/{id}{path}")
        assert (answer.status_code, answer.json()) == (401, {"error": "Invalid username or password."})
        assert_shape(answer.headers, shapes.as_api(shapes.UNAUTHORIZED))


@pytest.mark.parametrize("id", ["org/private", "org/unknown"])
def test_private_or_unknown__asked_by_a_stranger__is_not_found(ask, private, id):
    not_found = {**shapes.ERROR, "X-Error-Code": "RepoNotFound", "X-Error-Message": "Repository not found"}

    file = ask(f"/{id}/resolve/main/big.bin", token="hf_bob")
    info = ask(f"/api/models/{id}", token="hf_bob")

    assert (file.status_code, info.status_code) == (404, 404)
    assert_shape(file.headers, not_found)
    assert_shape(info.headers, shapes.as_api(not_found))
    assert info.json() == {"error": "Repository not found"}


def test_private__asked_by_a_reader__is_given(ask, private):
    for path in FILES:
        assert ask(f"/org/private/resolve/main/{path}", token="hf_alice", follow=True).content == FILES[path]
    info = ask("/api/models/org/private?blobs=true", token="hf_alice").json()
    assert info["private"] is True
    assert info["siblings"][0]["lfs"]["sha256"] == private.sha256("big.bin")


def test_private__of_the_caller_itself__is_given(hub, ask):
    hub.add_repo("models", "bob/own", private=True).commit(FILES)

    assert ask("/bob/own/resolve/main/small.txt", token="hf_bob").status_code == 200


def test_private__grant_taken_back__is_not_found(ask, private):
    private.revoke("alice")

    assert ask("/api/models/org/private", token="hf_alice").status_code == 404


def test_private__in_the_list__only_for_readers(ask, private):
    assert ask("/api/models").json() == ask("/api/models", token="hf_bob").json() == []
    assert [item["id"] for item in ask("/api/models", token="hf_alice").json()] == ["org/private"]


def test_private__in_the_resolve_cache__is_refused(ask, private):
    sha = private.at("main").sha

    answer = ask(f"/api/resolve-cache/models/org/private/{sha}/small.txt", token="hf_alice")

    assert answer.status_code == 401


def test_private__asked_by_a_former_name__is_hidden_from_strangers(hub, ask, private):
    hub.move("models", "org/former", "org/private")

    assert ask("/api/models/org/former").status_code == 401
    assert ask("/org/former/resolve/main/small.txt", token="hf_bob").status_code == 404
    assert ask("/api/models/org/former", token="hf_alice").status_code == 307


@pytest.mark.parametrize(("token", "status"), [(None, 401), ("hf_bob", 403)])
def test_gated__files_asked_without_a_grant__are_refused_with_the_code(ask, gated, token, status):
    text = shapes.ERROR | {
        "X-Error-Code": "GatedRepo",
        "X-Error-Message": "Access to model org/gated is restr.+",
    }

    for path in ("/org/gated/resolve/main/big.bin", "/org/gated/resolve/main/small.txt"):
        answer = ask(path, token=token)
        assert answer.status_code == status
        assert_shape(answer.headers, text)
    for path in ("xet-read-token/main", "auth-check"):
        answer = ask(f"/api/models/org/gated/{path}", token=token)
        assert answer.status_code == status
        assert_shape(answer.headers, shapes.as_api(text))


def test_gated__files_asked_with_a_grant__are_given(ask, gated):
    for path in FILES:
        assert ask(f"/org/gated/resolve/main/{path}", token="hf_alice", follow=True).content == FILES[path]
    assert ask("/api/models/org/gated/auth-check", token="hf_alice").status_code == 200


def names_of_content(ask, token):
    """What listings of the gated repo say about the LFS file."""
    listed = ask("/api/models/org/gated/tree/main?recursive=true", token=token).json()[0]
    by_path = ask(
        "/api/models/org/gated/paths-info/main", token=token, method="POST", data={"paths": "big.bin"}
    )
    sibling = ask("/api/models/org/gated?blobs=true", token=token).json()["siblings"][0]
    return [
        listed["lfs"]["oid"],
        listed["xetHash"],
        by_path.json()[0]["lfs"]["oid"],
        by_path.json()[0]["xetHash"],
        sibling["lfs"]["sha256"],
    ]


@pytest.mark.parametrize("token", [None, "hf_bob"])
def test_gated__listed_without_a_grant__is_shown_with_the_content_masked(ask, gated, token):
    assert names_of_content(ask, token) == [MASK] * 5
    assert ask("/api/models/org/gated", token=token).json()["gated"] == gated.gated


def test_gated__listed_with_a_grant__is_shown_unmasked(ask, gated):
    sha256, xet = gated.sha256("big.bin"), gated.entry("big.bin").xet_hash

    assert names_of_content(ask, "hf_alice") == [sha256, xet, sha256, xet, sha256]


@pytest.mark.parametrize(("token", "status"), [(None, 401), ("hf_bob", 403), ("hf_alice", 200)])
def test_gated__listings_hidden_by_setting__are_for_readers_only(hub, ask, gated, token, status):
    hub.content.gated_tree_visible = False

    for path in ("", "/revision/main", "/tree/main"):
        assert ask(f"/api/models/org/gated{path}", token=token).status_code == status


@pytest.mark.parametrize(
    "path", ["/org/open/resolve/main/f", "/api/models/org/open", "/api/whoami-v2", "/api/models"]
)
@pytest.mark.parametrize("credentials", ["Bearer hf_nobody", "Basic YTpi", "nonsense"])
def test_token__of_nobody__is_refused_even_for_what_is_public(hub, ask, path, credentials):
    hub.add_repo("models", "org/open").commit({"f": b""})

    answer = ask(path, headers={"Authorization": credentials})

    assert answer.status_code == 401
    assert answer.headers["X-Error-Message"] == "Invalid credentials in Authorization header"
    assert "X-Error-Code" not in answer.headers


def test_disabled__asked_by_anyone__is_refused(ask, private):
    private.disabled = True

    for path in ("/api/models/org/private", "/org/private/resolve/main/small.txt"):
        answer = ask(path, token="hf_alice")
        assert answer.status_code == 403
        assert answer.headers["X-Error-Message"] == "Access to this resource is disabled."
