"""Answers whatever is asked, whatever is on the disk and whatever upstream says."""

import base64
import json

import pytest

from dingospeed.errors import Refusal
from dingospeed.store.documents import Documents
from dingospeed.testing import Generated
from dingospeed.web import replies

API, FORM = "/api/models/org/name", {"Content-Type": "application/x-www-form-urlencoded"}
ODD_NAME = "data:x\r\nX-Evil: 1,y"


@pytest.fixture
def repo(hub):
    repo = hub.add_repo("models", "org/name")
    repo.commit(
        {
            "a.txt": b"words",
            "big.bin": Generated(size=100_000, seed=1),
            "dir/b.txt": b"b",
            "dir/c.txt": b"c",
            "x.json.gz": b"gz",
        }
    )
    return repo


def everything(app, sha):
    """(status, body) by path of all that a downloader asks for."""
    paths = (
        *(
            f"/org/name/resolve/{revision}/{file}"
            for revision in ("main", "HEAD", sha)
            for file in ("a.txt", "big.bin")
        ),
        *(
            f"{API}{rest}"
            for rest in ("", "/revision/main", f"/revision/{sha}", "?blobs=true", "/refs", "/auth-check")
        ),
        *(f"{API}/tree/{rest}" for rest in ("main", f"{sha}?recursive=true", "main/dir")),
    )
    answers = {path: app.get(path) for path in paths}
    answers["paths-info"] = app.get(f"{API}/paths-info/main", method="POST", data={"paths": ["a.txt", "dir"]})
    return {path: (answer.status_code, answer.data) for path, answer in answers.items()}


def test_offline__after_a_restart__everything_by_branch_and_by_commit(repo, app, make_app):
    before = everything(app, repo.branches["main"])

    after = everything(
        make_app(upstream={"offline": True, "lines": []}, metadata={"ttl_s": 0}), repo.branches["main"]
    )

    assert {status for status, _ in before.values()} == {200}
    assert after == before


def test_full_disk__no_document_can_be_kept__everything_is_answered(repo, app, make_app, monkeypatch):
    before = everything(app, repo.branches["main"])
    for document in (app.repos / "api").rglob("*.json"):
        document.unlink()
    monkeypatch.setattr(Documents, "write", lambda *_, **_at: False)

    assert everything(make_app(), repo.branches["main"]) == before


@pytest.mark.parametrize("wrong", ["[[]]", "{}", "null", "7", '[{"path":1}]', '{"sha":"x","private":1}', "{"])
def test_documents__damaged_on_disk__are_fetched_anew(repo, app, make_app, wrong):
    before = everything(app, repo.branches["main"])
    documents = list((app.repos / "api").rglob("*.json"))
    assert len(documents) >= 5
    for document in documents:
        document.write_text(wrong)

    assert everything(make_app(), repo.branches["main"]) == before


@pytest.mark.parametrize("name", ["model", "models", "a", "resolve", "main"])
def test_moved__id_looks_like_another_part_of_the_path__leads_to_the_new_name(hub, app, name):
    hub.add_repo("models", "org/new").commit({"a.txt": b"words"})
    hub.move("models", name, "org/new")

    for before, behind in (
        ("/api/models", "/revision/main"),
        ("/api/models", "/refs"),
        ("", "/resolve/main/a.txt"),
    ):
        answer = app.get(f"{before}/{name}{behind}?x=1&y=%20")

        assert answer.status_code == 307
        assert answer.headers["Location"] == f"{before}/org/new{behind}?x=1&y=%20"


def test_moved__there_and_back__leads_in_no_circle(hub, app):
    hub.add_repo("models", "org/one").commit({"a.txt": b"words"})
    hub.move("models", "org/one", "org/two")
    assert app.get("/org/one/resolve/main/a.txt").headers["Location"] == "/org/two/resolve/main/a.txt"
    hub.move("models", "org/two", "org/one")
    assert app.get("/org/two/resolve/main/a.txt").headers["Location"] == "/org/one/resolve/main/a.txt"

    assert app.get("/org/one/resolve/main/a.txt").data == b"words"


