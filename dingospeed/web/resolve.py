"""Files: HEAD and GET of /{repo}/resolve/{revision}/{path}."""

from __future__ import annotations

from flask import Blueprint, Response

from dingospeed.model import RepoRef
from dingospeed.web import paths
from dingospeed.web.asking import caller, services
from dingospeed.web.cas import send_offering

blueprint = Blueprint("resolve", __name__)


@blueprint.get("/<repo:repo>/resolve/<revision:revision>/<path:path>")
def resolve(repo: str, revision: str, path: str) -> Response:
    return _file(paths.repo_of_page(repo), revision, path)


# Where the Hub sends clients for small files; some remember it.
@blueprint.get("/api/resolve-cache/<kind>/<id:id>/<revision:revision>/<path:path>")
def resolve_cache(kind: str, id: str, revision: str, path: str) -> Response:
    return _file(paths.repo_of_api(kind, id), revision, path)


def _file(repo: RepoRef, revision: str, path: str) -> Response:
    who = caller()
    opened = services().mirror.files.open(repo, paths.revision_of(revision), paths.path_of(path), who)
    return send_offering(opened, who)
