"""The Hub's API: what clients need to download, from what is held; the rest is forwarded."""

from __future__ import annotations

import re
from urllib.parse import quote, urlencode

from flask import Blueprint, Response, request

from dingospeed.errors import BadRequest, UpstreamError
from dingospeed.mirror.forward import Question
from dingospeed.model import REPO_TYPES
from dingospeed.web import paths, replies
from dingospeed.web.asking import caller, flag, own_url, sent_path, services

blueprint = Blueprint("hub_api", __name__, url_prefix="/api")

# Parameters of an info request that change nothing, or that are answered here.
_INFO_PARAMETERS = frozenset({"blobs", "securityStatus"})
_LIMIT = re.compile(r"0{0,9}[1-9][0-9]{0,9}\Z", re.ASCII)
_MAX_LIMIT = 10_000
_MAX_PATHS = 10_000


@blueprint.get("/<kind>/<id:id>")
@blueprint.get("/<kind>/<id:id>/revision/<revision:revision>")
def info(kind: str, id: str, revision: str | None = None) -> Response:
    if kind not in REPO_TYPES:
        return _forwarded()
    repo = paths.repo_of_api(kind, id)
    if set(request.args) - _INFO_PARAMETERS:
        try:
            return _forwarded()
        except UpstreamError:
            pass  # More than was asked for is better than nothing.
    named = paths.revision_of(revision) if revision else None
    value = services().mirror.repos.info(repo, named, caller(), has_blobs=flag("blobs"))
    return replies.as_json(value, commit=value["sha"])


@blueprint.get("/<kind>/<id:id>/tree/<revision:revision>")
@blueprint.get("/<kind>/<id:id>/tree/<revision:revision>/<path:path>")
def tree(kind: str, id: str, revision: str, path: str = "") -> Response:
    repo = paths.repo_of_api(kind, id)
    if flag("expand"):
        try:
            return _forwarded()
        except UpstreamError:
            pass
    listing = services().mirror.repos.listing(
        repo,
        paths.revision_of(revision),
        paths.path_of(path.rstrip("/")) if path.strip("/") else "",
        caller(),
        is_recursive=flag("recursive"),
        limit=_limit(),
        cursor=request.args.get("cursor"),
    )
    response = replies.as_json(listing.entries, commit=listing.commit)
    if listing.cursor is not None:
        response.headers["Link"] = f'<{_next_url(listing.cursor)}>; rel="next"'
    return response


@blueprint.post("/<kind>/<id:id>/paths-info/<revision:revision>")
def paths_info(kind: str, id: str, revision: str) -> Response:
    repo, named = paths.repo_of_api(kind, id), paths.revision_of(revision)
    asked = _paths_asked()
    if _is_expanded_asked():
        try:
            return _forwarded(urlencode([*(("paths", path) for path in asked), ("expand", "True")]).encode())
        except UpstreamError:
            pass
    commit, entries = services().mirror.repos.paths(repo, named, asked, caller())
    return replies.as_json(entries, commit=commit)


@blueprint.get("/<kind>/<id:id>/refs")
def refs(kind: str, id: str) -> Response:
    repo = paths.repo_of_api(kind, id)
    return replies.as_json(
        services().mirror.repos.refs(repo, caller(), has_pull_requests=flag("include_prs"))
    )


@blueprint.get("/<kind>/<id:id>/auth-check")
def auth_check(kind: str, id: str) -> Response:
    services().mirror.repos.check_access(paths.repo_of_api(kind, id), caller())
    return Response("OK", content_type="text/plain; charset=utf-8")


@blueprint.get("/agent-harnesses")
def agent_harnesses() -> Response:
    return replies.as_json({"harnesses": {}, "standardEnvVars": []})


@blueprint.get("/telemetry/<path:topic>")
def telemetry(topic: str) -> Response:
    """Answered, counted by nobody."""
    return Response(status=200)


@blueprint.get("/<path:rest>")
def everything_else(rest: str) -> Response:
    return _forwarded()


def _forwarded(form: bytes | None = None) -> Response:
    paths.path_of(request.path.strip("/"))
    about = paths.subject_of(request.path)
    question = Question(
        sent_path(),
        accept=request.headers.get("Accept", "*/*"),
        form=form,
        repo=about.repo,
        route=about.route,
        is_clear=about.is_clear,
    )
    answer = services().mirror.forward.ask(question, caller(), own_url=own_url())
    return Response(answer.body, answer.status, headers=answer.headers)


def _limit() -> int | None:
    text = request.args.get("limit")
    if text is None:
        return None
    if not _LIMIT.match(text):
        raise BadRequest(f"limit: expected a whole number from 1 on, found {text[:20]!r}")
    return min(int(text), _MAX_LIMIT)


def _next_url(cursor: str) -> str:
    arguments = request.args.to_dict(flat=True)
    arguments["cursor"] = cursor
    query = "&".join(f"{quote(name)}={quote(value)}" for name, value in arguments.items())
    return f"{own_url()}{sent_path(has_query=False)}?{query}"


def _is_expanded_asked() -> bool:
    """Whether the last commit of each path is wished, too; asked in a form or in JSON."""
    if not request.is_json:
        return request.form.get("expand", "").lower() in ("true", "1")
    try:
        asked = request.get_json(silent=True)
    except RecursionError:
        return False
    return isinstance(asked, dict) and str(asked.get("expand", "")).lower() in ("true", "1")


def _paths_asked() -> list[str]:
    if request.is_json:
        try:
            asked = request.get_json(silent=True)
        except RecursionError:
            asked = None
        found = asked.get("paths") if isinstance(asked, dict) else None
    else:
        found = request.form.getlist("paths")
    if isinstance(found, str):
        found = [found]
    if isinstance(found, list) and len(found) <= _MAX_PATHS:
        named = [path for path in found if isinstance(path, str)]
        if len(named) == len(found):
            return named
    raise BadRequest(f"paths: expected a list of at most {_MAX_PATHS} paths")