@pytest.mark.parametrize("limit", ["9" * 5000, "0", "-1", "1e3", "\u0661", ""])
def test_limit__no_number_of_entries__is_refused(repo, app, limit):
    assert app.get(f"{API}/tree/main?limit={limit}").status_code == 400


def cursor_of(text):
    return base64.b64encode(base64.b64encode(text.encode()) + b":50").decode().replace("=", "%3D")


@pytest.mark.parametrize("inner", ["[" * 4000, "{}", '{"file_name":[]}', "[1]", "\xff"])
def test_cursor__no_place_in_the_listing__is_refused(repo, app, inner):
    assert app.get(f"{API}/tree/main?cursor={cursor_of(inner)}").status_code == 400


def test_cursor__made_up_by_the_client__goes_on_behind_that_file(repo, app):
    rest = app.get(f"{API}/tree/main?cursor=" + cursor_of('{"file_name":"dir"}')).json
    end = app.get(f"{API}/tree/main?cursor=" + cursor_of('{"file_name":"x.json.gz"}')).json

    assert [entry["path"] for entry in rest] == ["x.json.gz"]
    assert end == []


@pytest.mark.parametrize("body", ["[" * 100_000, "{", "7", '{"paths":{}}', '{"paths":[1]}', "\xff"])
def test_paths_info__senseless_body__is_refused(repo, app, body):
    headers = {"Content-Type": "application/json"}

    assert app.get(f"{API}/paths-info/main", method="POST", data=body, headers=headers).status_code == 400


def test_paths_info__very_many_paths__all_are_looked_at(repo, app):
    paths = [f"{'long-name-' * 10}{index}" for index in range(9_000)]

    answer = app.get(f"{API}/paths-info/main", method="POST", data={"paths": [*paths, "a.txt"]})

    assert [entry["path"] for entry in answer.json] == ["a.txt"]


def test_paths_info__too_large_a_body__is_no_upload(repo, app):
    answer = app.get(f"{API}/paths-info/main", method="POST", data=b"x" * (5 << 20), headers=FORM)

    assert answer.status_code == 413
    assert "read-only" not in answer.headers["X-Error-Message"]


def test_file__name_is_no_name_for_a_header__is_served(hub, app):
    hub.add_repo("models", "org/odd").commit({ODD_NAME: b"words"})

    answer = app.get("/org/odd/resolve/main/data:x%0D%0AX-Evil:%201,y")

    assert (answer.status_code, answer.data) == (200, b"words")
    assert "X-Evil" not in answer.headers


def test_file__packed_json__is_not_called_json(repo, app):
    assert "json" not in app.get("/org/name/resolve/main/x.json.gz").headers["Content-Type"]


@pytest.mark.parametrize("host", ["evil.org/x", 'a"b', "a b", "a>b;c", "", "[::1", "a:b", "user@evil.org"])
def test_link__host_is_no_host__names_another(repo, app, host):
    link = app.get(f"{API}/tree/main?limit=1", headers={"Host": host}).headers["Link"]

    assert link.startswith("<http://localhost:80/api/models/org/name/tree/main?")
    assert link.endswith('>; rel="next"')


@pytest.mark.parametrize(
    ("trusted", "host"),
    [(["127.0.0.0/8"], "mirror.example:8443"), ([], "inner:8090"), (["10.0.0.1"], "inner:8090")],
)
def test_link__behind_a_proxy__is_what_the_client_used_if_the_proxy_is_trusted(repo, make_app, trusted, host):
    app = make_app(server={"trusted_proxies": trusted})
    headers = {"Host": "inner:8090", "X-Forwarded-Host": "evil.org, mirror.example:8443"}

    link = app.get(f"{API}/tree/main?limit=1", headers=headers).headers["Link"]

    assert link.startswith(f"<http://{host}/api/")


