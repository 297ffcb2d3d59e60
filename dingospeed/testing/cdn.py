"""The CDN: bytes by signed address, no questions asked, and no token ever to be shown."""

from __future__ import annotations

from dingospeed.testing.content import Content
from dingospeed.testing.ranges import send_file
from dingospeed.testing.signing import Signer, denied
from dingospeed.testing.wire import Reply, Request


class Cdn:
    """Gives out what was published of *content* to addresses made by *signer*."""

    def __init__(self, content: Content, signer: Signer) -> None:
        self._content = content
        self._signer = signer

    def answer(self, request: Request) -> Reply:
        if request.header("Authorization") is not None:
            return denied(400, "InvalidArgument", "Only one auth mechanism allowed")
        if request.method not in ("GET", "HEAD"):
            return denied(405, "MethodNotAllowed", "The specified method is not allowed")
        if not self._signer.accepts(request.target):
            return denied()
        xet_hash = request.raw_path.rpartition("/")[2]
        payload = self._content.published(xet_hash)
        if payload is None:
            return denied(404, "NoSuchKey", "The specified key does not exist.")
        headers = {
            "Accept-Ranges": "bytes",
            "Access-Control-Allow-Origin": "*",
            "Cache-Control": "public, max-age=31536000",
            "Content-Disposition": request.arguments.get("response-content-disposition", "inline"),
            "Content-Type": "application/octet-stream",
            # The name of the content over here; clients know it by its sha256.
            "Etag": f'"{xet_hash}"',
            "Via": "1.1 fedcba9876543210fedcba9876543210.cloudfront.net (CloudFront)",
            "X-Cache": "Hit from cloudfront",
        }
        return send_file(request, payload, headers)
