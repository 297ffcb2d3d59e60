"""Our own routes: is it alive, is it ready, how is it doing."""

from __future__ import annotations

import os

from flask import Blueprint, Response
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

from dingospeed.metrics import shared_folder
from dingospeed.web import replies
from dingospeed.web.asking import services

blueprint = Blueprint("admin", __name__)


@blueprint.get("/-/healthz")
def healthz() -> Response:
    """200 while this process answers at all."""
    return replies.as_json({"status": "ok"})


@blueprint.get("/-/readyz")
def readyz() -> Response:
    """200 while the cache can be written; an upstream that is away does not matter."""
    if not os.access(services().ground.layout.run, os.W_OK | os.X_OK):
        return replies.as_json({"status": "cache not writable"}, status=503)
    return replies.as_json({"status": "ready"})


@blueprint.get("/metrics")
def metrics() -> Response:
    """For Prometheus: all workers added up."""
    registry = services().ground.registry
    services().upkeep.watch.levels.show()
    if shared_folder() is not None:
        registry = CollectorRegistry()
        MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    return Response(generate_latest(registry), content_type=CONTENT_TYPE_LATEST)
