"""Flask, assembled: settings in, an application out. Two of them can live in one process."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from flask import Flask, Response, request
from prometheus_flask_exporter import PrometheusMetrics
from werkzeug.exceptions import HTTPException, MethodNotAllowed

from dingospeed import log as logs
from dingospeed.config import Settings
from dingospeed.errors import BadRequest, DingospeedError, Forbidden, Moved, Refusal
from dingospeed.services import connect
from dingospeed.web import (
    admin,
    auth,
    cas,
    changes,
    cors,
    dashboard,
    gate,
    git,
    hub_api,
    jobpages,
    jobs,
    limits,
    login,
    mounts,
    nodes,
    openapi,
    pages,
    paths,
    peers,
    raw,
    registry,
    replies,
    requests,
    resolve,
    status,
    watching,
)
from dingospeed.web.asking import asked, install_services, own_prefix, sent_path
from dingospeed.web.transfers import Transfers

log = logging.getLogger(__name__)

_MAX_REQUEST_BYTES = 4 << 20
_SIGNATURE = (("X-Content-Type-Options", "nosniff"), ("Access-Control-Allow-Origin", "*"))
_PARTS = (
    resolve,
    raw,
    git,
    registry,
    hub_api,
    cas,
    changes,
    admin,
    status,
    watching,
    nodes,
    peers,
    jobs,
    mounts,
    pages,
    login,
    dashboard,
    jobpages,
    openapi,
)


def create_app(settings: Settings) -> Flask:
    """The mirror as a WSGI application. Raises StoreError when the cache can not be used."""
    logs.setup(settings.log.level, settings.log.format)
    app = _App("dingospeed", static_folder=None, template_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = app.config["MAX_FORM_MEMORY_SIZE"] = _MAX_REQUEST_BYTES
    paths.install(app)
    parts = connect(settings)
    install_services(app, parts, Transfers(parts.ground.metrics, parts.upkeep.watch))
    for part in _PARTS:
        app.register_blueprint(part.blueprint)
    requests.install(app, parts.ground.metrics, is_logged=settings.log.access)
    app.before_request(cors.preflight)
    app.before_request(auth.check_listener)
    app.before_request(gate.check)
    app.before_request(limits.open_gate)
    app.teardown_request(limits.close_gate)
    app.register_error_handler(Moved, _moved)
    app.register_error_handler(DingospeedError, _failed)
    app.register_error_handler(HTTPException, _not_routed)
    app.register_error_handler(Exception, _unforeseen)
    app.after_request(_sign)
    _count_by_endpoint(
        app, PrometheusMetrics(app, path=None, registry=parts.ground.registry, group_by="endpoint")
    )
    return app


def _count_by_endpoint(app: Flask, exporter: PrometheusMetrics) -> None:
    """Leave to *exporter* what is "other" to our own metrics: nothing is counted twice."""
    untracked = exporter.do_not_track()
    for endpoint, view in app.view_functions.items():
        if requests.kind_of(endpoint.rpartition(".")[0]) != requests.OTHER:
            app.view_functions[endpoint] = untracked(view)


class _App(Flask):
    def ensure_sync(self, func: Callable[..., Any]) -> Callable[..., Any]:
        """*func*: none of ours is async, and a dozen are asked for each request whether they are."""
        return func


def _is_api() -> bool:
    return request.path.startswith(("/api/", "/-/"))


def _moved(move: Moved) -> Response:
    """The one redirect there is: to the repo's name of today, relative, query and all."""
    location = own_prefix() + paths.renamed(request.view_args or {}, sent_path(), move.to)
    return Response("", move.status, headers={"Location": location})


def _failed(error: DingospeedError) -> Response:
    if error.status >= 500:
        log.warning("%s %s: %s", request.method, request.path, error)
    return replies.refused(error, is_api=_is_api())


def _not_routed(error: HTTPException) -> Response:
    status = error.code or 500
    if request.path.startswith("/-/"):
        refusal: Refusal = Refusal(error.description or error.name)
        refusal.status = status
        response = replies.refused(refusal, is_api=True)
        if isinstance(error, MethodNotAllowed):
            response.headers["Allow"] = ", ".join(sorted(error.valid_methods or ()))
        return response
    if status == 405 or (status == 404 and request.method not in ("GET", "HEAD", "OPTIONS")):
        refusal = Forbidden(changes.READ_ONLY)
    elif status == 404:
        refusal = Forbidden("There is nothing here.")
        refusal.status, refusal.code = 404, "RepoNotFound"
    else:
        refusal = BadRequest(error.description or error.name)
        refusal.status = status
    return replies.refused(refusal, is_api=_is_api())


def _unforeseen(error: Exception) -> Response:
    log.error("%s %s: an error nobody foresaw", request.method, request.path, exc_info=error)
    return replies.refused(DingospeedError(), is_api=_is_api())


def _sign(response: Response) -> Response:
    """What every answer carries: its id, and leave for browsers of any origin to read it."""
    headers = response.headers
    # What one caller may have is nothing to keep for others; everybody asks us.
    headers.setdefault("Cache-Control", "private, no-cache")
    headers.extend(_SIGNATURE)
    is_offered = "X-Xet-Hash" in headers
    exposed = replies.EXPOSED_HEADERS + (",X-Xet-Hash" if is_offered else "")
    headers.add("Access-Control-Expose-Headers", exposed)
    headers.add("X-Request-Id", asked().id)
    return response
