"""Pages for people: how they are rendered, what browsers are told of them, and what they load.

Everything comes from this host and nothing is written into a page that could run: the
Content-Security-Policy holds that, also against a name that somebody smuggled into a page.
"""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Response, render_template, request, url_for

from dingospeed import __version__
from dingospeed.web import auth, figures, sessions
from dingospeed.web.asking import own_url

blueprint = Blueprint(
    "pages", __name__, template_folder="templates", static_folder="assets", static_url_path="/-/assets"
)

_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
# The version is in every asset's URL.
_ASSET_AGE_S = 365 * 86400


@blueprint.record
def _prepare(state: Any) -> None:
    jinja = state.app.jinja_env
    jinja.filters.update(figures.FILTERS)
    jinja.globals["asset"] = _asset
    jinja.trim_blocks = jinja.lstrip_blocks = True


def _asset(name: str) -> str:
    """Its URL, another with every version: browsers keep what they have loaded."""
    return url_for("pages.static", filename=name, v=__version__)


@blueprint.after_request
def _keep_asset(response: Response) -> Response:
    if response.status_code == 200:
        response.headers["Cache-Control"] = f"public, max-age={_ASSET_AGE_S}, immutable"
    return response


def page(template: str, *, status: int = 200, **values: Any) -> Response:
    """*template* with *values*, for one reader only."""
    session = auth.session()
    text = render_template(
        template,
        **values,
        version=__version__,
        own_url=own_url(),
        is_in=session is not None,
        may_log_in=auth.is_administered_here(),
        word=session.word if session is not None else "",
        word_field=sessions.WORD_FIELD,
        word_header=sessions.WORD_HEADER,
    )
    response = Response(text, status, content_type="text/html; charset=utf-8")
    headers = response.headers
    headers["Content-Security-Policy"] = _POLICY
    headers["X-Frame-Options"] = "DENY"
    headers["Referrer-Policy"] = "same-origin"
    headers["Cache-Control"] = "no-store"
    headers["Vary"] = "Accept, Cookie, HX-Request"
    return response


def is_part() -> bool:
    """Whether a page asks for a part of itself."""
    return "HX-Request" in request.headers


def go_to(path: str) -> Response:
    """Another page of ours, in place of the one that asks."""
    if is_part():
        # A redirect would be followed by the script, and the other page put into this one.
        return Response(status=200, headers={"HX-Redirect": path})
    return Response(status=303, headers={"Location": path})
