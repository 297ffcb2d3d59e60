import base64
import json
import time

import pytest

from tests.testing import shapes
from tests.testing.shapes import assert_shape

INFO_KEYS = (
    "_id author cardData config createdAt disabled downloads gated id lastModified library_name likes "
    "model-index modelId pipeline_tag private sha siblings spaces tags transformersInfo usedStorage "
    "widgetData"
)
TREE = "/api/models/org/name/tree/main"


def paths(answer):
    return [entry["path"] for entry in answer.json()]


@pytest.fixture
def many(hub):
    """25 files in two folders, ten entries to a page."""
    repo = hub.add_repo("models", "org/many")
    repo.commit({f"{'ab'[number % 2]}/{number:02}": b"" for number in range(25)})
    hub.content.page_size = 10
    return repo


def test_info__of_a_revision__has_the_keys_and_headers_of_the_hub(ask, repo):
    answer = ask("/api/models/org/name/revision/main")

    assert_shape(answer.headers, shapes.API)
    assert " ".join(sorted(answer.json())) == INFO_KEYS
    assert answer.json()["sha"] == repo.at("main").sha
    assert answer.json()["siblings"] == [{"rfilename": "config.json"}, {"rfilename": "nested/big.bin"}]


def test_info__without_a_revision__is_that_of_main(ask, repo):
    assert ask("/api/models/org/name").json() == ask("/api/models/org/name/revision/main").json()


def test_info__json__is_compact(ask, repo):
    assert '"rfilename":"config.json"' in ask("/api/models/org/name").text


@pytest.mark.parametrize("switch", ["true", "True", "1"])
def test_info__with_blobs__has_sizes_and_ids(ask, repo, switch):
    siblings = ask(f"/api/models/org/name?blobs={switch}").json()["siblings"]

    entry = repo.entry("nested/big.bin")
    assert siblings == [
        {"rfilename": "config.json", "blobId": repo.etag("config.json"), "size": 9},
        {
            "rfilename": "nested/big.bin",
            "blobId": entry.blob_id,
            "size": 3_000_000,
            "lfs": {"sha256": entry.sha256, "size": 3_000_000, "pointerSize": 132},
        },
    ]


@pytest.mark.parametrize("query", ["expand=sha&expand=likes", "expand[]=sha&expand[]=likes"])
def test_info__expand__has_only_what_was_asked_and_the_id(ask, repo, query):
    answer = ask(f"/api/models/org/name?{query}").json()

    assert set(answer) == {"_id", "id", "modelId", "sha", "likes"}


@pytest.mark.parametrize(
    "revision",
    ["HEAD", "v1", "refs%2Fpr%2F1", "refs/pr/1", "refs%2Fconvert%2Fparquet", "refs/convert/parquet"],
)
def test_info__every_way_to_name_a_revision__finds_the_commit(ask, repo, revision):
    sha = repo.at("main").sha
    repo.tag("v1", sha)
    repo.pull_request(1, sha)
    repo.convert("parquet", sha)

    for asked in (revision, sha, sha[:7]):
        assert ask(f"/api/models/org/name/revision/{asked}").json()["sha"] == sha


def test_info__etag_known__says_not_modified(ask, repo):
    etag = ask("/api/models/org/name").headers["ETag"]

    answer = ask("/api/models/org/name", headers={"If-None-Match": etag})

    assert (answer.status_code, answer.content, answer.headers["ETag"]) == (304, b"", etag)


@pytest.mark.parametrize("type", ["models", "datasets", "spaces"])
def test_info__each_type_and_ids_of_one_segment__are_found(hub, ask, type):
    for id in ("gpt2", "org/name"):
        sha = hub.add_repo(type, id).commit({"f": b""})

        for path in (f"/api/{type}/{id}", f"/api/{type}/{id}/revision/main"):
            assert (ask(path).json()["id"], ask(path).json()["sha"]) == (id, sha)
        assert paths(ask(f"/api/{type}/{id}/tree/main")) == ["f"]


def test_info__former_name__redirects_and_keeps_the_rest(hub, ask, repo):
    hub.move("models", "gpt2", "org/name")

    answer = ask("/api/models/gpt2/tree/refs%2Fpr%2F1/a%2Fb?recursive=true")

    assert answer.status_code == 307
    assert answer.headers["Location"] == "/api/models/org/name/tree/refs%2Fpr%2F1/a%2Fb?recursive=true"
    assert ask("/api/models/gpt2").headers["Location"] == "/api/models/org/name"


