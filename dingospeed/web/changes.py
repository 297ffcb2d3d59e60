"""Methods that change something on the Hub: sent on where the operator allows it, else refused."""

from __future__ import annotations

import threading

from flask import Blueprint, Response, request
from werkzeug.exceptions import RequestEntityTooLarge
from werkzeug.wsgi import get_input_stream

from dingospeed.errors import BadRequest, Forbidden, NoLine
from dingospeed.mirror.changes import Change
from dingospeed.web import paths
from dingospeed.web.asking import caller, own_url, sent_path, services

blueprint = Blueprint("changes", __name__, url_prefix="/api")

READ_ONLY = "This mirror is read-only: it does not take uploads or changes."
# A commit holds its small files as text; large ones go another way.
_MAX_BODY_BYTES = 100 << 20
# Bodies are held in memory while they are sent on: so many of them at once in a process.
_PLACES = threading.BoundedSemaphore(4)
_WAIT_S = 30
_HEADERS = ("Accept", "Content-Type", "Content-Encoding")


@blueprint.route("/<path:rest>", methods=["POST", "PUT", "PATCH", "DELETE"])
def change(rest: str) -> Response:
    changes = services().mirror.changes
    if changes is None:
        raise Forbidden(READ_ONLY)
    paths.path_of(request.path.strip("/"))
    if not _PLACES.acquire(timeout=_WAIT_S):
        raise NoLine("too many changes are being sent at once")
    try:
        asked = _asked()
        for repo in asked.repos():
            services().knowledge.rules.check_served(repo)
        answer = changes.make(asked, caller(), own_url=own_url())
    finally:
        _PLACES.release()
    return Response(answer.body, answer.status, headers=answer.headers)


def _asked() -> Change:
    return Change(
        request.method,
        sent_path(),
        headers={name: request.headers[name] for name in _HEADERS if name in request.headers},
        body=_body(),
        repo=paths.subject_of(request.path).repo,
    )


def _body() -> bytes:
    """The body, of a length told or not. Raises BadRequest when it is too long."""
    try:
        return get_input_stream(request.environ, max_content_length=_MAX_BODY_BYTES).read()
    except RequestEntityTooLarge as error:
        raise TooLong("The body is too long for this mirror") from error


class TooLong(BadRequest):
    status = 413
