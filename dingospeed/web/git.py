"""git and git-lfs: fetching over smart HTTP, and objects by batch (git-lfs: docs/api).

git sends no credentials before it was asked for them, and then a user name and a password: the
password is the Hub token.
"""

from __future__ import annotations

import json
import logging
import re
from typing import Any

from flask import Blueprint, Response, request
from werkzeug.exceptions import HTTPException
from werkzeug.wsgi import get_input_stream

from dingospeed.errors import BadRequest, DingospeedError, Forbidden, Refusal, StoreError, UpstreamError
from dingospeed.mirror.git import GitRequest, advertisement, upload_pack
from dingospeed.mirror.lfs import Promise
from dingospeed.model import Blob, Caller, RepoRef, is_etag
from dingospeed.web import asking, paths, replies
from dingospeed.web.asking import own_url, services, transfers
from dingospeed.web.body import Body
from dingospeed.web.sending import send

log = logging.getLogger(__name__)

blueprint = Blueprint("git", __name__)

LFS_TYPE = "application/vnd.git-lfs+json"
_AUTHENTICATE = 'Basic realm="Authentication required", charset="UTF-8"'
_READ_ONLY = "This mirror is read-only: push to the Hub itself."
# What a client has is told in such a body: some 50 bytes for each commit.
_MAX_BODY_BYTES = 16 << 20
_MAX_OBJECTS = 1000
_SIZE = re.compile(r"[0-9]{1,15}\Z")


# --- git -----------------------------------------------------------------------


@blueprint.get("/<repo:repo>/info/refs")
def info_refs(repo: str) -> Response:
    service = request.args.get("service")
    if service == "git-receive-pack":
        raise Forbidden(_READ_ONLY)
    if service != "git-upload-pack":
        raise Forbidden("This mirror speaks the smart protocol of git only.")
    return _asked(repo, advertisement(request.headers.get("Git-Protocol", "")))


@blueprint.post("/<repo:repo>/git-upload-pack")
def git_upload_pack(repo: str) -> Response:
    packed = request.headers.get("Content-Encoding", "identity").lower()
    if packed not in ("gzip", "x-gzip", "identity", ""):
        raise BadRequest("The body is packed in an unknown way")
    protocol = request.headers.get("Git-Protocol", "")
    return _asked(repo, upload_pack(protocol, _body(), "gzip" if "gzip" in packed else "identity"))


@blueprint.post("/<repo:repo>/git-receive-pack")
def git_receive_pack(repo: str) -> Response:
    raise Forbidden(_READ_ONLY)


def _asked(repo: str, asked: GitRequest) -> Response:
    who, named = caller(), _repo(repo)
    answer = services().mirror.git.ask(named, asked, who)
    headers = {"Cache-Control": "no-cache, max-age=0, must-revalidate", "Content-Type": answer.content_type}
    if answer.length is not None:
        headers["Content-Length"] = str(answer.length)
    return Response(
        Body(answer, on_end=transfers().begin_passing()), headers=headers, direct_passthrough=True
    )


# --- git-lfs -------------------------------------------------------------------


@blueprint.post("/<repo:repo>/info/lfs/objects/batch")
def batch(repo: str) -> Response:
    asked = _batch_asked()
    if asked.get("operation") != "download":
        raise Forbidden(_READ_ONLY)
    if asked.get("hash_algo", "sha256") != "sha256":
        raise BadRequest("hash_algo: expected sha256")
    named = _repo(repo)
    promises = services().mirror.lfs.batch(named, _objects_of(asked), caller())
    address = f"{own_url()}{named.web_path}.git/info/lfs/objects"
    objects = [_object(promise, address) for promise in promises]
    return _as_lfs({"transfer": "basic", "objects": objects, "hash_algo": "sha256"})


@blueprint.get("/<repo:repo>/info/lfs/objects/<oid>")
def lfs_object(repo: str, oid: str) -> Response:
    who = caller()
    if not _is_oid(oid):
        raise BadRequest("Not an oid")
    size = _SIZE.match(request.args.get("size", ""))
    opened = services().mirror.lfs.open(_repo(repo), oid, int(size[0]) if size else None, who)
    response = send(opened, who)
    # What an object is called, and where, depends on who asks for which commit.
    for name in ("Content-Disposition", "X-Repo-Commit"):
        response.headers.pop(name, None)
    if response.status_code != 304:
        response.headers["Content-Type"] = "application/octet-stream"
    return response