def test_info__repo_was_renamed__is_found_by_its_new_name(hub, ask, repo):
    hub.move("models", "org/name", "org/other")

    assert ask("/api/models/org/other").json()["id"] == "org/other"
    assert ask("/api/models/org/name").headers["Location"] == "/api/models/org/other"


def test_tree__recursive__has_the_entries_and_headers_of_the_hub(ask, repo):
    answer = ask(f"{TREE}?recursive=true&expand=false")

    commit, entry = repo.at("main"), repo.entry("nested/big.bin")
    assert_shape(answer.headers, shapes.API)
    assert answer.json() == [
        {"type": "file", "oid": repo.etag("config.json"), "size": 9, "path": "config.json"},
        {"type": "directory", "oid": commit.trees["nested"], "size": 0, "path": "nested"},
        {
            "type": "file",
            "oid": entry.blob_id,
            "size": 3_000_000,
            "lfs": {"oid": entry.sha256, "size": 3_000_000, "pointerSize": 132},
            "xetHash": entry.xet_hash,
            "path": "nested/big.bin",
        },
    ]


def test_tree__not_recursive__has_what_is_directly_in_the_folder(ask, repo):
    assert paths(ask(TREE)) == ["config.json", "nested"]
    assert paths(ask(f"{TREE}/nested")) == ["nested/big.bin"]


@pytest.mark.parametrize("folder", ["a%2Fb", "a/b"])
def test_tree__of_a_folder_in_a_folder__is_found_however_it_is_encoded(ask, repo, folder):
    repo.commit({"a/b/c": b""})

    assert paths(ask(f"{TREE}/{folder}")) == ["a/b/c"]


def test_tree__expand__adds_the_last_commit_of_each(ask, repo):
    first = repo.at("main").sha
    second = repo.commit({"nested/new": b""}, message="Add new\n\nfor a test")

    entries = {entry["path"]: entry for entry in ask(f"{TREE}?recursive=true&expand=True").json()}

    assert entries["config.json"]["lastCommit"]["id"] == first
    assert entries["nested"]["lastCommit"]["id"] == second
    assert entries["nested/new"]["lastCommit"]["title"] == "Add new"
    assert entries["nested/new"]["securityFileStatus"]["status"] == "safe"


def test_tree__missing_folder__is_the_error_the_hub_sends(ask, repo):
    answer = ask(f"{TREE}/nope")

    assert answer.status_code == 404
    assert answer.json() == {"error": 'nope does not exist on "main"'}
    no_entry = {**shapes.as_api(shapes.NO_ENTRY), "X-Error-Message": ".+"}
    assert_shape(answer.headers, no_entry, sha=repo.at("main").sha)


def test_tree__more_than_a_page__is_whole_by_following_the_links(hub, ask, many):
    found: list[str] = []
    pages = 0
    url = f"{hub.url}/api/models/org/many/tree/main?recursive=true"
    while url:
        answer = ask(url)
        found, pages = found + paths(answer), pages + 1
        url = answer.links.get("next", {}).get("url")

    assert pages == 3
    assert found == many.at("main").listing("", recursive=True)


def test_tree__link__has_the_form_of_the_hub(hub, ask, many):
    link = ask("/api/models/org/many/tree/main/a?recursive=true&limit=4").headers["Link"]

    url = f"{hub.url}/api/models/org/many/tree/main/a?expand=false&recursive=true&limit=4&cursor="
    assert link.startswith(f"<{url}ZXlK")
    assert link.endswith('%3D>; rel="next"')


def test_tree__last_page_exactly_full__has_no_link(hub, ask, repo):
    hub.content.page_size = 3

    assert "Link" not in ask(f"{TREE}?recursive=true").headers


def test_tree__cursor_made_by_a_client__goes_on_behind_that_file(ask, many):
    inner = base64.b64encode(json.dumps({"file_name": "b/21"}).encode()) + b":50"
    cursor = base64.b64encode(inner).decode().replace("=", "%3D")

    assert paths(ask(f"/api/models/org/many/tree/main?recursive=true&cursor={cursor}")) == ["b/23"]


@pytest.mark.parametrize("query", ["cursor=nonsense", "limit=none", "limit=0"])
def test_tree__nonsense_in_the_query__is_refused(ask, many, query):
    assert ask(f"/api/models/org/many/tree/main?{query}").status_code == 400


def test_paths_info__form_and_json__give_the_same_and_leave_out_the_unknown(ask, repo):
    url, asked = "/api/models/org/name/paths-info/main", ["nested", "nope", "config.json"]

    by_form = ask(url, method="POST", data={"paths": asked, "expand": "False"})
    by_json = ask(url, method="POST", json={"paths": asked})

    assert paths(by_form) == ["nested", "config.json"]
    assert by_json.json() == by_form.json()


