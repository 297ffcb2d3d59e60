"""What stands in grafana/ fits the metrics that exist, and is what Prometheus and Grafana read."""

import subprocess

import pytest
import yaml
from prometheus_client import CollectorRegistry
from prometheus_client.metrics import MetricWrapperBase

from dingospeed.metrics import Metrics
from tests.grafana.conftest import GRAFANA

# What prometheus-flask-exporter adds of its own.
OF_FLASK = {"flask_http_request_duration_seconds", "flask_http_request_total"}
ENDINGS = {"counter": ("_total",), "gauge": ("",), "histogram": ("_bucket", "_count", "_sum")}


@pytest.fixture(scope="module")
def ours():
    """Each metric of ours, by name, with the names of its series."""
    metrics = [
        found for found in vars(Metrics(CollectorRegistry())).values() if isinstance(found, MetricWrapperBase)
    ]
    described = [next(iter(found.describe())) for found in metrics]
    return {one.name: {one.name + ending for ending in ENDINGS[one.type]} for one in described}


def promtool(*arguments):
    done = subprocess.run(
        ["promtool", *map(str, arguments)],
        cwd=GRAFANA,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_metrics__named_in_dashboards_and_rules__exist(ours, asked_by_panels, asked_by_rules):
    series = set.union(*ours.values())

    unknown = {
        (asked.where, name)
        for asked in [*asked_by_panels, *asked_by_rules]
        for name in asked.metrics()
        if name not in series and name.removesuffix("_bucket") not in OF_FLASK
    }

    assert unknown == set()


def test_metrics__that_exist__are_each_shown_somewhere(ours, asked_by_panels):
    shown = set.union(*(asked.metrics() for asked in asked_by_panels))

    assert {name for name, series in ours.items() if not series & shown} == set()


def test_rules__checked_and_tested_by_promtool__are_well():
    promtool("check", "config", "prometheus.yml")
    promtool("check", "rules", "alerts.yml")
    promtool("test", "rules", "alerts_test.yml")


def test_rules__each__has_a_case_in_which_it_fires(asked_by_rules):
    tests = yaml.safe_load((GRAFANA / "alerts_test.yml").read_text())["tests"]

    fired = {case["alertname"] for test in tests for case in test["alert_rule_test"] if case["exp_alerts"]}

    assert {asked.where for asked in asked_by_rules} == fired


def test_panels__what_they_ask__is_promql(asked_by_panels, tmp_path):
    rules = [
        {"record": f"panel:{number}", "expr": asked.expr} for number, asked in enumerate(asked_by_panels)
    ]
    file = tmp_path / "panels.yml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": rules}]}))

    promtool("check", "rules", file)


def test_dashboards__each__is_complete_and_lets_choose_its_source(dashboards):
    assert set(dashboards) == {
        "overview.json",
        "transfers.json",
        "upstream.json",
        "disk.json",
        "workers.json",
    }
    assert len({dashboard["uid"] for dashboard in dashboards.values()}) == len(dashboards)
    for dashboard in dashboards.values():
        variables = {variable["name"]: variable["type"] for variable in dashboard["templating"]["list"]}
        assert variables == {"datasource": "datasource", "instance": "query"}
        ids = [panel["id"] for panel in dashboard["panels"]]
        assert len(set(ids)) == len(ids)
        for panel in dashboard["panels"]:
            assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
            assert all('instance=~"$instance"' in target["expr"] for target in panel["targets"])


def test_dashboards__panels__do_not_lie_on_each_other(dashboards):
    for name, dashboard in dashboards.items():
        taken: set[tuple[int, int]] = set()
        for panel in dashboard["panels"]:
            place = panel["gridPos"]
            assert place["x"] + place["w"] <= 24
            cells = {
                (x, y)
                for x in range(place["x"], place["x"] + place["w"])
                for y in range(place["y"], place["y"] + place["h"])
            }
            assert not cells & taken, (name, panel["title"])
            taken |= cells
