"""Everything that can go wrong, by what the caller can do about it.

Every error knows the HTTP status it would be answered with and, where the Hub has
one, the ``X-Error-Code`` clients tell errors apart by (hub: RepoNotFound,
RevisionNotFound, EntryNotFound, GatedRepo). Which words a client sees is decided
here too; an address of the upstream or a token never stands in a message.
"""

from __future__ import annotations


class DingospeedError(Exception):
    """The root of all errors raised on purpose."""

    status = 500
    code: str | None = None
    retry_after_s: int | None = None


# --- what was asked can not be had: answers in the Hub's shape -----------------


class Refusal(DingospeedError):
    """The answer is no, and asking again will not change it.

    *phrase* stands in the status line in place of the usual words: some clients show nothing else.
    """

    status = 403
    phrase: str | None = None


class BadRequest(Refusal):
    """The request itself makes no sense."""

    status = 400
    code = "BadRequest"


class RepoNotFound(Refusal):
    """There is no such repo, or the caller may not know of it."""

    status = 404
    code = "RepoNotFound"

    def __init__(self, repo: str, *, anonymous: bool = False) -> None:
        # The Hub says 401 to the anonymous: with a token the answer could be another.
        if anonymous:
            self.status = 401
            super().__init__("Invalid username or password.")
        else:
            super().__init__(f"Repository not found: {repo[:120]}")


class RevisionNotFound(Refusal):
    """The repo has no such branch, tag or commit."""

    status = 404
    code = "RevisionNotFound"

    def __init__(self, revision: str) -> None:
        super().__init__(f"Invalid rev id: {revision[:200]}")


class EntryNotFound(Refusal):
    """The commit has no such file or folder; clients remember that by commit."""

    status = 404
    code = "EntryNotFound"

    def __init__(self, path: str, *, commit: str) -> None:
        self.commit = commit
        self.path = path
        super().__init__("Entry not found")


class GatedRepo(Refusal):
    """The repo's files are given to those its owners let in."""

    code = "GatedRepo"

    def __init__(self, repo: str, *, anonymous: bool) -> None:
        self.status = 401 if anonymous else 403
        what = "Please log in." if anonymous else "Ask for access on its page first."
        super().__init__(f"Access to {repo} is restricted. {what}")


class InvalidCredentials(Refusal):
    """The Hub does not know this token. Never to be taken for "not found"."""

    status = 401

    def __init__(self) -> None:
        super().__init__("Invalid credentials in Authorization header")


class Forbidden(Refusal):
    """Refused for a reason the message tells."""


class RangeNotSatisfiable(Refusal):
    """The range begins behind the end of the file."""

    status = 416

    def __init__(self, size: int) -> None:
        self.size = size
        super().__init__(f"The file has {size} bytes")


class Moved(DingospeedError):
    """The repo *id* has another name now: *to*."""

    status = 307

    def __init__(self, id: str, *, to: str) -> None:
        self.id = id
        self.to = to
        super().__init__(f"Moved to {to}")


# --- the outside did not answer: asking again may help -------------------------


class UpstreamError(DingospeedError):
    """Something outside failed; never to be mistaken for an answer."""

    status = 502
    retry_after_s: int | None = 5


class LineFailed(UpstreamError):
    """One line did not deliver; the next may. *line* is its name in our logs."""

    def __init__(self, line: str, why: str) -> None:
        self.line = line
        self.why = why
        super().__init__(f"line {line}: {why}")


class NotServed(LineFailed):
    """The line works, and does not serve this one thing. Nothing to hold against it."""


class RateLimited(LineFailed):
    """The line answered 429: it will not serve us for *wait_s* seconds.

    *budget* names what is used up (a bucket and an account); "" is the line as a whole.
    """

    status = 429

    def __init__(self, line: str, wait_s: float, budget: str = "") -> None:
        self.wait_s = wait_s
        self.budget = budget
        self.retry_after_s = max(1, round(wait_s))
        super().__init__(line, f"rate limited for {wait_s:.0f} s")


class WrongSize(UpstreamError):
    """The size told for *etag* is not that of the content it names, which is held here."""

    def __init__(self, etag: str, *, told: int, held: int) -> None:
        super().__init__(f"{etag} was said to have {told} bytes, its content has {held}")


class NoLine(UpstreamError):
    """No line could answer, and nothing held here can stand in for it."""

    status = 503

    def __init__(self, why: str = "no upstream line answers") -> None:
        super().__init__(why)


class Offline(NoLine):
    """This node never asks outside, and does not hold what was asked for."""

    retry_after_s = None

    def __init__(self) -> None:
        super().__init__("this mirror is offline and does not hold what was asked for")


# --- our own disk --------------------------------------------------------------


class StoreError(DingospeedError):
    """The cache could not do its part."""


class StoreFull(StoreError):
    """No space left. Clients are served straight through meanwhile."""

    status = 507


class BadBlockFile(StoreError):
    """A half-filled file whose header does not belong to it; it was set aside."""


class ContentMismatch(StoreError):
    """All bytes arrived and their hash is wrong: nothing was kept."""

    status = 502
    retry_after_s = 1

    def __init__(self, etag: str, found: str) -> None:
        self.etag = etag
        self.found = found
        super().__init__(f"content of {etag} has hash {found}")


class LinkDown(DingospeedError):
    """Redis did not do what was asked of it, or was not asked because it did not a moment ago."""


class ConfigError(DingospeedError):
    """A setting is wrong. The message names where, what was expected and found."""
