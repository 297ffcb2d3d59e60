import pytest
from flask import Flask
from werkzeug.exceptions import NotFound

from dingospeed.app import create_app
from dingospeed.config import Settings
from dingospeed.errors import BadRequest, RepoNotFound
from dingospeed.web import paths


@pytest.fixture
def route(tmp_path):
    settings = Settings()
    settings = settings.model_copy(
        update={
            "cache": settings.cache.model_copy(update={"repos": tmp_path / "repos"}),
            "upstream": settings.upstream.model_copy(update={"offline": True}),
        }
    )
    app = create_app(settings)

    def match(path):
        endpoint, arguments = app.url_map.bind("x").match(path)
        return endpoint.rpartition(".")[2], arguments

    return match


@pytest.mark.parametrize(
    ("path", "repo", "revision", "file"),
    [
        ("/org/name/resolve/main/a/b.txt", "models/org/name", "main", "a/b.txt"),
        ("/gpt2/resolve/main/a.txt", "models/gpt2", "main", "a.txt"),
        ("/datasets/org/name/resolve/v1/a", "datasets/org/name", "v1", "a"),
        ("/datasets/squad/resolve/v1/a", "datasets/squad", "v1", "a"),
        ("/spaces/org/name/resolve/main/a", "spaces/org/name", "main", "a"),
        ("/org/name/resolve/refs%2Fpr%2F1/a", "models/org/name", "refs/pr/1", "a"),
        ("/org/name/resolve/refs/pr/1/a/b", "models/org/name", "refs/pr/1", "a/b"),
        ("/org/name/resolve/refs/convert/parquet/a", "models/org/name", "refs/convert/parquet", "a"),
        ("/org/name/resolve/main/resolve/main/a", "models/org/name", "main", "resolve/main/a"),
        ("/org/name/resolve/main/a%2Bb%20%231%25.txt", "models/org/name", "main", "a+b #1%.txt"),
        ("/org/name/resolve/main/d%C3%A9j%C3%A0", "models/org/name", "main", "déjà"),
        ("/org/name/resolve/main/a%2Fb", "models/org/name", "main", "a/b"),
    ],
)
def test_resolve__path_as_sent__repo_revision_and_file(route, path, repo, revision, file):
    endpoint, found = route(path)

    assert endpoint == "resolve"
    assert str(paths.repo_of_page(found["repo"])) == repo
    assert paths.revision_of(found["revision"]) == revision
    assert paths.path_of(found["path"]) == file


@pytest.mark.parametrize(
    ("path", "endpoint", "id"),
    [
        ("/api/models/gpt2", "info", "gpt2"),
        ("/api/models/org/name", "info", "org/name"),
        ("/api/models/gpt2/revision/main", "info", "gpt2"),
        ("/api/models/gpt2/refs", "refs", "gpt2"),
        ("/api/models/org/name/refs", "refs", "org/name"),
        ("/api/models/gpt2/tree/main/a%2Fb", "tree", "gpt2"),
        ("/api/models/org/name/tree/refs%2Fpr%2F1", "tree", "org/name"),
        ("/api/models/org/name/auth-check", "auth_check", "org/name"),
        ("/api/models/org/name/commits/main", "everything_else", None),
        ("/api/whoami-v2", "everything_else", None),
        ("/api/agent-harnesses", "agent_harnesses", None),
    ],
)
def test_api__path_as_sent__its_route_and_repo(route, path, endpoint, id):
    found, arguments = route(path)

    assert (found, arguments.get("id")) == (endpoint, id)


def test_route__nowhere__is_not_found(route):
    with pytest.raises(NotFound):
        route("/org/name/blob/main/a")


@pytest.mark.parametrize("sent", ["//org/m/resolve/main/a?x=1", "http://host:1//org/m/resolve/main/a"])
def test_raw_paths__slashes_in_front_or_whole_url__the_path(sent):
    seen = {}
    app = paths.RawPaths(lambda environ, start_response: seen.update(environ) or [])

    app({"RAW_URI": sent, "PATH_INFO": "/"}, None)

    assert seen["PATH_INFO"] == "/org/m/resolve/main/a"


@pytest.mark.parametrize("text", ["%ff", "a%00b", "%2e%2e", "a/%2e%2e/b", ""])
def test_path__decoded_to_something_bad__is_refused(text):
    with pytest.raises(BadRequest):
        paths.path_of(text)


def test_repo_type__unknown__is_not_found():
    with pytest.raises(RepoNotFound):
        paths.repo_of_api("users", "org/name")


def test_install__app__routes_by_raw_paths():
    app = Flask("x")

    paths.install(app)

    assert isinstance(app.wsgi_app, paths.RawPaths)
