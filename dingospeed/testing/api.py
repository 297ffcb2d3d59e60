"""The Hub's API as far as readers use it: ``/api/…``."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Callable, Mapping
from urllib.parse import parse_qs, parse_qsl, quote

from dingospeed.testing import documents
from dingospeed.testing.access import caller_of, is_reader, may_have_files, may_know_of, need_files, visible
from dingospeed.testing.answers import (
    Moved,
    Refusal,
    authentication_required,
    entry_not_found,
    revision_not_found,
    send_json,
)
from dingospeed.testing.content import Content, User
from dingospeed.testing.paging import limit_of, next_link, page
from dingospeed.testing.repos import DEFAULT_BRANCH, PREFIXES, Commit, Repo
from dingospeed.testing.routes import ApiRoute, api_route, revision_and_path
from dingospeed.testing.wire import Reply, Request

COMMITS_PER_PAGE = 50
TOKEN_LIFETIME_S = 900


def is_true(text: str | None) -> bool:
    """As the Hub reads switches: ``true``, ``True`` and ``1``."""
    return (text or "").lower() in {"true", "1"}


class Api:
    """Answers questions about *content*; *hub_url* gives the address links begin with."""

    def __init__(self, content: Content, hub_url: Callable[[], str]) -> None:
        self._content = content
        self._hub_url = hub_url
        self._questions: Mapping[str, Callable[[Request, Repo, User | None, ApiRoute], Reply]] = {
            "": self._info,
            "revision": self._info,
            "tree": self._tree,
            "paths-info": self._paths_info,
            "refs": self._refs,
            "commits": self._commits,
            "auth-check": self._auth_check,
            "xet-read-token": self._xet_read_token,
            "discussions": self._discussions,
        }

    def route_of(self, request: Request) -> str:
        """The name of what is asked, for those who count: "info", "tree", "list", "whoami-v2"…"""
        route = api_route(request.raw_path, self._content.knows)
        if route:
            return route.name or "info"
        name = request.path.removeprefix("/api/").partition("/")[0]
        return "list" if name in PREFIXES else name

    def answer(self, request: Request) -> Reply:
        """Raises Refusal and Moved."""
        route = api_route(request.raw_path, self._content.knows)
        if route is None:
            return self._about_no_repo(request)
        caller = caller_of(self._content, request)
        new_name = self._content.new_name(route.type, route.id)
        repo = visible(self._content.repo(route.type, new_name or route.id), caller)
        if new_name:
            query = f"?{request.query}" if request.query else ""
            raise Moved(f"{repo.api_address}{route.raw_rest}{query}")
        question = self._questions.get(route.name)
        if question is None or request.method not in ("GET", "HEAD", "POST"):
            raise Refusal(404, "Sorry, we can't find the page you are looking for.")
        return question(request, repo, caller, route)

    # --- about a repo ------------------------------------------------------------

    def _info(self, request: Request, repo: Repo, caller: User | None, route: ApiRoute) -> Reply:
        is_asked = route.name == "revision"
        revision = "/".join(route.rest) if is_asked else DEFAULT_BRANCH
        commit = repo.find(revision)
        if commit is None and is_asked:
            raise revision_not_found(revision)
        masked = self._is_masked(repo, caller)
        arguments = parse_qs(request.query)
        blobs = is_true(arguments.get("blobs", [""])[-1])
        entries = [commit.entries[path] for path in sorted(commit.entries)] if commit else []
        siblings = [documents.sibling(entry, blobs=blobs, masked=masked) for entry in entries]
        info = documents.repo_info(repo, commit, siblings)
        names = arguments.get("expand", []) + arguments.get("expand[]", [])
        return send_json(documents.expanded(info, names) if names else info, request=request)

    def _tree(self, request: Request, repo: Repo, caller: User | None, route: ApiRoute) -> Reply:
        masked = self._is_masked(repo, caller)
        revision, folder = revision_and_path(route.rest)
        commit = _commit_at(repo, revision)
        arguments = request.arguments
        expand, recursive = is_true(arguments.get("expand")), is_true(arguments.get("recursive"))
        paths = commit.listing(folder.strip("/"), recursive=recursive)
        if paths is None:
            raise entry_not_found(commit.sha, f'{folder} does not exist on "{revision}"')
        limit = limit_of(arguments, self._content.expanded_page_size if expand else self._content.page_size)
        found, cursor = page(paths, arguments.get("cursor"), limit, commit.order)
        entries = [documents.tree_entry(commit, path, expand=expand, masked=masked) for path in found]
        headers = {}
        if cursor:
            switches = {"expand": str(expand).lower(), "recursive": str(recursive).lower()}
            behind = {**switches, "limit": str(limit), "cursor": cursor}
            headers = next_link(self._hub_url() + request.raw_path, behind)
        return send_json(entries, headers=headers, request=request)

    def _paths_info(self, request: Request, repo: Repo, caller: User | None, route: ApiRoute) -> Reply:
        masked = self._is_masked(repo, caller)
        commit = _commit_at(repo, "/".join(route.rest))
        paths, expand = _paths_asked(request)
        known = [path for path in paths if path in commit.entries or (path and path in commit.trees)]
        return send_json([documents.tree_entry(commit, path, expand=expand, masked=masked) for path in known])

    def _refs(self, request: Request, repo: Repo, caller: User | None, route: ApiRoute) -> Reply:
        with_pull_requests = is_true(request.arguments.get("include_prs"))
        return send_json(documents.refs(repo, with_pull_requests=with_pull_requests), request=request)

    def _commits(self, request: Request, repo: Repo, caller: User | None, route: ApiRoute) -> Reply:
        history = _commit_at(repo, "/".join(route.rest)).history()
        arguments = request.arguments
        limit = limit_of(arguments, COMMITS_PER_PAGE)
        number = int(arguments["p"]) if arguments.get("p", "").isdecimal() else 0
        author = repo.id.partition("/")[0]
        items = [documents.commit_item(commit, author) for commit in history[number * limit :][:limit]]
        headers = {"X-Total-Count": str(len(history))}
        if (number + 1) * limit < len(history):
            behind = {**arguments, "p": str(number + 1), "limit": str(limit)}
            headers.update(next_link(self._hub_url() + request.raw_path, behind))
        return send_json(items, headers=headers, request=request)

    def _auth_check(self, request: Request, repo: Repo, caller: User | None, route: ApiRoute) -> Reply:
        need_files(repo, caller)
        if route.rest == ("write",) and not is_reader(repo, caller):
            raise Refusal(403, "You don't have write access to this repository.")
        return send_json({"success": True})

    def _xet_read_token(self, request: Request, repo: Repo, caller: User | None, route: ApiRoute) -> Reply:
        need_files(repo, caller)
        _commit_at(repo, "/".join(route.rest))
        token = f"xet_{secrets.token_hex(16)}"
        expires = int(time.time()) + TOKEN_LIFETIME_S
        url = self._content.cas_url
        headers = {
            "X-Xet-Access-Token": token,
            "X-Xet-Cas-Url": url,
            "X-Xet-Token-Expiration": str(expires),
        }
        return send_json({"casUrl": url, "exp": expires, "accessToken": token}, headers=headers)

    def _discussions(self, request: Request, repo: Repo, caller: User | None, route: ApiRoute) -> Reply:
        return send_json(
            {"discussions": [], "count": 0, "start": 0, "numClosedDiscussions": 0}, request=request
        )

    def _is_masked(self, repo: Repo, caller: User | None) -> bool:
        """Whether names of files are shown but not of their content. Raises Refusal for not even that."""
        if may_have_files(repo, caller):
            return False
        if not self._content.gated_tree_visible:
            need_files(repo, caller)
        return True

    # --- about no repo -------------------------------------------------------------

    def _about_no_repo(self, request: Request) -> Reply:
        name = request.path.removeprefix("/api/").strip("/")
        if name in PREFIXES:
            return self._list(request, name)
        if name == "whoami-v2":
            caller = caller_of(self._content, request)
            if caller is None:
                raise authentication_required()
            return send_json(documents.whoami(caller.name))
        if name == "agent-harnesses":
            return send_json({"harnesses": {}, "standardEnvVars": []})
        if name.startswith("telemetry/"):
            return send_json({})
        raise Refusal(404, "Sorry, we can't find the page you are looking for.")

    def _list(self, request: Request, type: str) -> Reply:
        caller = caller_of(self._content, request)
        arguments = request.arguments
        search, author = arguments.get("search", "").lower(), arguments.get("author", "").lower()
        found = {
            repo.id: repo
            for (kind, _), repo in sorted(self._content.repos.items())
            if kind == type and may_know_of(repo, caller) and search in repo.id.lower()
            if not author or repo.id.lower().startswith(author + "/")
        }
        limit = limit_of(arguments, self._content.page_size)
        ids, cursor = page(list(found), arguments.get("cursor"), limit)
        full = is_true(arguments.get("full"))
        items = [self._list_item(found[id], full=full) for id in ids]
        behind = {**arguments, "limit": str(limit), "cursor": cursor or ""}
        headers = next_link(f"{self._hub_url()}/api/{quote(type)}", behind) if cursor else {}
        return send_json(items, headers=headers, request=request)

    def _list_item(self, repo: Repo, *, full: bool) -> documents.Document:
        commit = repo.find(DEFAULT_BRANCH)
        siblings = [{"rfilename": path} for path in sorted(commit.entries)] if commit and full else []
        return documents.list_item(documents.repo_info(repo, commit, siblings), full=full)


def _commit_at(repo: Repo, revision: str) -> Commit:
    commit = repo.find(revision)
    if commit is None:
        raise revision_not_found(revision)
    return commit


def _paths_asked(request: Request) -> tuple[list[str], bool]:
    """Paths and whether to expand, from a form or from JSON. Raises Refusal for a body that is neither."""
    if "json" not in (request.header("Content-Type") or ""):
        form = parse_qsl(request.body.decode("utf-8", "replace"), keep_blank_values=True)
        paths = [value for name, value in form if name in ("paths", "paths[]")]
        return paths, is_true(dict(form).get("expand"))
    try:
        given = json.loads(request.body)
        paths, expand = given["paths"], bool(given.get("expand", False))
    except (ValueError, KeyError, TypeError, AttributeError):
        raise Refusal(400, "Invalid body: paths are missing") from None
    return ([paths] if isinstance(paths, str) else [str(path) for path in paths]), expand
