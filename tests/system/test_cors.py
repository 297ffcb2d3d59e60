"""A page of another site in a real browser: it may read files and answers here, as it may at the Hub."""

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from dingospeed.testing import Generated
from tests.browser import browser_in

pytestmark = pytest.mark.server

TOKEN = "hf_letin000000"
FILES = {"config.json": b"{}", "model.safetensors": Generated(300_000, seed=9)}
# What came of a fetch, as a page sees it: of the headers those that it is let see.
FETCH = """
const [url, options, done] = arguments;
fetch(url, options).then(
  async (answer) => done([answer.status, Object.fromEntries(answer.headers), await answer.text()]),
  (error) => done([0, {}, String(error)]),
);
"""


class _EmptyPage(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()

    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """A browser with a page open that is not of the mirror: another port is another site."""
    with (
        ThreadingHTTPServer(("127.0.0.1", 0), _EmptyPage) as server,
        browser_in(tmp_path_factory.mktemp("profile")) as browser,
    ):
        threading.Thread(target=server.serve_forever, daemon=True).start()
        browser.open(f"http://127.0.0.1:{server.server_address[1]}/")
        yield browser
        server.shutdown()


@pytest.fixture(scope="module")
def repo(shared_hub):
    shared_hub.add_user("ann", token=TOKEN)
    repo = shared_hub.add_repo("models", "org/pages", gated="auto")
    repo.commit(FILES)
    repo.grant("ann")
    return repo


@pytest.fixture
def fetch(page, shared_mirror):
    def fetch(path, *, token=None, **options):
        headers = {**options.pop("headers", {}), **({"Authorization": f"Bearer {token}"} if token else {})}
        return page.driver.execute_async_script(
            FETCH, shared_mirror.url + path, {**options, "headers": headers}
        )

    return fetch


def test_page__part_of_a_file_with_a_token__is_read_with_all_headers(repo, fetch):
    path = f"/{repo.id}/resolve/main/model.safetensors"

    status, headers, _ = fetch(path, token=TOKEN, headers={"Range": "bytes=0-9"})

    assert (status, headers["content-range"]) == (206, "bytes 0-9/300000")
    assert headers["x-repo-commit"] == repo.branches["main"]
    assert headers["etag"] == headers["x-linked-etag"] == f'"{repo.etag("model.safetensors")}"'
    assert headers["x-linked-size"] == "300000"


def test_page__refused__is_told_why(repo, fetch):
    status, headers, _ = fetch(f"/{repo.id}/resolve/main/config.json")

    assert (status, headers["x-error-code"]) == (401, "GatedRepo")
    assert headers["x-error-message"]


def test_page__listing__leads_to_its_next_page(repo, fetch, shared_mirror):
    status, headers, _ = fetch(f"/api/models/{repo.id}/tree/main?limit=1")

    assert status == 200
    following = headers["link"].removeprefix(f"<{shared_mirror.url}").partition(">")[0]
    assert fetch(following)[0] == 200


def test_page__asks_with_json__is_answered(repo, fetch):
    status, _, body = fetch(
        f"/api/models/{repo.id}/paths-info/main",
        method="POST",
        headers={"Content-Type": "application/json"},
        body='{"paths":["config.json"]}',
    )

    assert status == 200
    assert '"path":"config.json"' in body
