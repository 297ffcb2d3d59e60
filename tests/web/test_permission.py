"""Nobody learns or gets what the Hub would refuse them, whatever was kept for others."""

import os
import time

import pytest

from dingospeed.testing import Generated
from tests.web.conftest import INVALID, LET_IN, OTHER

FILES = {"a.txt": b"secret words", "big.bin": Generated(size=100_000, seed=1)}


def add(hub, id, **access):
    repo = hub.add_repo("models", id, **access)
    repo.commit(FILES)
    repo.grant("ann")
    return repo


def test_own_token__anonymous_asks_for_no_revision_of_a_private_repo__is_told_of_no_repo(hub, make_app):
    add(hub, "org/private", private=True)
    app = make_app(token=LET_IN)

    for path in ("/org/private/resolve/none/a.txt", "/api/models/org/private/revision/none"):
        answer = app.get(path)

        assert (answer.status_code, answer.headers["X-Error-Code"]) == (401, "RepoNotFound")


def test_own_token__anonymous__gets_nothing_of_a_private_repo(hub, make_app):
    sha = add(hub, "org/private", private=True).branches["main"]
    app = make_app(token=LET_IN)
    api = "/api/models/org/private"
    paths = ("", "?blobs=true", f"/revision/{sha}", "/tree/main", "/refs", "/auth-check", "/commits/main")

    for path in (f"/org/private/resolve/{sha}/a.txt", *(f"{api}{path}" for path in paths)):
        for method in ("GET", "HEAD"):
            answer = app.get(path, method=method)

            assert (answer.status_code, answer.headers["X-Error-Code"]) == (401, "RepoNotFound"), path


def test_own_token__anonymous_lists_a_gated_repo__identities_are_starred_out(hub, make_app):
    repo = add(hub, "org/gated", gated="manual")
    app = make_app(token=LET_IN)
    form = {"paths": ["big.bin"]}

    answers = [
        app.get("/api/models/org/gated/tree/main"),
        app.get("/api/models/org/gated?blobs=true"),
        app.get("/api/models/org/gated/paths-info/main", method="POST", data=form),
    ]

    assert [answer.status_code for answer in answers] == [200, 200, 200]
    assert not any(repo.sha256("big.bin") in answer.text for answer in answers)
    assert app.get("/org/gated/resolve/main/a.txt").status_code == 401


@pytest.mark.parametrize(
    "path",
    [
        "/org/name/info/refs?service=git-upload-pack",
        "/api/models/org/name/refs",
        "/api/models/org/name/commits/main",
        "/v2/org/name/manifests/latest",
    ],
)
def test_own_token__public_a_moment_ago_and_private_now__what_is_new_is_not_told(hub, make_app, path):
    repo = add(hub, "org/name")
    app = make_app(token=LET_IN)
    assert app.get("/org/name/resolve/main/a.txt").status_code == 200
    repo.private = True
    sha = repo.commit({"new.txt": b"new"})

    answer = app.get(path)

    assert answer.status_code == 401
    assert sha not in answer.text


def test_own_token__public_repo_is_removed__the_anonymous_are_told_as_without_it(hub, make_app):
    add(hub, "org/name")
    app = make_app(token=LET_IN, metadata={"ttl_s": 0})
    assert app.get("/org/name/resolve/main/a.txt").status_code == 200
    hub.content.remove_repo("models", "org/name")

    for path in ("/org/name/resolve/main/a.txt", "/api/models/org/name", "/api/models/org/none"):
        answer = app.get(path)

        assert (answer.status_code, answer.headers["X-Error-Code"]) == (401, "RepoNotFound"), path


def test_moved__target_is_private__its_name_is_told_to_those_let_in_only(hub, app):
    repo = add(hub, "org/old", private=True)
    hub.move("models", "org/old", "org/secretname")
    sha, path = repo.branches["main"], "/api/models/org/old/revision/main"

    assert app.get(path, token=LET_IN).headers["Location"] == "/api/models/org/secretname/revision/main"
    for token, status in ((None, 401), (OTHER, 404), (INVALID, 401)):
        for asked in (path, f"/org/old/resolve/{sha}/a.txt", "/api/models/org/old/refs"):
            answer = app.get(asked, token=token)

            assert answer.status_code == status
            assert "secretname" not in f"{answer.headers}{answer.text}"


