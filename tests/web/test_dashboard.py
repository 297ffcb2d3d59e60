"""Who sees the dashboard, and what browsers are told of it."""

import re

import pytest
from flask import Blueprint

from dingospeed.model import RepoRef
from dingospeed.testing import FakeHub
from dingospeed.upkeep.mountbook import Wanted
from dingospeed.web import replies, sessions
from dingospeed.web.auth import check_admin

HTML = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
TOKEN = "an-admin-token"
PAGES = ["/", "/-/ui/overview", "/-/ui/repos", "/-/ui/repos/models/org/model", "/-/ui/jobs"]


@pytest.fixture
def app(make_app):
    made = make_app(admin={"token": TOKEN})
    guarded = Blueprint("guarded", __name__)

    @guarded.route("/-/guarded", methods=["GET", "POST"])
    def answer():
        check_admin()
        return replies.as_json({"done": True})

    made.flask.register_blueprint(guarded)
    return made


@pytest.fixture
def browser(app):
    with app.flask.test_client() as client:
        yield client


def log_in(browser, token=TOKEN, **options):
    return browser.post("/-/login", data={"token": token}, **options)


def word_of(browser):
    page = browser.get("/", headers=HTML).text
    return re.findall(r'name="csrf_token" value="([^"]+)"', page)[0]


def test_front__asked_with_curl__is_plain_text(app):
    answer = app.get("/", headers={"Accept": "*/*"})

    assert answer.content_type == "text/plain; charset=utf-8"
    assert answer.text.startswith("dingospeed ")
    assert "export HF_ENDPOINT=http://localhost\n" in answer.text


def test_front__without_a_session__tells_how_to_use_the_mirror_and_nothing_of_it(app, hub):
    hub.add_repo("models", "org/model").commit({"a.txt": b"a"})
    app.get("/org/model/resolve/main/a.txt")

    page = app.get("/", headers=HTML).text

    assert "export HF_ENDPOINT=http://localhost" in page
    assert "org/model" not in page
    assert hub.url not in page
    assert "dingospeed admin-token" in page


@pytest.mark.parametrize("path", PAGES[1:])
def test_page__without_a_session__leads_to_the_login(app, path):
    answer = app.get(path, headers=HTML)

    assert (answer.status_code, answer.headers["Location"]) == (303, "/-/login")


@pytest.mark.parametrize("path", PAGES[1:])
def test_part_of_a_page__without_a_session__sends_the_page_to_the_login(app, path):
    answer = app.get(path, headers={"HX-Request": "true"})

    assert (answer.status_code, answer.headers["HX-Redirect"], answer.data) == (200, "/-/login", b"")


def test_login__with_the_token__opens_the_pages(browser):
    answer = log_in(browser)

    assert (answer.status_code, answer.headers["Location"]) == (303, "/")
    assert "Log out" in browser.get("/", headers=HTML).text
    assert browser.get("/-/ui/repos").status_code == 200


def test_login__with_the_token__gives_a_cookie_without_it(browser):
    cookie = log_in(browser).headers["Set-Cookie"]

    assert "HttpOnly" in cookie
    assert "SameSite=Strict" in cookie
    assert "Max-Age=43200" in cookie
    assert "Secure" not in cookie
    assert TOKEN not in cookie


def test_login__under_https__gives_a_secure_cookie(browser):
    assert "; Secure" in log_in(browser, base_url="https://mirror.example").headers["Set-Cookie"]


def test_login__with_another_token__is_refused_slowly(browser, monkeypatch):
    waits: list[float] = []
    monkeypatch.setattr("dingospeed.web.login.time.sleep", waits.append)

    answer = log_in(browser, "a guess")

    assert answer.status_code == 403
    assert "Set-Cookie" not in answer.headers
    assert 'role="alert"' in answer.text
    assert sum(waits) >= 1
    assert browser.get("/-/ui/repos").status_code == 303


def test_login__while_another_guess_from_the_same_address_is_slowed_down__waits_its_turn(
    app, browser, monkeypatch
):
    monkeypatch.setattr("dingospeed.web.login._PATIENCE_S", 0.05)

    with app.parts.ground.leases.try_acquire("login-127.0.0.1"):
        answer = log_in(browser)

    assert (answer.status_code, answer.headers["Retry-After"]) == (429, "10")
    assert log_in(browser).status_code == 303


def test_logout__with_a_session__ends_it(browser):
    log_in(browser)

    answer = browser.post("/-/logout", data={"csrf_token": word_of(browser)})

    assert answer.status_code == 303
    assert browser.get("/-/ui/repos").status_code == 303


def test_session__of_another_admin_token__is_none(make_app, browser):
    cookie = log_in(browser).headers["Set-Cookie"].partition(";")[0]
    other = make_app(admin={"token": "another-token"})

    assert other.get("/-/ui/repos", headers={"Cookie": cookie}).status_code == 303


def test_session__after_its_time__is_none(browser, monkeypatch):
    log_in(browser)
    monkeypatch.setattr(sessions, "LIFETIME_S", -1)

    assert browser.get("/-/ui/repos").status_code == 303