@pytest.mark.parametrize(
    "path", ["", "/tree/main?expand=true", "?expand=sha", "/commits/main", "/revision/main"]
)
def test_anonymous__no_such_repo__is_told_so_by_a_code(app, path):
    for method in ("GET", "HEAD"):
        answer = app.get(f"/api/models/org/none{path}", method=method)

        assert (answer.status_code, answer.headers["X-Error-Code"]) == (401, "RepoNotFound")


@pytest.mark.parametrize(
    "path",
    ["/xet-read-token/a/b/c", "/xet-write-token/main", "/%78et-write-token/main", "/XET-read-token/a/b"],
)
def test_xet_token__by_any_path__is_never_handed_on(hub, repo, app, path):
    answer = app.get(f"{API}{path}")

    assert answer.status_code in (403, 404)
    assert not [call for call in hub.calls if "xet" in call.path.lower()]


def test_line__does_not_have_one_file__still_serves_the_others(hub, repo, make_app):
    app = make_app(upstream={"failures_to_down": 1, "retries": 1})
    hub.fault("any", "status", code=404, path="a.txt")

    assert app.get("/org/name/resolve/main/a.txt").status_code == 502
    assert app.get("/org/name/resolve/main/big.bin").status_code == 200


@pytest.mark.parametrize(
    "path",
    [
        "/org/name/resolve/main/a.txt",
        "/org/name/resolve/main/none",
        "/org/name/resolve/none/a",
        "/org/none/resolve/main/a",
        "/org/name/resolve/main/..",
        "/nothing",
        API,
        f"{API}/tree/none",
        f"{API}/tree/main/none",
        f"{API}/tree/main?limit=1",
        "/api/whoami-v2",
        "/api/models?limit=1",
        "/",
        "/-/readyz",
    ],
)
def test_head__any_path__same_as_get(repo, app, path):
    volatile = {"X-Request-Id", "Date", "X-Cache"}
    head, get = app.get(path, method="HEAD"), app.get(path)

    assert head.status_code == get.status_code
    assert {k: v for k, v in head.headers.items() if k not in volatile} == {
        k: v for k, v in get.headers.items() if k not in volatile
    }
    assert head.data == b""


def test_answer__any__is_for_its_caller_only(repo, app):
    for path in ("/org/name/resolve/main/a.txt", API, "/org/none/resolve/main/a"):
        answer = app.get(path)

        assert answer.headers["Cache-Control"] == "private, no-cache"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"


def test_refs__only_the_other_list_is_known__serves_offline(hub, repo, app, make_app):
    with_pull_requests = app.get(f"{API}/refs?include_prs=1").json

    answer = make_app(upstream={"offline": True, "lines": []}).get(f"{API}/refs")

    assert answer.json["branches"] == with_pull_requests["branches"]
    assert "pullRequests" not in answer.json


@pytest.mark.parametrize("name", ["", "siblings"], ids=["alone", "in an object"])
def test_as_json__long_list_and_half_a_surrogate_pair__is_compact_json_and_others_get_turns(
    app, monkeypatch, name
):
    turns: list[float] = []
    monkeypatch.setattr("dingospeed.web.replies.time.sleep", turns.append)

    def value(mark):
        files = [{"path": f"ü{index}{mark}"} for index in range(5_000)]
        return {"sha": f"1{mark}", name: files, "gated": False} if name else files

    with app.flask.test_request_context():
        body = replies.as_json(value("\ud800")).get_data()

    assert json.loads(body) == value("?")
    assert b'": ' not in body
    assert turns == [0, 0, 0]


class NoEntry(Refusal):
    status = 404
    phrase = "Try the other door"


@pytest.mark.parametrize("is_api", [True, False])
def test_refusal__has_a_phrase__is_told_in_the_status_line_too(is_api):
    answer = replies.refused(NoEntry("The other door is open."), is_api=is_api)

    assert answer.status == "404 Try the other door"
    assert answer.headers["X-Error-Message"] == "The other door is open."
