"""The dashboard in a real browser, before a real mirror."""

import threading
from contextlib import contextmanager

import pytest
from selenium.webdriver.common.keys import Keys

from dingospeed.testing import Generated
from tests.browser import DESK, PHONE, browser_in

pytestmark = pytest.mark.server

TOKEN = "an-admin-token"
BIG = 40_000_000
# Told at once, and not of what a busy machine may have of its own.
ALERTS = {"check_s": 1, "settle_s": 0, "hub_blocked_s": 60, "disk_percent": 100, "rate_budget_percent": 0}


@pytest.fixture(scope="module")
def mirror(shared_hub, make_shared_mirror):
    for name in ("org/small", "org/other"):
        files = {"config.json": b"{}", "model.safetensors": Generated(3_000_000, seed=1)}
        shared_hub.add_repo("models", name).commit(files)
    shared_hub.add_repo("datasets", "org/rows").commit({"train.csv": b"1,2\n" * 1000})
    made = make_shared_mirror(shared_hub, admin={"token": TOKEN}, alerts=ALERTS)
    for path in ("/org/small/resolve/main/model.safetensors", "/datasets/org/rows/resolve/main/train.csv"):
        for _ in range(2):
            made.get(path)
    return made


@pytest.fixture(scope="module")
def window(tmp_path_factory):
    with browser_in(tmp_path_factory.mktemp("profile")) as window:
        yield window


@pytest.fixture
def browser(window, mirror):
    """Nobody's session, and no complaint so far; at the end there must be none either."""
    window.driver.delete_all_cookies()
    window.look()
    window.open("about:blank")
    window.complaints(), window.hosts_asked()
    yield window
    assert window.complaints() == []
    assert window.hosts_asked() <= {mirror.url.removeprefix("http://")}


@pytest.fixture
def inside(browser, mirror):
    """The same, logged in."""
    browser.log_in(mirror.url, TOKEN)
    return browser


@contextmanager
def downloading(mirror, path):
    """A client that takes *path*, until the end."""
    client = threading.Thread(target=mirror.get, args=(path,))
    client.start()
    try:
        yield
    finally:
        client.join()


@contextmanager
def slow(hub, bytes_per_s):
    fault = hub.fault(where="cdn", kind="rate", bytes_per_s=bytes_per_s)
    try:
        yield
    finally:
        fault.remove()


@contextmanager
def shared_hub_down(hub):
    fault = hub.fault(where="any", kind="status", code=500)
    try:
        yield
    finally:
        fault.remove()


def test_front__without_a_session__tells_how_to_use_the_mirror(browser, mirror):
    browser.open(mirror.url)

    assert f"export HF_ENDPOINT={mirror.url}" in browser.text("main")
    browser.find("button[data-copy]").click()
    browser.wait_for(lambda: browser.text(".copied") == "Copied.", "copied")


def test_login__by_keyboard_alone__leads_in_and_out(browser, mirror):
    browser.open(mirror.url)
    browser.press(Keys.TAB)
    assert browser.focus() == "Skip to the content"
    while browser.focus() != "Log in":
        browser.press(Keys.TAB)
    browser.press(Keys.ENTER)
    browser.find("#token")
    browser.press(TOKEN, Keys.ENTER)

    browser.wait_for(lambda: "Log out" in browser.text("header"), "logged in")
    while browser.focus() != "Log out":
        browser.press(Keys.TAB)
    browser.press(Keys.ENTER)
    browser.wait_for(lambda: "A mirror of the Hugging Face Hub" in browser.text("main"), "logged out")


def test_overview__while_a_file_is_downloaded__shows_it_move_and_end(inside, mirror, shared_hub):
    shared_hub.add_repo("models", "org/moving").commit({"big.bin": Generated(BIG, seed=2)})

    with slow(shared_hub, 300_000), downloading(mirror, "/org/moving/resolve/main/big.bin"):
        inside.wait_for(lambda: "big.bin" in inside.text("tr.live"), "the transfer is shown")
        first = inside.find("tr.live progress").get_attribute("value")
        assert "127.0.0.1" in inside.text("tr.live")
        assert "1 download running" in inside.text("[role=status]")
        inside.wait_for(
            lambda: inside.value("tr.live progress") > float(first), "the bar moves without a reload"
        )
        shared_hub.clear_faults()
        inside.wait_for(lambda: "big.bin" in inside.text("tr.ended"), "the transfer ends")

    assert "complete, 40.0 MB" in inside.text("tr.ended")


