"""For the other nodes of the group: bytes of blobs. Every request is signed with the group's secret."""

from __future__ import annotations

from collections.abc import Mapping

from flask import Blueprint, Response, request

from dingospeed.errors import BadRequest, DingospeedError, Moved, Refusal, UpstreamError
from dingospeed.model import Blob, FileMeta, RepoRef, Span, checked_path, checked_revision, is_commit, is_etag
from dingospeed.services.group import Group
from dingospeed.services.lending import Lent
from dingospeed.web import paths, replies
from dingospeed.web.asking import flag, services
from dingospeed.web.body import Body

blueprint = Blueprint("peers", __name__)


class NoGroup(Refusal):
    """This node is in no group: then there is nobody to whom this is open."""

    status = 404

    def __init__(self) -> None:
        super().__init__("There is nothing here.")


class OutsideFailed(DingospeedError):
    """What this node asked on behalf of another was not answered: no fault of this one."""

    status = 424


@blueprint.get("/-/peers/blobs/<etag>")
def blob(etag: str) -> Response:
    """The bytes ``[start, stop)`` of a blob of ``size``. With ``type``, ``repo``, ``commit`` and ``path``
    they may be fetched from outside; without, only what is held is given.
    """
    sender, metrics = _sender(), services().ground.metrics
    asked = request.args
    wanted, span = _wanted(etag, asked)
    meta = _meta(wanted, asked) if "repo" in asked else None
    try:
        pieces = replies.primed(_lent().lending.open(wanted, span, meta))
    except UpstreamError as error:
        raise OutsideFailed(str(error)) from error

    def end(sent: int, error: BaseException | None) -> None:
        metrics.peer_bytes.labels(sender, "sent").inc(sent)

    headers = {"Content-Length": str(len(span)), "Content-Type": "application/octet-stream"}
    return Response(Body(pieces, on_end=end), headers=headers, direct_passthrough=True)


@blueprint.get("/-/peers/repos")
def repos() -> Response:
    """What the Hub says of a public repo: ``what`` is info, visibility or tree."""
    _sender()
    asked, telling = request.args, _lent().telling
    repo = RepoRef.parse(paths.repo_type(asked.get("type", "")), asked.get("repo", ""))
    may_be_stale, revision = flag("stale"), asked.get("revision", "")
    try:
        match asked.get("what"):
            case "info":
                told = telling.info(repo, checked_revision(revision), may_be_stale=may_be_stale)
            case "visibility":
                told = telling.visibility(repo, may_be_stale=may_be_stale)
            case "tree" if is_commit(revision):
                told = telling.tree(repo, revision, may_be_stale=may_be_stale)
            case _:
                raise BadRequest("Expected what=info, visibility, or tree with a commit")
    except (UpstreamError, Moved) as error:
        raise OutsideFailed(str(error)) from error
    return replies.as_json({"value": told.value, "age_s": told.age_s})


def _group() -> Group:
    group = services().group
    if group is None:
        raise NoGroup()
    return group


def _lent() -> Lent:
    lent = services().lent
    if lent is None:
        raise NoGroup()
    return lent


def _sender() -> str:
    """The node that asks. Raises NoPeer."""
    return _group().signer.check(request.method, request.path, request.args.to_dict(), dict(request.headers))


def _wanted(etag: str, asked: Mapping[str, str]) -> tuple[Blob, Span]:
    numbers = [asked.get(name, "") for name in ("size", "start", "stop")]
    if not is_etag(etag) or not all(
        text.isascii() and text.isdecimal() and len(text) < 20 for text in numbers
    ):
        raise BadRequest("Expected an etag, and size, start and stop in bytes")
    size, start, stop = map(int, numbers)
    if not start < stop <= size:
        raise BadRequest("Expected a span of the blob, start < stop <= size")
    return Blob(etag, size), Span(start, stop)


def _meta(blob: Blob, asked: Mapping[str, str]) -> FileMeta:
    if not is_commit(asked.get("commit", "")):
        raise BadRequest("Expected a commit")
    repo = RepoRef.parse(paths.repo_type(asked.get("type", "")), asked["repo"])
    return FileMeta(repo, asked["commit"], checked_path(asked.get("path", "")), blob)
