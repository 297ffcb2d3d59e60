"""Files as git has them: HEAD and GET of /{repo}/raw/{revision}/{path}."""

from __future__ import annotations

from flask import Blueprint, Response

from dingospeed.web import paths
from dingospeed.web.asking import caller, services
from dingospeed.web.sending import send

blueprint = Blueprint("raw", __name__)


@blueprint.get("/<repo:repo>/raw/<revision:revision>/<path:path>")
def raw(repo: str, revision: str, path: str) -> Response:
    who = caller()
    opened = services().mirror.raw.open(
        paths.repo_of_page(repo), paths.revision_of(revision), paths.path_of(path), who
    )
    return send(opened, who)