def test_job__begun_paused_resumed_and_cancelled__follows_the_buttons(inside, mirror, shared_hub):
    shared_hub.add_repo("models", "org/warm").commit({"big.bin": Generated(BIG, seed=3)})
    inside.open(f"{mirror.url}/-/ui/jobs")
    inside.find("input[name=repo]").send_keys("org/warm")

    with slow(shared_hub, 500_000):
        inside.press(Keys.ENTER)
        inside.wait_for(lambda: inside.value(".job.running progress") > 0, "the job runs")
        job = inside.find(".job.running").get_attribute("id")
        button = f"#turn-{job.removeprefix('job-')}"
        inside.keep_screenshot("job-running")
        inside.find(button).click()
        inside.wait_for(lambda: "paused" in inside.text(f"#{job}"), "the job is paused")
        assert inside.focus() == "Resume"
        inside.find(button).click()
        inside.wait_for(lambda: "runs" in inside.text(f"#{job}"), "the job goes on")
        inside.find(f"#cancel-{job.removeprefix('job-')}").click()
        inside.wait_for(lambda: "cancelled" in inside.text(f"#{job}"), "the job is cancelled")
    assert inside.driver.find_elements("css selector", f"#{job} button") == []


def test_repos__searched__shows_what_is_found_while_one_types(inside, mirror):
    inside.open(f"{mirror.url}/-/ui/repos")
    assert "org/small" in inside.text("#repos")

    inside.find("#search").send_keys("datasets row")

    inside.wait_for(lambda: "search=datasets%20row" in inside.driver.current_url, "it is searched for")
    assert inside.text("#repos [role=status]") == "1 repo"
    assert "org/rows" in inside.text("#repos")
    assert "org/small" not in inside.text("#repos")


def test_overview__after_another_logged_out__goes_to_the_login(inside, mirror):
    inside.driver.delete_all_cookies()

    inside.wait_for(lambda: inside.driver.current_url.endswith("/-/login"), "the login is shown")


def test_login__with_a_wrong_token__says_so_and_asks_again(browser, mirror):
    browser.open(f"{mirror.url}/-/login")
    browser.find("#token").send_keys("a guess", Keys.ENTER)

    assert browser.find("#wrong").text == "That is not the admin token of this mirror."
    assert browser.focus_id() == "token"
    # A browser tells of any answer like this one.
    assert [complaint.rpartition(" - ")[0] for complaint in browser.complaints()] == [f"{mirror.url}/-/login"]


def test_overview__while_the_mirror_is_away__says_so_until_it_is_back(inside, mirror):
    mirror.stop()

    told = "#away:not([hidden])"
    inside.wait_for(lambda: "does not answer" in inside.text(told), "it is told that the mirror is away")
    mirror.start()
    inside.wait_for(lambda: inside.text(told) == "", "it is told no more")
    assert "Downloads" in inside.text("main")
    # That nobody answered is what a browser tells of, too.
    inside.complaints()


def test_overview__of_a_line_that_is_down__says_what_is_wrong(inside, mirror, shared_hub):
    with shared_hub_down(shared_hub):

        def is_told():
            mirror.get(
                "/org/nothing/resolve/main/a.txt"
            )  # A line is down after some failures, not after one.
            return inside.text(".troubles") != ""

        inside.wait_for(is_told, "the trouble is told")
        assert shared_hub.url.removeprefix("http://") in inside.text(".troubles")
        assert "0 of 1" in inside.text(".tiles")
        inside.keep_screenshot("trouble")
    inside.wait_for(lambda: inside.text(".troubles") == "", "it is over")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(("name", "size"), [("desk", DESK), ("phone", PHONE)])
def test_pages__on_any_screen__fit_and_bar_nobody(browser, mirror, shared_hub, name, size, scheme):
    browser.look(size=size, scheme=scheme)
    pages = {"welcome": "/", "login": "/-/login"}
    kept = {
        "overview": "/",
        "repos": "/-/ui/repos",
        "repo": "/-/ui/repos/models/org/small",
        "jobs": "/-/ui/jobs",
    }
    for page, path in pages.items():
        browser.open(mirror.url + path)
        assert (page, browser.overflows(), browser.barriers()) == (page, False, [])
        browser.keep_screenshot(f"{page}-{name}-{scheme}")
    browser.log_in(mirror.url, TOKEN)
    with slow(shared_hub, 300_000), downloading(mirror, new_file(shared_hub, f"{name}-{scheme}")):
        for page, path in kept.items():
            browser.open(mirror.url + path)
            if page == "overview":
                browser.find("tr.live progress")
            assert (page, browser.overflows(), browser.barriers()) == (page, False, [])
            browser.keep_screenshot(f"{page}-{name}-{scheme}")
        shared_hub.clear_faults()


def new_file(hub, name):
    """The path of one that is held nowhere yet."""
    hub.add_repo("models", f"org/{name}").commit(
        {"model-00001-of-00002.safetensors": Generated(BIG, seed=hash(name) % 1000)}
    )
    return f"/org/{name}/resolve/main/model-00001-of-00002.safetensors"
