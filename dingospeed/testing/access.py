"""Who asks, and what they may see.

The Hub hides what it will not show: a repo that is private is to strangers as if it were not there.
"""

from __future__ import annotations

import base64

from dingospeed.testing.answers import Refusal, authentication_required, repo_not_found
from dingospeed.testing.content import Content, User
from dingospeed.testing.counters import UNKNOWN_TOKEN
from dingospeed.testing.repos import Repo
from dingospeed.testing.wire import Request


def token_of(request: Request) -> str | None:
    """A bearer's token, or the password git sends with any user name."""
    scheme, _, token = (request.header("Authorization") or "").partition(" ")
    if scheme.lower() == "bearer":
        return token.strip()
    if scheme.lower() == "basic":
        try:
            return base64.b64decode(token.strip()).decode().partition(":")[2]
        except ValueError:
            return None
    return None


def name_of_caller(content: Content, request: Request) -> str | None:
    """The user, "?" when nobody has that token, None when no credentials were sent."""
    if request.header("Authorization") is None:
        return None
    user = content.user(token_of(request) or "")
    return user.name if user else UNKNOWN_TOKEN


def caller_of(content: Content, request: Request) -> User | None:
    """None for the anonymous. Raises Refusal for credentials that are not valid."""
    if request.header("Authorization") is None:
        return None
    user = content.user(token_of(request) or "")
    if user is None:
        raise authentication_required("Invalid credentials in Authorization header")
    return user


def is_reader(repo: Repo, caller: User | None) -> bool:
    """Users let in, and those the repo belongs to."""
    return caller is not None and (caller.name in repo.readers or repo.id.partition("/")[0] == caller.name)


def may_know_of(repo: Repo, caller: User | None) -> bool:
    return not repo.private or is_reader(repo, caller)


def may_have_files(repo: Repo, caller: User | None) -> bool:
    return not (repo.gated or repo.private) or is_reader(repo, caller)


def visible(repo: Repo | None, caller: User | None) -> Repo:
    """The repo, if the caller may know of it and it is not disabled. Raises Refusal if not."""
    if repo is None or not may_know_of(repo, caller):
        raise repo_not_found() if caller else authentication_required()
    if repo.disabled:
        raise Refusal(403, "Access to this resource is disabled.")
    return repo


def need_files(repo: Repo, caller: User | None) -> None:
    """Raises Refusal when the repo is gated and the caller was not let in."""
    if may_have_files(repo, caller):
        return
    what = f"{repo.type.removesuffix('s')} {repo.id}"
    if caller is None:
        message = (
            f"Access to {what} is restricted. You must have access to it and be authenticated to access it. "
        )
        raise Refusal(401, message + "Please log in.", "GatedRepo")
    message = f"Access to {what} is restricted and you are not in the authorized list. "
    raise Refusal(
        403, message + f"Visit https://huggingface.co{repo.address} to ask for access.", "GatedRepo"
    )