def test_session__made_up__is_none(browser, app):
    name = log_in(browser).headers["Set-Cookie"].partition("=")[0]

    assert app.get("/-/ui/repos", headers={"Cookie": f"{name}=InNlc2FtZSI.aaaaaa.bbbb"}).status_code == 303


def test_admin_route__with_a_session__can_be_read(browser):
    assert browser.get("/-/guarded").status_code == 401
    log_in(browser)

    assert browser.get("/-/guarded").json == {"done": True}


def test_admin_route__written_to_with_a_session_alone__is_refused(browser):
    log_in(browser)

    assert browser.post("/-/guarded").status_code == 403
    assert browser.post("/-/guarded", headers={"X-CSRF-Token": "a guess"}).status_code == 403


@pytest.mark.parametrize("how", ["header", "field"])
def test_admin_route__written_to_with_the_word_of_the_session__does_it(browser, how):
    log_in(browser)
    word = word_of(browser)
    sent = {"headers": {"X-CSRF-Token": word}} if how == "header" else {"data": {"csrf_token": word}}

    assert browser.post("/-/guarded", **sent).json == {"done": True}


def test_admin_route__with_a_wrong_token_beside_a_session__is_refused(browser):
    log_in(browser)

    assert browser.get("/-/guarded", headers={"Authorization": "Bearer a guess"}).status_code == 401


@pytest.mark.parametrize("path", [*PAGES, "/-/login"])
def test_page__to_a_browser__may_run_nothing_but_our_scripts_and_stand_in_no_frame(browser, path):
    if path != "/-/login":
        log_in(browser)

    answer = browser.get(path, headers=HTML)

    policy = answer.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "script-src 'self';" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert answer.headers["X-Frame-Options"] == "DENY"
    assert answer.headers["Cache-Control"] == "no-store"
    assert not re.search(r"<script(?![^>]*\bsrc=)|\son\w+=|\sstyle=|javascript:", answer.text)
    assert not re.search(r"""(?:src|href|action)=["'](?:https?:)?//""", answer.text)


def test_repos__with_a_name_full_of_markup__is_shown_as_text(browser):
    log_in(browser)

    page = browser.get("/-/ui/repos?search=%3Cscript%3Ealert(1)%3C/script%3E%22", headers=HTML).text

    assert "<script>alert" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;&#34;" in page


@pytest.mark.parametrize("query", ["order=size", "start=-1", "start=99999999999"])
def test_repos__asked_for_what_there_can_not_be__says_what_there_is(browser, query):
    log_in(browser)

    answer = browser.get(f"/-/ui/repos?{query}")

    assert answer.status_code == 400
    assert "recent, name" in answer.text


def test_repo__of_which_nothing_is_held__is_not_found(browser):
    log_in(browser)

    assert browser.get("/-/ui/repos/models/org/unknown").status_code == 404


def test_repos__held__are_listed_with_what_is_held_of_them(browser, app, hub: FakeHub):
    repo = hub.add_repo("models", "org/model")
    repo.commit({"a.txt": b"a" * 600, "b.txt": b"b" * 400})
    app.get("/org/model/resolve/main/a.txt")
    log_in(browser)

    rows = browser.get("/-/ui/repos?search=model").text
    page = browser.get("/-/ui/repos/models/org/model").text

    assert ">org/model</a>" in rows
    assert "1.00 kB" in rows
    assert "60 %" in rows
    assert '<span class="tag">main</span>' in page
    assert "1 of 2" in page


def test_overview__of_a_repo_that_is_mounted__shows_the_mount(browser, app, hub):
    hub.add_repo("models", "org/model").commit({"a.txt": b"a"})
    app.get("/org/model/resolve/main/a.txt")
    log_in(browser)
    assert ">Mounts<" not in browser.get("/", headers=HTML).text

    app.parts.upkeep.mounts.mount(Wanted(RepoRef("models", "org", "model"), "main", "command", False))

    page = browser.get("/", headers=HTML).text
    assert ">Mounts<" in page
    assert ">mounted<" in page


def test_overview__of_a_file_with_markup_for_a_name__shows_it_as_text(browser, app, hub):
    hub.add_repo("models", "org/model").commit({"<img src=x onerror=alert(1)>.txt": b"a"})
    app.get("/org/model/resolve/main/%3Cimg%20src=x%20onerror=alert(1)%3E.txt")
    app.parts.upkeep.watch.board.beat()
    log_in(browser)

    page = browser.get("/", headers=HTML).text

    assert "&lt;img src=x onerror=alert(1)&gt;.txt" in page
    assert "<img src=x" not in page


def test_asset__with_its_version__is_kept_for_a_year(app):
    page = app.get("/", headers=HTML).text
    urls = set(re.findall(r'(?:src|href)="(/-/assets/[^"]+)"', page))

    assert len(urls) == 6
    for url in urls:
        answer = app.get(url)
        assert answer.status_code == 200, url
        assert "immutable" in answer.headers["Cache-Control"]
        assert app.get(url, headers={"If-None-Match": answer.headers["ETag"]}).status_code == 304


@pytest.mark.parametrize("name", ["../pages.py", "..%2Fpages.py", "%2e%2e/pages.py", "nothing.css"])
def test_asset__that_is_none__is_not_found(app, name):
    assert app.get(f"/-/assets/{name}").status_code == 404
