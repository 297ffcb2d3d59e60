"""JSON about repos, commits and files, with the keys the Hub gives them."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any

from dingospeed.testing.repos import BETWEEN_COMMITS, FIRST_COMMIT, Commit, Entry, Repo

MASK = "*" * 64

Document = dict[str, Any]


def iso(date: datetime) -> str:
    return date.strftime("%Y-%m-%dT%H:%M:%S.000Z")


def repo_info(repo: Repo, commit: Commit | None, siblings: list[Document]) -> Document:
    """What ``/api/<type>/<id>`` says; *commit* is None while there is none."""
    modified = commit.date if commit else FIRST_COMMIT - BETWEEN_COMMITS
    info: Document = {
        "_id": repo.object_id,
        "id": repo.id,
        "private": repo.private,
        "tags": [],
        "downloads": 0,
        "likes": 0,
        **_BY_TYPE.get(repo.type, {}),
        "author": repo.id.partition("/")[0],
        **({"sha": commit.sha} if commit else {}),
        "lastModified": iso(modified),
        "gated": repo.gated,
        "disabled": repo.disabled,
        "cardData": {},
        "siblings": siblings,
        "createdAt": iso(FIRST_COMMIT - BETWEEN_COMMITS),
        "usedStorage": sum(entry.size for entry in commit.entries.values() if entry.is_lfs) if commit else 0,
    }
    if repo.type == "models":
        info["modelId"] = repo.id
    if "/" not in repo.id:
        del info["author"]
    return info


_BY_TYPE: Mapping[str, Document] = {
    "models": {
        "pipeline_tag": "text-generation",
        "library_name": "transformers",
        "model-index": None,
        "config": {},
        "transformersInfo": {},
        "widgetData": {},
        "spaces": [],
    },
    "datasets": {"citation": None, "description": "", "paperswithcode_id": None},
    "spaces": {"sdk": "static", "models": [], "datasets": [], "runtime": {"stage": "RUNNING"}},
}


def expanded(info: Document, names: Collection[str]) -> Document:
    """Only what was asked for, and what is never left out."""
    return {key: value for key, value in info.items() if key in {"_id", "id", "modelId", *names}}


def list_item(info: Document, *, full: bool) -> Document:
    """A repo as it stands in ``/api/<type>``."""
    kept = [
        "_id",
        "id",
        "modelId",
        "private",
        "gated",
        "tags",
        "downloads",
        "likes",
        "createdAt",
        "lastModified",
    ]
    if full:
        kept += ["author", "sha", "siblings", "disabled", "pipeline_tag", "library_name"]
    return {key: info[key] for key in kept if key in info}


def sibling(entry: Entry, *, blobs: bool, masked: bool) -> Document:
    if not blobs:
        return {"rfilename": entry.path}
    document: Document = {"rfilename": entry.path, "blobId": entry.blob_id, "size": entry.size}
    if entry.is_lfs:
        document["lfs"] = {
            "sha256": MASK if masked else entry.sha256,
            "size": entry.size,
            "pointerSize": len(entry.pointer),
        }
    return document


def tree_entry(commit: Commit, path: str, *, expand: bool, masked: bool) -> Document:
    """A file or directory as trees and paths-info show it."""
    entry = commit.entries.get(path)
    if entry is None:
        document: Document = {"type": "directory", "oid": commit.trees[path], "size": 0, "path": path}
    else:
        document = {"type": "file", "oid": entry.blob_id, "size": entry.size}
        if entry.is_lfs:
            oid = MASK if masked else entry.sha256
            document["lfs"] = {"oid": oid, "size": entry.size, "pointerSize": len(entry.pointer)}
            document["xetHash"] = MASK if masked else entry.xet_hash
        document["path"] = path
    if expand:
        document["lastCommit"] = _last_commit(commit, path)
        if entry is not None:
            document["securityFileStatus"] = {"status": "safe", "avScan": None, "pickleImportScan": None}
    return document


def _last_commit(commit: Commit, path: str) -> Document:
    shas = {sha for name, sha in commit.changed.items() if name == path or name.startswith(path + "/")}
    last = next(one for one in commit.history() if one.sha in shas)
    return {"id": last.sha, "title": last.title, "date": iso(last.date)}


def commit_item(commit: Commit, author: str) -> Document:
    return {
        "id": commit.sha,
        "title": commit.title,
        "message": commit.message.partition("\n")[2].strip(),
        "authors": [{"user": author, "avatar": "/avatars/fake.svg"}],
        "date": iso(commit.date),
    }


def refs(repo: Repo, *, with_pull_requests: bool) -> Document:
    def one(name: str, ref: str, sha: str) -> Document:
        return {"name": name, "ref": ref, "targetCommit": sha}

    document: Document = {
        "tags": [one(name, f"refs/tags/{name}", sha) for name, sha in repo.tags.items()],
        "branches": [one(name, f"refs/heads/{name}", sha) for name, sha in repo.branches.items()],
        "converts": [one(name, f"refs/convert/{name}", sha) for name, sha in repo.converts.items()],
    }
    if with_pull_requests:
        document["pullRequests"] = [
            one(f"refs/pr/{number}", f"refs/pr/{number}", sha) for number, sha in repo.pull_requests.items()
        ]
    return document


def whoami(name: str) -> Document:
    return {
        "type": "user",
        "id": "0" * 24,
        "name": name,
        "fullname": name,
        "isPro": False,
        "avatarUrl": "/avatars/fake.svg",
        "orgs": [],
        "auth": {"type": "access_token", "accessToken": {"displayName": "fake", "role": "read"}},
    }