@blueprint.route("/<repo:repo>/info/lfs/<path:rest>", methods=["GET", "POST", "PUT", "DELETE", "PATCH"])
def lfs_rest(repo: str, rest: str) -> Response:
    """Locks and uploads. 404 to questions about locks tells git-lfs that there are none to be had."""
    if request.method == "GET" or rest == "locks/verify":
        raise NotHere("This mirror knows no locks.")
    raise Forbidden(_READ_ONLY)


class NotHere(Refusal):
    """A part of git-lfs that this mirror does not have."""

    status = 404


def _batch_asked() -> dict[str, Any]:
    try:
        asked = json.loads(_body())
    except ValueError as error:
        raise BadRequest("Not a request of git-lfs") from error
    if not isinstance(asked, dict):
        raise BadRequest("Not a request of git-lfs")
    return asked


def _objects_of(asked: dict[str, Any]) -> list[Blob]:
    objects = asked.get("objects")
    if not isinstance(objects, list) or len(objects) > _MAX_OBJECTS:
        raise BadRequest(f"objects: expected a list of at most {_MAX_OBJECTS}")
    found = []
    for one in objects:
        oid, size = (one.get("oid"), one.get("size")) if isinstance(one, dict) else (None, None)
        # A bool is an int, too.
        if not isinstance(oid, str) or not _is_oid(oid) or type(size) is not int or size < 0:
            raise BadRequest("objects: expected each with an oid and a size")
        found.append(Blob(oid, size))
    return found


def _is_oid(text: str) -> bool:
    return len(text) == 64 and is_etag(text)


def _object(promise: Promise, address: str) -> dict[str, Any]:
    blob = promise.blob
    told = {"oid": blob.etag, "size": blob.size}
    if promise.code:
        return {**told, "error": {"code": promise.code, "message": promise.message}}
    # The size: for an object of which nothing is known here but what its pointer says.
    return {**told, "actions": {"download": {"href": f"{address}/{blob.etag}?size={blob.size}"}}}


def _as_lfs(value: Any, status: int = 200) -> Response:
    return Response(json.dumps(value, separators=(",", ":")), status, content_type=LFS_TYPE)


# --- both ----------------------------------------------------------------------


def _repo(text: str) -> RepoRef:
    return paths.repo_of_page(text.removesuffix(".git"))


def caller() -> Caller:
    """As asking.caller; the token may also be a password, or a user name without one."""
    sent = request.authorization if asking.asked().header("Authorization") else None
    if sent is None or sent.type != "basic":
        return asking.caller()
    return asking.named(sent.password or sent.username or "")


def _body() -> bytes:
    """The body, of a length told or not. Raises BadRequest when it is too long."""
    try:
        return get_input_stream(request.environ, max_content_length=_MAX_BODY_BYTES).read()
    except HTTPException as error:
        raise TooLong("The body is too long") from error


class TooLong(BadRequest):
    status = 413


@blueprint.errorhandler(Refusal)
@blueprint.errorhandler(UpstreamError)
@blueprint.errorhandler(StoreError)
def _refused(error: DingospeedError) -> Response:
    """Plain text, which git shows; JSON for git-lfs. Asks for credentials as git understands it."""
    if error.status >= 500:
        log.warning("%s %s: %s", request.method, request.path, error)
    response = replies.refused(error, is_api=False)
    if error.status == 401:
        response.headers["WWW-Authenticate"] = _AUTHENTICATE
    if "/info/lfs/" in request.path:
        message = {"message": response.get_data(as_text=True), "request_id": asking.asked().id}
        response.set_data(json.dumps(message, separators=(",", ":")))
        response.headers["Content-Type"] = LFS_TYPE
        if error.status == 401:
            response.headers["LFS-Authenticate"] = _AUTHENTICATE
    return response
