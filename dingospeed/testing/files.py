"""Where the Hub gives out files: ``…/resolve/…``, ``…/raw/…`` and ``/api/resolve-cache/…``.

Small files come from here, by a redirect to the resolve-cache if everybody may have them; files of
git-lfs come from the CDN, by a redirect to a signed address.
"""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import quote

from dingospeed.testing.access import caller_of, need_files, visible
from dingospeed.testing.answers import (
    TEXT,
    Moved,
    Refusal,
    authentication_required,
    disposition,
    entry_not_found,
    revision_not_found,
    send_json,
    send_redirect,
)
from dingospeed.testing.content import Content
from dingospeed.testing.payload import Plain
from dingospeed.testing.ranges import send_file
from dingospeed.testing.repos import Commit, Entry, Repo
from dingospeed.testing.routes import FileRoute, file_route
from dingospeed.testing.signing import Signer
from dingospeed.testing.wire import Reply, Request

XET_FILE_INFO = "application/vnd.xet-fileinfo+json"


class Files:
    """Answers for files of *content*; the addresses of both servers are asked for when needed."""

    def __init__(
        self, content: Content, signer: Signer, *, hub_url: Callable[[], str], cdn_url: Callable[[], str]
    ) -> None:
        self._content = content
        self._signer = signer
        self._hub_url = hub_url
        self._cdn_url = cdn_url

    def answer(self, request: Request) -> Reply:
        """Raises Refusal and Moved."""
        route = file_route(request.raw_path)
        if route is None:
            raise Refusal(404, "Sorry, we can't find the page you are looking for.")
        if request.method not in ("GET", "HEAD"):
            raise Refusal(405, "Method not allowed")
        caller = caller_of(self._content, request)
        new_name = self._content.new_name(route.type, route.id)
        repo = visible(self._content.repo(route.type, new_name or route.id), caller)
        if new_name and route.kind != "resolve-cache":
            query = f"?{request.query}" if request.query else ""
            raise Moved(f"{repo.address}{route.raw_rest}{query}")
        need_files(repo, caller)
        commit = repo.find(route.revision)
        if commit is None:
            raise revision_not_found(route.revision)
        entry = commit.entries.get(route.path)
        if entry is None:
            raise entry_not_found(commit.sha)
        return self._give(request, route, repo, commit, entry)

    def _give(self, request: Request, route: FileRoute, repo: Repo, commit: Commit, entry: Entry) -> Reply:
        is_public = not (repo.private or repo.gated)
        if route.kind == "resolve-cache":
            if not is_public or entry.is_lfs:
                raise authentication_required()
            return self._send(request, commit, entry)
        if route.kind == "raw":
            return self._send(request, commit, entry)
        if entry.is_lfs:
            if XET_FILE_INFO in (request.header("Accept") or ""):
                return self._tell_xet(repo, commit, entry)
            return self._send_to_cdn(request, repo, commit, entry)
        if is_public:
            return self._send_to_cache(request, repo, commit, entry)
        return self._send(request, commit, entry)

    def _send(self, request: Request, commit: Commit, entry: Entry) -> Reply:
        """The file as git has it: what is in LFS by its pointer."""
        payload = Plain(entry.pointer if entry.is_lfs else entry.content)
        headers = {
            "Accept-Ranges": "bytes",
            "Content-Disposition": _disposition(request, entry),
            "Content-Security-Policy": "default-src 'none'; sandbox",
            "Content-Type": _content_type(payload.data),
            "Etag": f'"{entry.blob_id}"',
            "X-Hub-Cache": "HIT",
            "X-Repo-Commit": commit.sha,
        }
        return send_file(request, payload, headers)

    def _send_to_cache(self, request: Request, repo: Repo, commit: Commit, entry: Entry) -> Reply:
        etag = quote(f'"{entry.etag}"')
        address = f"/api/resolve-cache/{repo.type}/{quote(repo.id)}/{commit.sha}/{quote(entry.path)}"
        location = f"{address}?{quote(request.target, safe='')}=&etag={etag}"
        headers = {
            "X-Repo-Commit": commit.sha,
            "X-Linked-Etag": f'"{entry.etag}"',
            "Accept-Ranges": "bytes",
            "X-Hub-Cache": "MISS",
            "Content-Disposition": _disposition(request, entry),
            "Content-Security-Policy": "default-src 'none'; sandbox",
        }
        return send_redirect(307, location, headers)

    def _send_to_cdn(self, request: Request, repo: Repo, commit: Commit, entry: Entry) -> Reply:
        path = f"/xet-bridge-us/{repo.object_id}/{self._content.publish(entry)}"
        signed = self._signer.sign(path, _disposition(request, entry), self._content.signature_lifetime_s)
        headers = {"Cache-Control": "no-store", **self._lfs_headers(repo, commit, entry)}
        # Ollama only understands a 307.
        status = 307 if "ollama" in (request.header("User-Agent") or "").lower() else 302
        return send_redirect(status, self._cdn_url() + signed, headers)

    def _tell_xet(self, repo: Repo, commit: Commit, entry: Entry) -> Reply:
        headers = self._lfs_headers(repo, commit, entry)
        about = {"hash": entry.xet_hash, "size": entry.size, "etag": f'"{entry.sha256}"'}
        headers.update({"Content-Type": XET_FILE_INFO, "Vary": "Origin, Accept", "Etag": f'"{entry.sha256}"'})
        return send_json(about, headers=headers)

    def _lfs_headers(self, repo: Repo, commit: Commit, entry: Entry) -> dict[str, str]:
        auth = f"{self._hub_url()}{repo.api_address}/xet-read-token/{commit.sha}"
        reconstruction = f"{self._content.cas_url}/v1/reconstructions/{entry.xet_hash}"
        return {
            "Accept-Ranges": "bytes",
            "Link": f'<{auth}>; rel="xet-auth", <{reconstruction}>; rel="xet-reconstruction-info"',
            "X-Hub-Cache": "MISS",
            "X-Linked-Etag": f'"{entry.sha256}"',
            "X-Linked-Size": str(entry.size),
            "X-Repo-Commit": commit.sha,
            "X-Xet-Hash": entry.xet_hash,
        }


def _disposition(request: Request, entry: Entry) -> str:
    return disposition(entry.path, "attachment" if request.arguments.get("download") == "true" else "inline")


def _content_type(data: bytes) -> str:
    try:
        data.decode()
    except UnicodeDecodeError:
        return "application/octet-stream"
    return TEXT