@pytest.mark.parametrize("is_private", [True, False])
def test_recreated__under_the_same_name__nothing_of_the_old_one_is_given_out(
    hub, make_app, monkeypatch, is_private
):
    old = add(hub, "org/name", private=True)
    app = make_app(metadata={"ttl_s": 0})
    path = f"/org/name/resolve/{old.branches['main']}/a.txt"
    assert app.get(path, token=LET_IN).status_code == 200
    hub.content.remove_repo("models", "org/name")
    new = hub.add_repo("models", "org/name", private=is_private)
    monkeypatch.setattr(type(new), "object_id", "f" * 24)
    new.commit({"other.txt": b"of somebody else"})
    new.grant("bob")

    assert app.get("/org/name/resolve/main/other.txt", token=OTHER).status_code == 200

    for token in (None, OTHER, LET_IN):
        answer = app.get(path, token=token)
        assert answer.status_code in (401, 404), token
        assert b"secret" not in answer.data


def test_private__became_so__an_invalid_token_does_not_keep_it_open(hub, make_app):
    repo = add(hub, "org/name")
    app = make_app(metadata={"ttl_s": 0})
    path = f"/org/name/resolve/{repo.branches['main']}/a.txt"
    assert app.get(path).status_code == 200
    repo.private = True

    assert [app.get(path, token=INVALID).status_code for _ in range(2)] == [401, 401]


def test_public__caller_with_a_token_that_ran_out__stays_open_to_all(hub, make_app):
    repo = add(hub, "org/name")
    app = make_app(metadata={"ttl_s": 0})
    path = f"/org/name/resolve/{repo.branches['main']}/a.txt"
    assert app.get(path).status_code == 200
    hub.fault("api", "status", code=401, times=1)
    app.get(path, token=OTHER)
    hub.fault("any", "status", code=503)

    assert app.get(path).status_code == 200


def test_auth_check__a_login_portal_answers_instead__lets_nobody_in(hub, app):
    add(hub, "org/gated", gated="manual")
    hub.fault("api", "html_200", path="auth-check")

    answer = app.get("/org/gated/resolve/main/a.txt", token=OTHER)

    assert answer.status_code in (502, 503)


def test_decision__clock_jumped_back__is_asked_again(hub, app):
    add(hub, "org/gated", gated="manual")
    path = "/org/gated/resolve/main/a.txt"
    assert app.get(path, token=LET_IN).status_code == 200
    hub.content.repo("models", "org/gated").readers.discard("ann")
    for document in (app.repos / "access").rglob("*.json"):
        os.utime(document, times=(time.time() + 86400,) * 2)

    assert app.get(path, token=LET_IN).status_code == 403


def test_offline__private_repo_is_held__a_stranger_is_answered_as_for_one_that_is_not(hub, app, make_app):
    add(hub, "org/private", private=True)
    assert app.get("/org/private/resolve/main/a.txt", token=LET_IN).status_code == 200
    offline = make_app(upstream={"offline": True, "lines": []})

    held = offline.get("/org/private/resolve/main/a.txt", token=OTHER)
    unknown = offline.get("/org/unknown/resolve/main/a.txt", token=OTHER)

    assert (held.status_code, held.text) == (unknown.status_code, unknown.text)
    assert offline.get("/org/private/resolve/main/a.txt", token=LET_IN).data == FILES["a.txt"]


def test_not_modified__caller_without_right__is_refused_all_the_same(hub, app):
    repo = add(hub, "org/gated", gated="manual")
    assert app.get("/org/gated/resolve/main/a.txt", token=LET_IN).status_code == 200

    for header in (f'"{repo.etag("a.txt")}"', "*"):
        for token, status in ((None, 401), (OTHER, 403)):
            answer = app.get("/org/gated/resolve/main/a.txt", token=token, headers={"If-None-Match": header})
            assert answer.status_code == status
            assert "ETag" not in answer.headers
