"""Files: HEAD and GET of /{repo}/resolve/{revision}/{path}."""

from __future__ import annotations

from flask import Blueprint, Response

from dingospeed.mirror.files import OpenFile
from dingospeed.model import RepoRef
from dingospeed.web import paths, replies
from dingospeed.web.asking import caller, request_id, services, transfers
from dingospeed.web.body import OnEnd

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

    def begin(opened: OpenFile, status: int) -> OnEnd:
        return transfers().begin(opened, status, address=who.address, request_id=request_id())

    opened = services().files.open(repo, paths.revision_of(revision), paths.path_of(path), who)
    return replies.file(opened, begin=begin)
