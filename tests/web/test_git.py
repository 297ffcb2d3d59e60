"""git's routes: who is asking, which repo is meant, and what is refused."""

import base64
import json

import pytest
from pydantic import SecretStr

from dingospeed.app import create_app
from dingospeed.config import Line, Settings
from dingospeed.testing import FakeHub, Generated

TOKEN = "hf_ann"
LFS_TYPE = "application/vnd.git-lfs+json"
REFS = "info/refs?service=git-upload-pack"


@pytest.fixture
def hub():
    with FakeHub() as hub:
        hub.add_user("ann", token=TOKEN)
        for id, private in (("org/open", False), ("gpt2", False), ("org/closed", True)):
            repo = hub.add_repo("models", id, private=private)
            repo.commit({"big.bin": Generated(1_100_000, seed=1)})
            repo.grant("ann")
        hub.add_repo("datasets", "org/data").commit({"a.txt": b"a"})
        yield hub


def client_of(line, folder):
    settings = Settings()
    changed = {
        "cache": settings.cache.model_copy(update={"repos": folder / "repos"}),
        "upstream": settings.upstream.model_copy(update={"lines": (line,)}),
    }
    return create_app(settings.model_copy(update=changed)).test_client()


@pytest.fixture
def web(hub, tmp_path):
    return client_of(Line(name="a", url=hub.url, hub=True), tmp_path)


def basic(user, password):
    return {"Authorization": "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()}


def ask_batch(web, *, id="org/open", **asked):
    body = {"operation": "download", "objects": [], **asked}
    return web.post(f"/{id}/info/lfs/objects/batch", data=json.dumps(body), content_type=LFS_TYPE)


@pytest.mark.parametrize("repo", ["org/open", "org/open.git", "gpt2", "gpt2.git", "datasets/org/data"])
def test_info_refs__any_way_to_name_a_repo__is_found(web, repo):
    answer = web.get(f"/{repo}/{REFS}")

    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == "application/x-git-upload-pack-advertisement"
    assert b"refs/heads/main" in answer.data


@pytest.mark.parametrize(
    "headers",
    [basic("ann", TOKEN), basic("anybody", TOKEN), basic(TOKEN, ""), {"Authorization": f"Bearer {TOKEN}"}],
    ids=["name", "any name", "as a name", "bearer"],
)
def test_info_refs__private_with_the_token__however_it_is_shown(hub, web, headers):
    assert web.get(f"/org/closed/{REFS}", headers=headers).status_code == 200
    assert hub.select(route="info/refs")[-1].authorization == "ann"


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 401),
        ({"Authorization": "Basic !!!"}, 401),
        ({"Authorization": "Basic"}, 401),
        (basic("", ""), 401),
        (basic("ann", "hf_nobody"), 401),
        (basic("ann", "ä"), 400),
        (basic("ann", "x" * 2000), 400),
    ],
    ids=str,
)
def test_info_refs__private_without_the_token__is_refused(web, headers, status):
    answer = web.get(f"/org/closed/{REFS}", headers=headers)

    assert answer.status_code == status
    assert answer.headers["Content-Type"].startswith("text/plain")
    assert ("WWW-Authenticate" in answer.headers) is (status == 401)


@pytest.mark.parametrize("closed", ["private", "gated"])
def test_closed__line_has_a_token_of_its_own__the_caller_gains_nothing_by_it(hub, tmp_path, closed):
    repo = hub.add_repo("models", "org/x", private=closed == "private", gated=closed == "gated" and "auto")
    repo.commit({"big.bin": Generated(1_100_000, seed=2)})
    repo.grant("ann")
    web = client_of(Line(name="a", url=hub.url, hub=True, token=SecretStr(TOKEN)), tmp_path)
    wanted = {"oid": repo.sha256("big.bin"), "size": 1_100_000}

    assert web.get(f"/org/x/{REFS}").status_code == 401
    assert web.post("/org/x/git-upload-pack", data=b"0000").status_code == 401
    assert ask_batch(web, id="org/x", objects=[wanted]).status_code == 401
    assert web.get(f"/org/x/info/lfs/objects/{wanted['oid']}?size=1100000").status_code == 401
    assert hub.count(kind="git") == 0


def test_batch__private_and_anonymous__asks_for_credentials_as_git_lfs_wants(web):
    answer = ask_batch(web, id="org/closed.git")

    assert answer.status_code == 401
    assert answer.headers["Content-Type"] == LFS_TYPE
    assert answer.headers["LFS-Authenticate"] == answer.headers["WWW-Authenticate"]
    assert answer.headers["WWW-Authenticate"].startswith("Basic ")
    assert answer.json["message"]


def test_batch__too_many_objects__is_refused(web):
    assert ask_batch(web, objects=[{"oid": "1" * 64, "size": 1}] * 1001).status_code == 400


def test_upload_pack__body_too_long__is_refused(web):
    answer = web.post("/org/open/git-upload-pack", data=bytes((16 << 20) + 1))

    assert answer.status_code == 413
    assert answer.headers["X-Error-Message"] == "The body is too long"


def test_upload_pack__body_of_more_than_other_routes_take__is_passed_on(hub, web):
    web.post("/org/open/git-upload-pack", data=b"0000" * (2 << 20))

    assert hub.count(route="git-upload-pack") == 1


def test_upload_pack__packed_in_an_unknown_way__is_refused(hub, web):
    answer = web.post("/org/open/git-upload-pack", data=b"x", headers={"Content-Encoding": "br"})

    assert answer.status_code == 400
    assert hub.count(route="git-upload-pack") == 0


@pytest.mark.parametrize("protocol", ["version=2\t", "version=2; x", "ü", "x" * 200])
def test_info_refs__senseless_protocol__is_not_passed_on(web, protocol):
    answer = web.get(f"/org/open/{REFS}", headers={"Git-Protocol": protocol})

    assert answer.status_code == 200


def test_info_refs__answer_is_something_else__is_no_answer_of_git(hub, web):
    hub.fault("git", "html_200")

    answer = web.get(f"/org/open/{REFS}")

    assert answer.status_code == 503
    assert hub.url.encode() not in answer.data
