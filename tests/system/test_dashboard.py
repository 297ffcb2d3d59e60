"""The dashboard in a real browser, before a real mirror."""

import pytest

from dingospeed.testing.payload import Generated
from tests.browser import DESK, PHONE, browser_in

pytestmark = pytest.mark.server

TOKEN = "an-admin-token"


@pytest.fixture(scope="module")
def mirror(shared_hub, make_shared_mirror):
    repo = shared_hub.add_repo("models", "org/model")
    repo.commit({"config.json": b"{}", "model.safetensors": Generated(3_000_000, seed=1)})
    made = make_shared_mirror(shared_hub, admin={"token": TOKEN})
    made.get("/org/model/resolve/main/model.safetensors")
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


def test_front__without_a_session__tells_how_to_use_the_mirror(browser, mirror):
    browser.open(mirror.url)

    assert f"export HF_ENDPOINT={mirror.url}" in browser.text("main")
    browser.find("button[data-copy]").click()
    browser.wait_for(lambda: browser.text(".copied") == "Copied.", "copied")
    browser.keep_screenshot("welcome")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(("name", "size"), [("desk", DESK), ("phone", PHONE)])
def test_pages__on_any_screen__fit_and_bar_nobody(browser, mirror, name, size, scheme):
    browser.look(size=size, scheme=scheme)
    pages = {"welcome": "/", "login": "/-/login"}
    kept = {"overview": "/", "repos": "/-/ui/repos", "repo": "/-/ui/repos/models/org/model"}
    for page, path in pages.items():
        browser.open(mirror.url + path)
        assert (page, browser.overflows(), browser.barriers()) == (page, False, [])
        browser.keep_screenshot(f"{page}-{name}-{scheme}")
    browser.log_in(mirror.url, TOKEN)
    for page, path in kept.items():
        browser.open(mirror.url + path)
        assert (page, browser.overflows(), browser.barriers()) == (page, False, [])
        browser.keep_screenshot(f"{page}-{name}-{scheme}")
