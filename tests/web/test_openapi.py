"""The description of our own routes is true of a real mirror, whatever is sent to it."""

import string
from pathlib import Path

import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from dingospeed import web
from dingospeed.app import create_app
from dingospeed.config import Settings
from dingospeed.testing import FakeHub
from tests.harness import mirrors_in
from tests.system.jobs import Admin

pytestmark = pytest.mark.server

# Between machines, or for people: no part of what others program against.
DESCRIPTION = Path(web.__file__).with_name("openapi.yaml")
UNDESCRIBED = ("/-/xet/", "/-/peers/", "/-/login", "/-/logout", "/-/assets/", "/-/ui/")

_name = st.text(string.ascii_letters + string.digits + "_-", min_size=1, max_size=12).map(
    lambda text: f"n{text}"
)
schemathesis.openapi.format(
    "repo", st.one_of(st.just("org/model"), st.builds("{}/{}".format, _name, _name), _name)
)
schemathesis.openapi.format("revision", st.one_of(st.just("main"), st.just("refs/pr/1"), _name))
schemathesis.openapi.format("glob", st.one_of(st.just("*"), st.builds("{}/*.bin".format, _name)))
schemathesis.openapi.format("token", _name)


@pytest.fixture(scope="module")
def mirror(tmp_path_factory):
    with FakeHub() as hub, mirrors_in(tmp_path_factory.mktemp("described")) as make:
        for bucket in ("api", "resolvers"):
            hub.rate_limits.set(bucket, 1_000_000)
        hub.add_repo("models", "org/model").commit({"a.txt": b"a", "b.bin": b"b"})
        mirror = make(hub)
        admin = Admin(mirror)
        admin.wait(admin.begin("org/model"), "done")
        yield mirror


# All but what never ends by itself.
described = schemathesis.openapi.from_path(DESCRIPTION).exclude(path="/-/events")


@described.parametrize()
@settings(max_examples=10, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
def test_route__whatever_is_sent__answers_as_it_is_described(case, mirror):
    checked(case, mirror)


@pytest.mark.parametrize("path", ["/-/jobs/{job_id}", "/-/jobs/{job_id}/events"])
def test_route__of_a_job_that_is_there__answers_as_it_is_described(mirror, path):
    (job, *_) = Admin(mirror).ask("GET", "/-/jobs")[1]["jobs"]

    case = described[path]["GET"].Case(path_parameters={"job_id": job["id"]})

    assert checked(case, mirror).status_code == 200


def checked(case, mirror):
    """The answer, which is as it is described."""
    token = (mirror.repos / "keys" / "admin").read_text().strip()
    headers = {"Authorization": f"Bearer {token}"}
    return case.call_and_validate(base_url=mirror.url, headers=headers, timeout=30)


def test_description__every_route_of_ours__is_in_it_and_nothing_else(tmp_path):
    settings = Settings()
    own = {"cache": settings.cache.model_copy(update={"repos": tmp_path / "repos"})}
    app = create_app(settings.model_copy(update=own))

    described = app.test_client().get("/-/openapi.json").get_json()["paths"]

    there = {
        (str(rule).replace("<id:id>", "{id}").replace("<", "{").replace(">", "}"), method.lower())
        for rule in app.url_map.iter_rules()
        if str(rule).startswith("/-/") and not str(rule).startswith(UNDESCRIBED)
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    }
    told = {(path, method) for path, each in described.items() for method in each if method != "parameters"}
    assert told == there
