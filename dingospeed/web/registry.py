"""The registry that Ollama and older llama.cpp speak: /v2/…, for models."""

from __future__ import annotations

import hashlib
import json
import logging
import re

from flask import Blueprint, Response, request

from dingospeed.errors import DingospeedError, Refusal, StoreError, UpstreamError
from dingospeed.mirror.gguf import MANIFEST_TYPE
from dingospeed.mirror.registry import LLAMA_CPP, OTHER, ManifestUnknown
from dingospeed.sources.registry import BlobUnknown
from dingospeed.web import paths, replies
from dingospeed.web.asking import caller, services
from dingospeed.web.sending import send

log = logging.getLogger(__name__)

blueprint = Blueprint("registry", __name__, url_prefix="/v2")

_MEDIA_TYPE = re.compile(r"application/[\w.+-]{1,100}\Z", re.ASCII)
# OCI distribution specification, "Error Codes".
_CODES = {
    400: "NAME_INVALID",
    401: "UNAUTHORIZED",
    403: "DENIED",
    404: "NAME_UNKNOWN",
    429: "TOOMANYREQUESTS",
}


@blueprint.get("/")
def version() -> Response:
    """That there is a registry here."""
    return replies.as_json({})


@blueprint.get("/<id:id>/manifests/<tag>")
def manifest(id: str, tag: str) -> Response:
    agent = LLAMA_CPP if LLAMA_CPP in request.headers.get("User-Agent", "").lower() else OTHER
    repo = paths.repo_of_api("models", id)
    value = services().mirror.registry.manifest(repo, paths.decoded(tag), caller(), agent=agent)
    response = replies.as_json(value)
    media_type = value.get("mediaType")
    is_sane = isinstance(media_type, str) and _MEDIA_TYPE.match(media_type)
    response.headers["Content-Type"] = media_type if is_sane else MANIFEST_TYPE
    response.headers["Docker-Content-Digest"] = f"sha256:{hashlib.sha256(response.get_data()).hexdigest()}"
    return response


@blueprint.get("/<id:id>/blobs/<digest>")
def blob(id: str, digest: str) -> Response:
    who = caller()
    opened = services().mirror.registry.open(paths.repo_of_api("models", id), paths.decoded(digest), who)
    response = send(opened, who)
    if response.status_code != 304:
        response.headers["Content-Type"] = "application/octet-stream"
    response.headers["Docker-Content-Digest"] = f"sha256:{opened.meta.blob.etag}"
    # Ollama asks once where the blob is, and then for its parts there. It follows a redirect to another
    # host only; told here is here. Without a host, for the sake of reverse proxies.
    response.headers["Location"] = request.environ["PATH_INFO"]
    return response


@blueprint.after_request
def _sign(response: Response) -> Response:
    response.headers["Docker-Distribution-Api-Version"] = "registry/2.0"
    if request.endpoint == "registry.manifest":
        response.vary.add("User-Agent")
    return response


@blueprint.errorhandler(Refusal)
@blueprint.errorhandler(UpstreamError)
@blueprint.errorhandler(StoreError)
def _refused(error: DingospeedError) -> Response:
    """An error in the shape of registries, under the headers of the Hub."""
    if error.status >= 500:
        log.warning("%s %s: %s", request.method, request.path, error)
    response = replies.refused(error, is_api=True)
    told = {"code": _code(error), "message": response.headers["X-Error-Message"]}
    response.set_data(json.dumps({"errors": [told]}, separators=(",", ":")))
    return response


def _code(error: DingospeedError) -> str:
    if isinstance(error, BlobUnknown):
        return "BLOB_UNKNOWN"
    if isinstance(error, ManifestUnknown):
        return "MANIFEST_UNKNOWN"
    return _CODES.get(error.status, "UNKNOWN")
