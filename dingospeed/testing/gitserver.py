"""The Hub as git sees it: fetching over smart HTTP, and git-lfs.

What git asks is answered by git itself (``git upload-pack``), from bare repos in a temporary
folder that are written when they are first asked for. Their ids are those the Hub lists.
"""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import tempfile
import zlib
from collections.abc import Callable
from pathlib import Path
from threading import Lock
from typing import Any

from dingospeed.testing import git
from dingospeed.testing.access import caller_of, need_files, visible
from dingospeed.testing.answers import Moved, Refusal, authentication_required, disposition
from dingospeed.testing.content import Content
from dingospeed.testing.payload import Plain
from dingospeed.testing.repos import DEFAULT_BRANCH, Entry, Repo
from dingospeed.testing.routes import GitRoute, git_route
from dingospeed.testing.signing import Signer
from dingospeed.testing.wire import Reply, Request

LFS_JSON = "application/vnd.git-lfs+json"
# In the header of every action: nothing that is meant for anybody but the place of its href.
ACTION_SECRET = "only-for-this-href"
_CHALLENGE = 'Basic realm="Authentication required", charset="UTF-8"'
_CONFIG = """\
[core]
\trepositoryformatversion = 0
\tbare = true
\tcompression = 0
[uploadpack]
\tallowFilter = true
"""


