"""A real Prometheus scrapes two workers and is asked what the dashboards ask."""

import json
import socket
import subprocess
import urllib.request
from urllib.error import URLError
from urllib.parse import urlencode

import pytest
import yaml

from dingospeed.testing import FakeHub, Generated
from tests.grafana.conftest import GRAFANA
from tests.harness import mirrors_in, wait_until

pytestmark = pytest.mark.server

SIZE = 3_000_000


class Prometheus:
    def __init__(self, port, log):
        self.url = f"http://127.0.0.1:{port}"
        self.log = log

    def api(self, path, **query):
        with urllib.request.urlopen(f"{self.url}/api/v1/{path}?{urlencode(query)}", timeout=30) as answer:
            told = json.load(answer)
        assert told["status"] == "success", told
        return told["data"]

    def query(self, expr):
        """The samples of *expr* now: labels and value."""
        return [(one["metric"], float(one["value"][1])) for one in self.api("query", query=expr)["result"]]

    def is_ready(self):
        try:
            with urllib.request.urlopen(f"{self.url}/-/ready", timeout=5) as answer:
                return bool(answer.status == 200)
        except (URLError, OSError):
            return False


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture(scope="module")
def mirror(tmp_path_factory):
    """One that has served a file cold and warm, and failed to find another."""
    with FakeHub() as hub, mirrors_in(tmp_path_factory.mktemp("scraped")) as make:
        hub.add_repo("models", "org/name").commit({"a.bin": Generated(size=SIZE, seed=1)})
        mirror = make(hub)
        for name in ("a.bin", "a.bin", "none"):
            mirror.get(f"/org/name/resolve/main/{name}")
        yield mirror


@pytest.fixture(scope="module")
def prometheus(mirror, tmp_path_factory):
    folder, port = tmp_path_factory.mktemp("prometheus"), free_port()
    config = yaml.safe_load((GRAFANA / "prometheus.yml").read_text())
    config["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    config["rule_files"] = [str(GRAFANA / "alerts.yml")]
    config["scrape_configs"][0]["static_configs"] = [{"targets": [f"127.0.0.1:{mirror.port}"]}]
    (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(
            [
                "prometheus",
                f"--config.file={folder}/prometheus.yml",
                f"--storage.tsdb.path={folder}/data",
                f"--web.listen-address=127.0.0.1:{port}",
            ],
            stderr=log,
            cwd=folder,
        )
    try:
        prometheus = Prometheus(port, folder / "log")
        wait_until(prometheus.is_ready, "Prometheus")
        yield prometheus
    finally:
        process.terminate()
        process.wait(30)


def test_query__of_what_was_served__both_workers_are_in_it(mirror, prometheus):
    def served():
        return {labels["cache"]: value for labels, value in prometheus.query("dingospeed_served_bytes_total")}

    wait_until(lambda: served() == {"MISS": SIZE, "HIT": SIZE}, "what was served")

    pids = {labels["pid"] for labels, _ in prometheus.query("dingospeed_worker_memory_bytes")}
    assert pids == {str(worker.pid) for worker in mirror.workers()}
    assert [value for _, value in prometheus.query("up")] == [1]


def test_query__what_the_panels_ask__is_answered_and_nearly_all_of_it_with_something(
    prometheus, asked_by_panels
):
    # What only trouble or time brings: nothing failed, no lease was waited for, the disk gets no fuller,
    # and this node is alone.
    silent = {
        "overview.json, Requests that failed",
        "transfers.json, Waits for leases, 95 of 100",
        "upstream.json, Reads of files that broke off",
        "upstream.json, From and to other nodes",
        "disk.json, Full in",
        # Only what was cleaned, and a first look that waits until all else has started.
        "disk.json, Cache",
        "disk.json, Complete blobs",
        "disk.json, Cleanings, by result",
        "disk.json, Freed by cleaning, by strategy",
        "disk.json, Files cleaned away",
    }

    waiting = {asked for asked in asked_by_panels if asked.where not in silent}

    def are_answered():
        waiting.difference_update({asked for asked in waiting if prometheus.query(asked.expr)})
        return not waiting

    try:
        wait_until(are_answered)
    finally:
        assert waiting == set()


def test_rules__evaluated__are_well_and_none_fires(prometheus):
    def rules():
        return [rule for group in prometheus.api("rules")["groups"] for rule in group["rules"]]

    wait_until(lambda: all(rule["health"] == "ok" for rule in rules()))
    firing = [rule["name"] for rule in rules() if rule["state"] == "firing"]
    # Those with no patience, or about this machine, may have their reasons.
    assert set(firing) <= {"DingospeedHeldUp"}
