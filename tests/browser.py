"""A real browser before a mirror: Debian's chromium, without a screen and without the rest of the world."""

import base64
import json
import shutil
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from axe_core_python.selenium import Axe
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

from tests.harness import PATIENCE_S

SCREENSHOTS = Path(__file__).parents[1] / "build" / "screenshots"
DESK, PHONE = (1280, 900), (390, 844)
# No updates, no reports, no look-ups: what is asked for is asked by the page.
_SILENT = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-default-apps",
    "--disable-extensions",
    "--disable-sync",
    "--no-first-run",
    "--no-default-browser-check",
    "--hide-scrollbars",
    "--force-color-profile=srgb",
)


class Browser:
    """One window of chromium."""

    def __init__(self, driver):
        self.driver = driver

    def open(self, url):
        self.driver.get(url)

    def find(self, css):
        """The first element that is there, waited for."""
        return WebDriverWait(self.driver, PATIENCE_S, 0.05).until(
            lambda driver: next(iter(driver.find_elements(By.CSS_SELECTOR, css)), None), f"no {css}"
        )

    def text(self, css="body"):
        """What can be read there now, "" when it is not there. Parts of pages are replaced at any time."""
        script = "return document.querySelector(arguments[0])?.innerText ?? ''"
        return self.driver.execute_script(script, css)

    def value(self, css):
        """How far the bar there is now, 0 when it is not there."""
        return self.driver.execute_script("return document.querySelector(arguments[0])?.value ?? 0", css)

    def press(self, *keys):
        """Type on the keyboard, into whatever has the focus."""
        self.driver.switch_to.active_element.send_keys(*keys)

    def focus(self):
        """The text of the element that has the focus."""
        return self.driver.execute_script("return document.activeElement.innerText")

    def focus_id(self):
        return self.driver.execute_script("return document.activeElement.id")

    def wait_for(self, is_true, what):
        WebDriverWait(self.driver, PATIENCE_S, 0.05).until(lambda _: is_true(), f"{what} never came true")

    def log_in(self, url, token):
        self.open(f"{url}/-/login")
        self.find("#token").send_keys(token)
        self.find("main button[type=submit]").click()
        self.find("nav form button")

    def look(self, *, size=DESK, scheme="light"):
        """Be a window of that size, for eyes that like it *scheme*."""
        width, height = size
        self._tell("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1,
                   mobile=size == PHONE)  # fmt: skip
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self._tell("Emulation.setEmulatedMedia", media="", features=features)

    def keep_screenshot(self, name):
        """The whole page as build/screenshots/<name>.png."""
        SCREENSHOTS.mkdir(parents=True, exist_ok=True)
        shot = self._tell("Page.captureScreenshot", captureBeyondViewport=True, format="png")
        (SCREENSHOTS / f"{name}.png").write_bytes(base64.b64decode(shot["data"]))

    def overflows(self):
        """Whether the page is wider than the window, so that it has to be pushed from side to side."""
        return self.driver.execute_script(
            "return document.documentElement.scrollWidth > document.documentElement.clientWidth"
        )

    def barriers(self):
        """What axe-core finds wrong for people who can not see, or not use a mouse: (rule, element) pairs."""
        found = Axe().run(self.driver)["violations"]
        return [(one["id"], node["html"]) for one in found for node in one["nodes"]]

    def complaints(self):
        """What the console shows since the last look: errors, refused scripts, failed loads."""
        return [entry["message"] for entry in self.driver.get_log("browser") if entry["level"] == "SEVERE"]

    def hosts_asked(self):
        """The hosts that the page loaded anything from since the last look."""
        entries = (json.loads(entry["message"])["message"] for entry in self.driver.get_log("performance"))
        urls = [
            entry["params"]["request"]["url"]
            for entry in entries
            if entry["method"] == "Network.requestWillBeSent"
        ]
        return {urlsplit(url).netloc for url in urls if not url.startswith("data:")}

    def _tell(self, command, **arguments):
        return self.driver.execute_cdp_cmd(command, arguments)


@contextmanager
def browser_in(folder):
    """A browser whose profile lies in *folder*."""
    options = webdriver.ChromeOptions()
    options.binary_location = _program("chromium")
    for argument in (*_SILENT, f"--user-data-dir={folder}"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options, webdriver.ChromeService(_program("chromedriver")))
    try:
        driver.set_page_load_timeout(PATIENCE_S)
        yield Browser(driver)
    finally:
        driver.quit()


def _program(name):
    found = shutil.which(name)
    assert found, f"{name} is not installed"
    return found
