"""The dashboard: what this node does, holds and can reach, for whoever showed the admin token.

Pages keep themselves up to date by asking for parts of themselves every few seconds.
"""

from __future__ import annotations

from flask import Blueprint, Response, request

from dingospeed import __version__
from dingospeed.errors import BadRequest
from dingospeed.mirror.catalogue import ORDERS
from dingospeed.web import auth, paths
from dingospeed.web.asking import own_url, services
from dingospeed.web.overview import moving
from dingospeed.web.pages import go_to, is_part, page

blueprint = Blueprint("dashboard", __name__)

_ROWS = 25
_MAX_START = 10_000_000


@blueprint.get("/")
def front() -> Response:
    """What answers here: for people who ask with a browser, and for those who ask with curl."""
    if not _takes_html():
        return _in_plain_text()
    if auth.session() is None:
        return page("welcome.html")
    return page("overview.html", **moving(services()))


@blueprint.get("/-/ui/overview")
def overview() -> Response:
    """The moving part of the front page."""
    if auth.session() is None:
        return go_to("/-/login")
    return page("parts/overview.html", **moving(services()))


@blueprint.get("/-/ui/repos")
def repos() -> Response:
    """The repos held: all of them, or those with some words in their name."""
    if auth.session() is None:
        return go_to("/-/login")
    text, order = request.args.get("search", "")[:200], request.args.get("order", "recent")
    start = request.args.get("start", 0, type=int)
    if order not in ORDERS or not 0 <= start <= _MAX_START:
        raise BadRequest(f"order is one of {', '.join(ORDERS)}, and start counts from 0")
    screenful = services().mirror.catalogue.search(text, order=order, start=start, count=_ROWS)
    template = "parts/repos.html" if is_part() else "repos.html"
    return page(template, screenful=screenful, text=text, order=order, rows=_ROWS)


@blueprint.get("/-/ui/repos/<kind>/<id:id>")
def repo(kind: str, id: str) -> Response:
    """One repo and its commits."""
    if auth.session() is None:
        return go_to("/-/login")
    ref = paths.repo_of_api(kind, id)
    shown = services().mirror.catalogue.show(ref)
    return page("repo.html", status=200 if shown else 404, repo=ref, shown=shown)


def _takes_html() -> bool:
    """Browsers name HTML; curl takes anything, and is not helped by a page."""
    return any(kind == "text/html" and quality > 0 for kind, quality in request.accept_mimetypes)


def _in_plain_text() -> Response:
    text = (
        f"dingospeed {__version__}, a mirror of the Hugging Face Hub\n\n"
        f"export HF_ENDPOINT={own_url()}\n"
        "hf download <org>/<model>\n"
    )
    return Response(text, content_type="text/plain; charset=utf-8", headers={"Vary": "Accept"})