def test_paths_info__expand__adds_the_last_commit(ask, repo):
    url = "/api/models/org/name/paths-info/main"

    by_form = ask(url, method="POST", data={"paths": ["config.json"], "expand": "True"}).json()
    by_json = ask(url, method="POST", json={"paths": ["config.json"], "expand": True}).json()

    assert by_form == by_json
    assert by_form[0]["lastCommit"]["id"] == repo.at("main").sha


def test_paths_info__body_that_is_no_json__is_refused(ask, repo):
    headers = {"Content-Type": "application/json"}

    answer = ask("/api/models/org/name/paths-info/main", method="POST", data="{", headers=headers)

    assert answer.status_code == 400


def test_refs__of_every_kind__are_listed(ask, repo):
    sha = repo.at("main").sha
    repo.tag("v1", sha)
    repo.convert("parquet", sha)
    repo.pull_request(1, sha)

    plain = ask("/api/models/org/name/refs").json()
    full = ask("/api/models/org/name/refs?include_prs=1").json()

    assert plain == {
        "tags": [{"name": "v1", "ref": "refs/tags/v1", "targetCommit": sha}],
        "branches": [{"name": "main", "ref": "refs/heads/main", "targetCommit": sha}],
        "converts": [{"name": "parquet", "ref": "refs/convert/parquet", "targetCommit": sha}],
    }
    assert full["pullRequests"] == [{"name": "refs/pr/1", "ref": "refs/pr/1", "targetCommit": sha}]


def test_commits__of_a_branch__are_listed_in_pages_newest_first(ask, repo):
    shas = [repo.commit({"f": bytes([number])}, message=f"number {number}") for number in range(3)]

    first = ask("/api/models/org/name/commits/main?limit=3")
    second = ask(first.links["next"]["url"])

    assert [commit["id"] for commit in first.json()] == shas[::-1]
    assert first.json()[0]["title"] == "number 2"
    assert first.headers["X-Total-Count"] == "4"
    assert len(second.json()) == 1
    assert "Link" not in second.headers


def test_xet_read_token__of_a_commit__leads_nowhere_and_is_counted(hub, ask, repo):
    answer = ask(f"/api/models/org/name/xet-read-token/{repo.at('main').sha}")

    told = answer.json()
    assert told["casUrl"] == answer.headers["X-Xet-Cas-Url"] == "http://127.0.0.1:9"
    assert told["accessToken"] == answer.headers["X-Xet-Access-Token"]
    assert str(told["exp"]) == answer.headers["X-Xet-Token-Expiration"]
    assert told["exp"] > time.time()
    assert hub.count(route="xet-read-token") == 1


def test_whoami__known_and_anonymous__says_who_or_refuses(ask):
    known = ask("/api/whoami-v2", token="hf_alice")

    assert (known.json()["name"], known.json()["type"]) == ("alice", "user")
    assert known.json()["auth"]["accessToken"]["role"] == "read"
    assert ask("/api/whoami-v2").status_code == 401


def test_list__author_search_and_limit__narrow_it(hub, ask):
    for id in ("org/one", "org/two", "gpt2", "other/one"):
        hub.add_repo("models", id)

    def ids(query):
        return [item["id"] for item in ask(f"/api/models?{query}").json()]

    assert ids("") == ["gpt2", "org/one", "org/two", "other/one"]
    assert ids("author=org") == ["org/one", "org/two"]
    assert ids("search=ONE") == ["org/one", "other/one"]
    assert ids("limit=1") == ["gpt2"]


def test_list__more_than_a_page__is_whole_by_following_the_links(hub, ask):
    for number in range(5):
        hub.add_repo("datasets", f"org/{number}")

    first = ask("/api/datasets?limit=3&search=org")
    second = ask(first.links["next"]["url"])

    assert [item["id"] for item in first.json() + second.json()] == [f"org/{number}" for number in range(5)]
    assert "Link" not in second.headers


def test_small_questions__of_clients__are_answered(ask):
    assert ask("/api/agent-harnesses").json() == {"harnesses": {}, "standardEnvVars": []}
    assert ask("/api/telemetry/hf_hub", method="HEAD").status_code == 200


@pytest.mark.parametrize("path", ["/api/nope", "/api/models/org/name/nope", "/nope"])
def test_unknown_path__is_not_found(ask, repo, path):
    assert ask(path).status_code == 404
