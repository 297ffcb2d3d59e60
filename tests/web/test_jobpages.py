"""Jobs begun and told what to do from the dashboard."""

import re

import pytest

from dingospeed.upkeep.jobs import Act, State

TOKEN = "an-admin-token"
PART = {"HX-Request": "true"}


@pytest.fixture
def app(make_app):
    return make_app(admin={"token": TOKEN})


@pytest.fixture
def browser(app):
    with app.flask.test_client() as client:
        client.post("/-/login", data={"token": TOKEN})
        yield client


@pytest.fixture
def warmups(app):
    return app.parts.upkeep.warm_up.warmups


def post(browser, path, *, headers=None, **form):
    word = re.findall(r'name="csrf_token" value="([^"]+)"', browser.get("/-/ui/jobs").text)[0]
    return browser.post(path, data={"csrf_token": word, **form}, headers=headers)


def begun(browser, warmups, hub):
    hub.add_repo("models", "org/model").commit({"a.txt": b"a"})
    assert post(browser, "/-/ui/jobs", repo="org/model").status_code == 303
    return warmups.jobs.all()[0]


def test_begin__on_nodes_without_a_group__says_what_is_missing(app, browser, warmups, hub):
    hub.add_repo("models", "org/model").commit({"a.txt": b"a"})
    asked = {"repo": "org/model", "nodes": "all"}

    answer = app.get("/-/jobs", method="POST", token=TOKEN, json=asked)

    assert answer.status_code == 409
    assert "cluster.redis_url is not set" in answer.get_json()["error"]
    assert "cluster.redis_url is not set" in post(browser, "/-/ui/jobs", **asked).text
    assert warmups.jobs.all() == []


def test_begin__by_the_form__is_a_job_as_it_was_asked_for(browser, warmups, hub):
    hub.add_repo("datasets", "org/rows").commit({"a.csv": b"a"})

    answer = post(
        browser,
        "/-/ui/jobs",
        repo=" org/rows ",
        type="datasets",
        revision="",
        include="*.csv  data/",
        exclude="",
    )

    assert (answer.status_code, answer.headers["Location"]) == (303, "/-/ui/jobs")
    (job,) = warmups.jobs.all()
    assert str(job.wish.repo) == "datasets/org/rows"
    assert (job.wish.revision, job.wish.include, job.wish.exclude) == ("main", ("*.csv", "data/"), ())
    assert "org/rows" in browser.get("/-/ui/jobs").text


@pytest.mark.parametrize(
    ("form", "told"),
    [
        ({"repo": ""}, "repo: expected the name of a repo"),
        ({"repo": "../x"}, "repo: expected the name of a repo"),
        ({"repo": "org/none"}, "Invalid username or password"),
        ({"repo": "org/model", "revision": "a//b"}, "revision: expected a branch, a tag or a commit"),
    ],
)
def test_begin__for_what_can_not_be_had__says_why_beside_what_was_typed(browser, warmups, hub, form, told):
    hub.add_repo("models", "org/model").commit({"a.txt": b"a"})

    answer = post(browser, "/-/ui/jobs", **form)

    assert answer.status_code == 422
    assert told in answer.text
    assert f'value="{form["repo"]}"' in answer.text
    assert warmups.jobs.all() == []


def test_begin__with_a_token__does_not_show_it_again(browser):
    answer = post(browser, "/-/ui/jobs", repo="org/none", token="hf_secret")

    assert answer.status_code == 422
    assert "hf_secret" not in answer.text


@pytest.mark.parametrize(
    ("act", "state"), [("pause", State.PAUSED), ("resume", State.QUEUED), ("cancel", State.CANCELLED)]
)
def test_button__pressed__changes_the_job(browser, warmups, hub, act, state):
    job = begun(browser, warmups, hub)

    answer = post(browser, f"/-/ui/jobs/{job.id}/{act}", headers=PART)

    assert (answer.status_code, answer.headers["HX-Trigger"]) == (204, "changed")
    assert warmups.jobs.get(job.id).state is state


def test_button__pressed_without_scripts__leads_back_to_the_jobs(browser, warmups, hub):
    job = begun(browser, warmups, hub)

    answer = post(browser, f"/-/ui/jobs/{job.id}/pause")

    assert (answer.status_code, answer.headers["Location"]) == (303, "/-/ui/jobs")


def test_button__pressed_too_late__only_shows_how_it_ended(browser, warmups, hub):
    job = begun(browser, warmups, hub)
    warmups.act(job.id, Act.CANCEL)

    assert post(browser, f"/-/ui/jobs/{job.id}/pause", headers=PART).status_code == 204
    assert warmups.jobs.get(job.id).state is State.CANCELLED


def test_button__that_there_is_not__is_refused(browser, warmups, hub):
    job = begun(browser, warmups, hub)

    assert post(browser, f"/-/ui/jobs/{job.id}/finish").status_code == 400
    assert post(browser, "/-/ui/jobs/20200101-000000-aaaaaa/pause").status_code == 404


@pytest.mark.parametrize("path", ["/-/ui/jobs", "/-/ui/jobs/{id}/cancel"])
def test_action__without_the_word_of_the_session__changes_nothing(browser, app, warmups, hub, path):
    job = begun(browser, warmups, hub)
    path = path.replace("{id}", job.id)

    assert browser.post(path, data={"repo": "org/model"}).status_code == 403
    assert app.get(path, method="POST").status_code == 401
    assert [job.state for job in warmups.jobs.all()] == [State.QUEUED]
