import signal
import subprocess
import sys

import pytest
import requests

from dingospeed.testing.demo import GRANTED_TOKEN, OTHER_TOKEN
from dingospeed.testing.faultkinds import KINDS

PROGRAM = [sys.executable, "-m", "dingospeed.testing.hub"]


def start(*options):
    """The program, what it greeted with, and the address of the Hub in that."""
    process = subprocess.Popen(
        [*PROGRAM, "--port", "0", "--cdn-port", "0", *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout
    greeting = ""
    while "Ctrl-C" not in greeting:
        line = process.stdout.readline()
        assert line, f"it ended with {process.wait()}"
        greeting += line
    return (
        process,
        greeting,
        next(line.split()[1] for line in greeting.splitlines() if line.startswith("  Hub ")),
    )


@pytest.fixture(scope="module")
def program():
    process, *greeting_and_url = start()
    yield greeting_and_url
    process.send_signal(signal.SIGTERM)
    _, complaint = process.communicate(timeout=30)
    assert (process.returncode, complaint) == (0, "")


@pytest.fixture
def url(program):
    url = program[1]
    yield url
    requests.delete(f"{url}/-/faults", timeout=5)
    requests.post(f"{url}/-/reset", timeout=5)


def test_program__started__says_how_to_use_it(program):
    greeting, url = program

    for word in (
        f"dingospeed serve --upstream {url}",
        GRANTED_TOKEN,
        OTHER_TOKEN,
        "demo/tiny-model",
        "/-/faults",
    ):
        assert word in greeting


def test_program__started__has_a_repo_of_every_sort(url):
    def status(path, token=None):
        bearer = {"Authorization": f"Bearer {token}"} if token else {}
        return requests.get(url + path, headers=bearer, timeout=10, allow_redirects=False).status_code

    paths = {
        item["path"] for item in requests.get(f"{url}/api/models/demo/tiny-model/tree/main", timeout=5).json()
    }
    assert {"README.md", "empty.txt", "model.safetensors", "nested"} <= paths
    assert status("/api/datasets/demo/tiny-dataset") == status("/api/spaces/demo/tiny-space") == 200
    for id, anonymous, other in (("demo/gated-model", 401, 403), ("demo/private-model", 401, 404)):
        path = f"/{id}/resolve/main/weights.bin"
        assert (status(path), status(path, OTHER_TOKEN), status(path, GRANTED_TOKEN)) == (
            anonymous,
            other,
            302,
        )


def test_program__asked_for_help__names_switches_and_faults():
    text = subprocess.run([*PROGRAM, "--help"], capture_output=True, text=True, check=True).stdout

    for word in ("/-/counters", "/-/faults", "/-/reset", "--rate", "--latency", *KINDS):
        assert word in text


def test_program__with_limits_and_interrupted__obeys_and_ends_without_complaint():
    process, _, url = start("--rate", "1e6", "--latency", "0.01", "--quota", "5")
    told = requests.get(f"{url}/api/models", timeout=5).headers
    faults = requests.get(f"{url}/-/faults", timeout=5).json()

    process.send_signal(signal.SIGINT)
    _, complaint = process.communicate(timeout=30)

    assert told["RateLimit-Policy"] == '"fixed window";"api";q=5;w=300'
    assert [fault["kind"] for fault in faults] == ["latency", "rate"]
    assert (process.returncode, complaint) == (0, "")


def test_switches__after_calls__tell_what_was_asked(url):
    requests.post(f"{url}/-/reset", timeout=5)
    requests.get(f"{url}/demo/tiny-model/resolve/main/nested/more.bin", timeout=5)

    counters = requests.get(f"{url}/-/counters", timeout=5).json()
    calls = requests.get(f"{url}/-/calls", timeout=5).json()

    assert counters["calls"] == 2
    assert counters["by_kind"] == {"resolve": 1, "cdn": 1}
    assert counters["by_status"] == {"302": 1, "200": 1}
    assert counters["bytes_sent"]["cdn"] == 5_000_000
    assert counters["leaks"] == 0
    assert [call["status"] for call in calls] == [302, 200]


def test_switches__fault_set_listed_and_removed__strikes_meanwhile(url):
    path = f"{url}/api/models"

    made = requests.post(f"{url}/-/faults", json={"where": "api", "kind": "status", "code": 503}, timeout=5)
    while_set = requests.get(path, timeout=5).status_code
    listed = requests.get(f"{url}/-/faults", timeout=5).json()
    removed = requests.delete(f"{url}/-/faults/{made.json()['number']}", timeout=5)

    assert (made.status_code, while_set, removed.status_code) == (201, 503, 200)
    assert [(fault["kind"], fault["code"], fault["hits"]) for fault in listed] == [("status", 503, 1)]
    assert requests.get(path, timeout=5).status_code == 200


def test_switches__all_faults_removed__behaves(url):
    for kind in ("html_200", "redirect_loop"):
        requests.post(f"{url}/-/faults", json={"where": "api", "kind": kind}, timeout=5)

    requests.delete(f"{url}/-/faults", timeout=5)

    assert requests.get(f"{url}/-/faults", timeout=5).json() == []
    assert requests.get(f"{url}/api/models", timeout=5).headers["Content-Type"].startswith("application/json")


@pytest.mark.parametrize(
    "body",
    ["{", "[]", "{}", '{"where": "cdn", "kind": "nope"}', '{"where": "cdn", "kind": "cut", "nope": 1}'],
)
def test_switches__nonsense__is_explained(url, body):
    answer = requests.post(f"{url}/-/faults", data=body, timeout=5)

    assert answer.status_code == 400
    assert answer.json()["error"]


def test_switches__unknown__names_those_there_are(url):
    answer = requests.get(f"{url}/-/nope", timeout=5)

    assert answer.status_code == 404
    assert any("/-/counters" in line for line in answer.json()["help"])
