"""Everything the fake Hub knows: repos, users, renamings, and how it is set up.

Two lines may share one content: the same Hub, reached by two ways.
"""

from __future__ import annotations

from dataclasses import dataclass
from threading import Lock

from dingospeed.testing.payload import Payload
from dingospeed.testing.repos import PREFIXES, Entry, Gated, Repo


@dataclass(frozen=True, slots=True)
class User:
    name: str
    token: str


class Content:
    """The repos and users, and what can be set about how they are shown."""

    def __init__(self) -> None:
        self.page_size = 1000
        self.expanded_page_size = 50
        self.signature_lifetime_s = 3600.0
        self.gated_tree_visible = True
        # Nobody answers there: a client that goes round the mirror fails where it can be seen.
        self.cas_url = "http://127.0.0.1:9"
        self.repos: dict[tuple[str, str], Repo] = {}
        self._moves: dict[tuple[str, str], str] = {}
        self._users: dict[str, User] = {}
        self._published: dict[str, Payload] = {}
        self._lock = Lock()

    # --- repos -----------------------------------------------------------------

    def add_repo(self, type: str, id: str, *, private: bool = False, gated: Gated = False) -> Repo:
        """A new repo without a commit. Raises ValueError for a type that does not exist."""
        if type not in PREFIXES:
            raise ValueError(f"{type!r} is none of {', '.join(PREFIXES)}")
        repo = Repo(type, id, private=private, gated=gated)
        with self._lock:
            self.repos[type, id] = repo
            self._moves.pop((type, id), None)
        return repo

    def remove_repo(self, type: str, id: str) -> None:
        with self._lock:
            del self.repos[type, id]

    def move(self, type: str, old: str, new: str) -> None:
        """From now on *old* is another name of *new*; a repo called *old* is renamed."""
        with self._lock:
            repo = self.repos.pop((type, old), None)
            if repo is not None:
                repo.id = new
                self.repos[type, new] = repo
            self._moves[type, old] = new

    def repo(self, type: str, id: str) -> Repo | None:
        return self.repos.get((type, id))

    def new_name(self, type: str, id: str) -> str | None:
        """Where a repo asked for by a former name, or with wrong capitals, is to be found."""
        if (type, id) in self.repos:
            return None
        moved, seen = self._moves.get((type, id)), {id}
        while moved is not None and (type, moved) not in self.repos and moved not in seen:
            seen.add(moved)
            moved = self._moves.get((type, moved))
        if moved is not None:
            return moved
        return next(
            (name for kind, name in list(self.repos) if kind == type and name.lower() == id.lower()), None
        )

    def knows(self, type: str, id: str) -> bool:
        return self.repo(type, id) is not None or self.new_name(type, id) is not None

    def publish(self, entry: Entry) -> str:
        """Make an LFS file known to the CDNs. Returns the name it has there, the xet hash."""
        self._published[entry.xet_hash] = entry.payload
        return entry.xet_hash

    def published(self, xet_hash: str) -> Payload | None:
        return self._published.get(xet_hash)

    # --- users -----------------------------------------------------------------

    def add_user(self, name: str, *, token: str) -> User:
        user = User(name, token)
        self._users[token] = user
        return user

    def remove_user(self, name: str) -> None:
        """Its token is not valid any more."""
        self._users = {token: user for token, user in self._users.items() if user.name != name}

    def user(self, token: str) -> User | None:
        return self._users.get(token)
