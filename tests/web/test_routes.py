"""Answers that need nobody outside: shapes of errors, browsers, and what stands for what."""

import json

import pytest

from dingospeed.app import create_app
from dingospeed.config import Settings

DIGEST = f"sha256:{'a' * 64}"


@pytest.fixture
def web(tmp_path):
    """A client of a mirror that is empty and offline."""
    settings = Settings()
    changed = {
        "cache": settings.cache.model_copy(update={"repos": tmp_path / "repos"}),
        "upstream": settings.upstream.model_copy(update={"offline": True}),
    }
    return create_app(settings.model_copy(update=changed)).test_client()


@pytest.mark.parametrize("path", ["/v2", "/v2/"])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_registry__asked_whether_it_is_one__says_so(web, path, method):
    answer = web.open(path, method=method)

    assert answer.status_code == 200
    assert answer.headers["Docker-Distribution-Api-Version"] == "registry/2.0"


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("/v2/org/name/manifests/latest", 503, "UNKNOWN"),
        (f"/v2/org/name/blobs/{DIGEST}", 503, "UNKNOWN"),
        ("/v2/gpt2/manifests/latest", 503, "UNKNOWN"),
        ("/v2/org/na..me/manifests/latest", 404, "NAME_UNKNOWN"),
        ("/v2/org/name/manifests/a%20b", 400, "NAME_INVALID"),
        (f"/v2/org/name/manifests/{'x' * 129}", 400, "NAME_INVALID"),
    ],
)
def test_registry__refusal__in_the_shape_of_registries(web, path, status, code):
    answer = web.get(path)

    (error,) = json.loads(answer.data)["errors"]
    assert (answer.status_code, error["code"]) == (status, code)
    assert error["message"] == answer.headers["X-Error-Message"]
    assert answer.headers["Docker-Distribution-Api-Version"] == "registry/2.0"
    assert answer.content_length == len(answer.data)


@pytest.mark.parametrize(
    "path", ["/", "/org/name/resolve/main/a", "/api/models/org/name", "/v2/", "/nowhere/at/all", "/api/x"]
)
def test_options__any_path__browsers_may_go_on(web, path):
    asked = {
        "Origin": "https://page.example",
        "Access-Control-Request-Method": "GET",
        "Access-Control-Request-Headers": "authorization,range,x-hf-download-counter",
    }

    answer = web.options(path, headers=asked)

    assert (answer.status_code, answer.data) == (204, b"")
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    assert {"GET", "HEAD", "POST"} <= set(answer.headers["Access-Control-Allow-Methods"].split(", "))
    assert answer.headers["Access-Control-Allow-Headers"] == asked["Access-Control-Request-Headers"]
    assert answer.headers["Access-Control-Max-Age"] == "86400"
    assert "X-Repo-Commit" in answer.headers["Access-Control-Expose-Headers"]


@pytest.mark.parametrize("sent", [None, "", "a: b", "x" * 2000, "a,,b"])
def test_options__no_names_of_headers__the_usual_ones_are_allowed(web, sent):
    headers = {} if sent is None else {"Access-Control-Request-Headers": sent}

    answer = web.options("/org/name/resolve/main/a", headers=headers)

    assert {"Authorization", "Range"} <= set(answer.headers["Access-Control-Allow-Headers"].split(", "))
