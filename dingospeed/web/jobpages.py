"""The dashboard's pages about jobs: what runs, what ran, and buttons to begin, pause, resume and cancel."""

from __future__ import annotations

from contextlib import suppress

from flask import Blueprint, Response, request

from dingospeed.errors import BadRequest, DingospeedError
from dingospeed.upkeep.jobs import Act, NotNow
from dingospeed.web import auth
from dingospeed.web.asking import services
from dingospeed.web.bodies import checked_as
from dingospeed.web.jobs import WarmUpAsked
from dingospeed.web.pages import go_to, is_part, page
from dingospeed.web.replies import public_message

blueprint = Blueprint("jobpages", __name__)

_PAGE = "/-/ui/jobs"
_ACTS = {"pause": Act.PAUSE, "resume": Act.RESUME, "cancel": Act.CANCEL}
# What a browser does with it: ask for the moving parts of the page again.
_CHANGED = {"HX-Trigger": "changed"}


@blueprint.get(_PAGE)
def jobs() -> Response:
    """All jobs, the latest first, and a form for a new one; without it for the page that shows them."""
    if auth.session() is None:
        return go_to("/-/login")
    return _page() if not is_part() else page("parts/jobs.html", jobs=services().upkeep.desk.all())


@blueprint.post(_PAGE)
def begin() -> Response:
    """A new warm-up, by the form."""
    auth.check_admin()
    asked = {
        name: request.form.get(name, "").strip() for name in ("repo", "type", "revision", "token", "nodes")
    }
    patterns = {name: request.form.get(name, "").split() for name in ("include", "exclude")}
    try:
        wish = checked_as(
            WarmUpAsked, {name: value for name, value in {**asked, **patterns}.items() if value}
        )
        services().upkeep.desk.begin(wish.wish(), wish.caller(), wish.nodes)
    except DingospeedError as error:
        status = 422 if error.status < 500 else error.status
        return _page(error=public_message(error), status=status)
    return go_to(_PAGE)


@blueprint.post("/-/ui/jobs/<job_id>/<act>")
def change(job_id: str, act: str) -> Response:
    """Pause, resume or cancel."""
    auth.check_admin()
    if act not in _ACTS:
        raise BadRequest(f"A job can be told to {', '.join(_ACTS)}")
    # It may have ended meanwhile; the page is about to show that.
    with suppress(NotNow):
        services().upkeep.desk.act(job_id, _ACTS[act])
    return Response(status=204, headers=_CHANGED) if is_part() else go_to(_PAGE)


def _page(*, error: str = "", status: int = 200) -> Response:
    all_jobs = services().upkeep.desk.all()
    is_grouped = services().group is not None
    return page(
        "jobs.html", status=status, jobs=all_jobs, error=error, form=request.form, is_grouped=is_grouped
    )
