"""Mounts over HTTP: listed, mounted, unmounted."""

from __future__ import annotations

from flask import Blueprint, Response
from pydantic import Field, StrictBool

from dingospeed.config.kinds import RepoName, RevisionName
from dingospeed.errors import Refusal
from dingospeed.model import REPO_TYPES, RepoRef, RepoType
from dingospeed.upkeep.mountbook import Wanted
from dingospeed.web import paths, replies
from dingospeed.web.asking import services
from dingospeed.web.auth import check_admin
from dingospeed.web.bodies import Asked, Unfit, body_as

blueprint = Blueprint("mounts", __name__)


class MountAsked(Asked):
    repo: RepoName = Field(description='the name of a repo, "org/name"')
    type: RepoType = Field(default="models", description=f"one of {', '.join(REPO_TYPES)}")
    revision: RevisionName = Field(default="main", description="a branch, a tag or a commit")
    restricted: StrictBool = Field(
        default=False, description="true or false: whether to mount it although it is private or gated"
    )


@blueprint.get("/-/mounts")
def all_mounts() -> Response:
    check_admin()
    return replies.as_json(_told())


@blueprint.post("/-/mounts")
def mount() -> Response:
    """What is mounted then; what is not held yet is fetched first, and mounted later."""
    check_admin()
    asked = body_as(MountAsked)
    wanted = Wanted(RepoRef.parse(asked.type, asked.repo), asked.revision, "command", asked.restricted)
    try:
        services().upkeep.mounts.mount(wanted)
    except Refusal as refusal:
        raise Unfit(asked.repo, refusal) from refusal
    return replies.as_json(_told())


@blueprint.delete("/-/mounts/<kind>/<id:id>")
def unmount(kind: str, id: str) -> Response:
    check_admin()
    services().upkeep.mounts.unmount(paths.repo_of_api(kind, id))
    return replies.as_json(_told())


def _told() -> dict[str, object]:
    mounts = services().upkeep.mounts
    return {"public": str(mounts.public), "mounts": mounts.told()}
