"""The dashboards and rules, and what they ask."""

import json
import re
from pathlib import Path

import pytest
import yaml

GRAFANA = Path(__file__).parents[2] / "grafana"
# As Grafana replaces them.
VARIABLES = {"$__rate_interval": "1m", "$instance": ".+"}


class Asked:
    """What a panel or a rule asks: *where* it stands, and its PromQL."""

    def __init__(self, where, expr):
        self.where = where
        self.expr = expr
        for name, value in VARIABLES.items():
            self.expr = self.expr.replace(name, value)

    def metrics(self):
        """The names of metrics of ours and of the Flask exporter in it."""
        return set(re.findall(r"\b(?:dingospeed|flask)_\w+", self.expr))

    def __repr__(self):
        return f"{self.where}: {self.expr}"


@pytest.fixture(scope="session")
def dashboards():
    return {path.name: json.loads(path.read_text()) for path in sorted(GRAFANA.glob("dashboards/*.json"))}


@pytest.fixture(scope="session")
def asked_by_panels(dashboards):
    return [
        Asked(f"{name}, {panel['title']}", target["expr"])
        for name, dashboard in dashboards.items()
        for panel in dashboard["panels"]
        for target in panel["targets"]
    ]


@pytest.fixture(scope="session")
def asked_by_rules():
    groups = yaml.safe_load((GRAFANA / "alerts.yml").read_text())["groups"]
    return [Asked(rule["alert"], rule["expr"]) for group in groups for rule in group["rules"]]
