"""The CAS that clients of Xet speak to: tokens for it, which blocks a file is made of, the blocks.

Each generation of hf_xet asks for the blocks under another path; and how it went they tell
at the root of this host, whatever path they were given.
"""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Response, request

from dingospeed.errors import Refusal
from dingospeed.mirror import xorbs
from dingospeed.mirror.cas import Cas
from dingospeed.mirror.files import OpenFile
from dingospeed.mirror.xorbs import Term
from dingospeed.model import Caller, FileMeta, Span
from dingospeed.web import paths, replies
from dingospeed.web.asking import asked, caller, named, own_url, services
from dingospeed.web.sending import send, send_xorb

blueprint = Blueprint("cas", __name__)

_PREFIX = "/-/xet"
_FILE_INFO = "application/vnd.xet-fileinfo+json"


class NoCas(Refusal):
    """By its settings this mirror is none; with what to do instead."""

    status = 404
    # hf_xet below 1.8 shows the status line, and no header.
    phrase = "Set HF_HUB_DISABLE_XET=1"

    def __init__(self) -> None:
        super().__init__(
            "This mirror serves files over plain HTTP. Set HF_HUB_DISABLE_XET=1, or delete the"
            " 'trees' folder of this repo in your Hugging Face cache, and try again."
        )


class NoBlock(Refusal):
    """There is no such block of the file that was opened."""

    status = 404

    def __init__(self) -> None:
        super().__init__("This file has no such block.")


@blueprint.get("/api/<kind>/<id:id>/xet-read-token/<revision:revision>")
def token(kind: str, id: str, revision: str) -> Response:
    # Also asked by clients that were never told of Xet here: what they saw at the Hub they remember.
    repo, named, who = paths.repo_of_api(kind, id), paths.revision_of(revision), caller()
    if services().mirror.cas is None:
        services().mirror.repos.check_access(repo, who)
    text, expires = _cas().token(repo, named, who)
    response = replies.as_json({"casUrl": _url(), "accessToken": text, "exp": expires})
    response.headers["X-Xet-Cas-Url"] = _url()
    response.headers["X-Xet-Access-Token"] = text
    response.headers["X-Xet-Token-Expiration"] = str(expires)
    return response


# hf_xet until 1.1.5, until 1.2, until 1.4.
@blueprint.get(f"{_PREFIX}/reconstruction/<hash>")
@blueprint.get(f"{_PREFIX}/reconstructions/<hash>")
@blueprint.get(f"{_PREFIX}/v1/reconstructions/<hash>")
def reconstruction_v1(hash: str) -> Response:
    meta, terms, told, ticket = _planned(hash)
    fetched = {
        xorbs.name_of(meta.blob, term.block): [
            {
                "range": _bounds(term.chunks),
                "url": _block_url(meta, term, ticket),
                "url_range": _inclusive(term.packed),
            }
        ]
        for term in terms
    }
    return replies.as_json({**told, "fetch_info": fetched})


@blueprint.get(f"{_PREFIX}/v2/reconstructions/<hash>")
def reconstruction_v2(hash: str) -> Response:
    meta, terms, told, ticket = _planned(hash)
    fetched = {
        xorbs.name_of(meta.blob, term.block): [
            {
                "url": _block_url(meta, term, ticket),
                "ranges": [{"chunks": _bounds(term.chunks), "bytes": _inclusive(term.packed)}],
            }
        ]
        for term in terms
    }
    return replies.as_json({**told, "xorbs": fetched})


@blueprint.get(f"{_PREFIX}/blocks/<etag>/<int:index>")
def block(etag: str, index: int) -> Response:
    opened, who = _cas().open(request.args.get("ticket", ""), named(""))
    blob = opened.meta.blob
    found = xorbs.block_of(blob.size, index)
    if found is None or etag != blob.etag:
        raise NoBlock()
    return send_xorb(opened, found, who)


@blueprint.post("/v1/telemetry")
@blueprint.post(f"{_PREFIX}/v1/telemetry")
def telemetry() -> Response:
    """Answered, and read by nobody."""
    return Response(status=204)


def send_offering(opened: OpenFile, who: Caller) -> Response:
    """As `send`; of a file that is offered by Xet with what leads there, or only that if it is preferred."""
    meta = opened.meta
    hash = services().mirror.offers.hash_of(meta.blob, meta.xet_hash)
    if hash is None:
        return send(opened, who)
    # huggingface.js asks so, and for the first byte.
    is_preferred = _FILE_INFO in asked().header("Accept")
    response = replies.file_info(meta, {"hash": hash}, _FILE_INFO) if is_preferred else send(opened, who)
    token_url = f"{own_url()}{meta.repo.api_path}/xet-read-token/{meta.commit}"
    response.headers["X-Xet-Hash"] = hash
    response.headers["Link"] = (
        f'<{token_url}>; rel="xet-auth", <{_url()}/v1/reconstructions/{hash}>; rel="xet-reconstruction-info"'
    )
    response.vary.add("Accept")
    return response


def _cas() -> Cas:
    """Raises NoCas."""
    found = services().mirror.cas
    if found is None:
        raise NoCas()
    return found


def _planned(hash: str) -> tuple[FileMeta, list[Term], dict[str, Any], str]:
    """The file, what to fetch for the range asked, that in words of all versions, and the ticket for it."""
    meta, ticket = _cas().find(asked().bearer, hash, named(""))
    span = replies.range_of(asked().header("Range"), meta.blob.size) or meta.blob.whole
    terms = xorbs.plan(meta.blob.size, span)
    told = {
        "offset_into_first_range": span.start - terms[0].content.start if terms else 0,
        "terms": [
            {
                "hash": xorbs.name_of(meta.blob, term.block),
                "unpacked_length": len(term.content),
                "range": _bounds(term.chunks),
            }
            for term in terms
        ],
    }
    return meta, terms, told, ticket


def _url() -> str:
    return own_url() + _PREFIX


def _block_url(meta: FileMeta, term: Term, ticket: str) -> str:
    # The ticket in the query: paths are written to logs.
    return f"{_url()}/blocks/{meta.blob.etag}/{term.block.index}?ticket={ticket}"


def _bounds(span: Span) -> dict[str, int]:
    return {"start": span.start, "end": span.stop}


def _inclusive(span: Span) -> dict[str, int]:
    return {"start": span.start, "end": span.stop - 1}