class GitServer:
    """Answers git and git-lfs about *content*."""

    def __init__(self, content: Content, signer: Signer, *, cdn_url: Callable[[], str]) -> None:
        self._content = content
        self._signer = signer
        self._cdn_url = cdn_url
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._written: dict[Path, set[str]] = {}
        self._lock = Lock()

    def answer(self, request: Request) -> Reply:
        """Raises Refusal and Moved."""
        route = git_route(request.raw_path)
        if route is None:
            raise Refusal(404, "Sorry, we can't find the page you are looking for.")
        try:
            repo = self._repo(request, route)
        except Refusal as refusal:
            if refusal.status == 401:
                refusal.headers["Www-Authenticate"] = _CHALLENGE
            raise
        if route.name == "info/lfs/objects/batch" and request.method == "POST":
            return self._batch(request, repo)
        if route.name == "info/refs" and request.arguments.get("service") == "git-upload-pack":
            return self._advertise(request, repo)
        if route.name == "git-upload-pack" and request.method == "POST":
            return self._upload_pack(request, repo)
        raise Refusal(403, "You are not allowed to do that.")

    def _repo(self, request: Request, route: GitRoute) -> Repo:
        scheme = (request.header("Authorization") or "basic").partition(" ")[0].lower()
        if scheme != "basic" and not route.name.startswith("info/lfs/"):
            # Stricter than need be, for the sake of Hubs that are: git itself knows passwords only.
            raise authentication_required()
        caller = caller_of(self._content, request)
        new_name = self._content.new_name(route.type, route.id)
        repo = visible(self._content.repo(route.type, new_name or route.id), caller)
        if new_name:
            query = f"?{request.query}" if request.query else ""
            raise Moved(f"{repo.address}/{route.name}{query}")
        need_files(repo, caller)
        return repo

    # --- git -------------------------------------------------------------------

    def _advertise(self, request: Request, repo: Repo) -> Reply:
        body = self._run(request, repo, "--advertise-refs")
        if "version=2" not in (request.header("Git-Protocol") or ""):
            body = b"001e# service=git-upload-pack\n0000" + body
        return _as_git("advertisement", body)

    def _upload_pack(self, request: Request, repo: Repo) -> Reply:
        asked = request.body
        if request.header("Content-Encoding") == "gzip":
            asked = gzip.decompress(asked)
        return _as_git("result", self._run(request, repo, asked=asked))

    def _run(self, request: Request, repo: Repo, *options: str, asked: bytes = b"") -> bytes:
        environ = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
        environ.update(
            GIT_PROTOCOL=request.header("Git-Protocol") or "",
            GIT_CONFIG_NOSYSTEM="1",
            GIT_CONFIG_GLOBAL=os.devnull,
        )
        command = ["git", "upload-pack", "--stateless-rpc", *options, str(self._written_out(repo))]
        # Its exit code says only that whoever asked wants no more.
        return subprocess.run(command, input=asked, env=environ, capture_output=True, check=False).stdout

    def _written_out(self, repo: Repo) -> Path:
        """The bare repo, with all that *repo* has by now."""
        with self._lock:
            if self._folder is None:
                self._folder = tempfile.TemporaryDirectory(prefix="fake-hub-git-")
            path = Path(self._folder.name) / repo.object_id
            written = self._written.setdefault(path, set())
            (path / "refs").mkdir(parents=True, exist_ok=True)
            (path / "config").write_text(_CONFIG)
            (path / "HEAD").write_text(f"ref: refs/heads/{DEFAULT_BRANCH}\n")
            for sha in set(repo.commits) - written:
                for kind, body in repo.commits[sha].objects(repo.author):
                    _write_object(path, kind, body)
                written.add(sha)
            lines = [f"{sha} {name}\n" for name, sha in sorted(repo.git_refs().items())]
            (path / "packed-refs").write_text("# pack-refs with: sorted\n" + "".join(lines))
            return path

    # --- git-lfs ---------------------------------------------------------------

    def _batch(self, request: Request, repo: Repo) -> Reply:
        try:
            asked = json.loads(request.body)
            wanted = [(str(one["oid"]), int(one["size"])) for one in asked["objects"]]
        except (ValueError, TypeError, KeyError):
            return _as_lfs({"message": "Not a request of git-lfs"}, 422)
        if asked.get("operation") != "download":
            return _as_lfs({"message": "You are not allowed to upload here."}, 403)
        transfer = "xet" if "xet" in asked.get("transfers", []) else "basic"
        known = {oid: entry for commit in repo.commits.values() for oid, entry in commit.lfs_files.items()}
        objects = [self._object(repo, oid, size, known.get(oid), transfer) for oid, size in wanted]
        return _as_lfs({"transfer": transfer, "objects": objects, "hash_algo": "sha256"})

    def _object(self, repo: Repo, oid: str, size: int, entry: Entry | None, transfer: str) -> dict[str, Any]:
        # The size is what was asked for: it is not looked at.
        told: dict[str, Any] = {"oid": oid, "size": size}
        if entry is None:
            return {**told, "error": {"code": 404, "message": "Object does not exist on the server"}}
        if transfer == "xet":
            header = {"X-Xet-Cas-Url": self._content.cas_url, "X-Xet-Hash": entry.xet_hash}
            download = {"href": f"{self._content.cas_url}/v1/{entry.xet_hash}", "header": header}
        else:
            path = f"/xet-bridge-us/{repo.object_id}/{self._content.publish(entry)}"
            lifetime_s = self._content.signature_lifetime_s
            signed = self._signer.sign(path, disposition(entry.path), lifetime_s)
            header = {"X-Hub-Secret": ACTION_SECRET}
            download = {"href": self._cdn_url() + signed, "header": header}
        return {**told, "authenticated": True, "actions": {"download": download}}


def _as_git(what: str, body: bytes) -> Reply:
    headers = {"Content-Type": f"application/x-git-upload-pack-{what}", "Cache-Control": "no-cache"}
    reply = Reply(200, headers, Plain(body))
    # The Hub does not know how long a pack gets either.
    reply.declared = None
    return reply


def _as_lfs(value: object, status: int = 200) -> Reply:
    return Reply(status, {"Content-Type": f"{LFS_JSON}; charset=utf-8"}, Plain(json.dumps(value).encode()))


def _write_object(repo: Path, kind: str, body: bytes) -> None:
    id = git.object_id(kind, body)
    path = repo / "objects" / id[:2] / id[2:]
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(zlib.compress(f"{kind} {len(body)}".encode() + b"\0" + body, 0))
