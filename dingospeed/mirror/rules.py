"""What the operator says about repos: which are served and kept, and whom the node's own token serves.

Nothing here asks anybody; each answer follows from the settings, the repo and the caller.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from ipaddress import ip_address, ip_network

from dingospeed.errors import Forbidden
from dingospeed.model import Caller, RepoRef

_WILD = {"*": ".*", "?": "[^/]"}


class NotServedHere(Forbidden):
    """The operator of this mirror does not want it to serve the repo, whoever asks."""

    def __init__(self) -> None:
        super().__init__("This mirror does not serve this repo")


class Globs:
    """Repos by patterns of their ids, with or without the type before them.

    ``*`` is any text, slashes too, and ``?`` one character. Upper and lower case are one, as on
    the Hub: there it leads from one to the other.
    """

    def __init__(self, patterns: Iterable[str]) -> None:
        patterns = tuple(patterns)
        self.are_none, self.are_all = not patterns, "*" in patterns
        each = ("".join(_WILD.get(char, re.escape(char)) for char in pattern) for pattern in patterns)
        self._pattern = re.compile("|".join(each) or r"(?!)", re.IGNORECASE)

    def match(self, repo: RepoRef) -> bool:
        if self.are_all or self.are_none:
            return self.are_all
        match = self._pattern.fullmatch
        return match(repo.id) is not None or match(str(repo)) is not None


class RepoRules:
    """Which repos are served, and of which the files are kept. What is refused wins over what is allowed."""

    def __init__(
        self,
        *,
        allow: Iterable[str] = ("*",),
        deny: Iterable[str] = (),
        cache: Iterable[str] = ("*",),
        no_cache: Iterable[str] = (),
    ) -> None:
        self._allow, self._deny = Globs(allow), Globs(deny)
        self._cache, self._no_cache = Globs(cache), Globs(no_cache)
        self.serve_all = self._allow.are_all and self._deny.are_none

    def check_served(self, repo: RepoRef, *perhaps: RepoRef) -> None:
        """Raises NotServedHere for a repo that is not allowed, or that is or *perhaps* is a denied one."""
        if not self._allow.match(repo) or any(map(self._deny.match, (repo, *perhaps))):
            raise NotServedHere()

    def is_kept(self, repo: RepoRef) -> bool:
        """Whether the bytes of its files are kept."""
        return self._cache.match(repo) and not self._no_cache.match(repo)


@dataclass(frozen=True, slots=True)
class NodeTokenRule:
    """Callers from *networks* may have what the node's own token may, of the *repos* matched."""

    repos: Globs
    networks: tuple[str, ...]

    def match(self, repo: RepoRef, address: str) -> bool:
        try:
            found = ip_address(address)
        except ValueError:
            return False
        mapped = getattr(found, "ipv4_mapped", None) or found
        return self.repos.match(repo) and any(mapped in ip_network(network) for network in self.networks)


class NodeToken:
    """For whom the node's own token stands in. Who sends a token is judged by that alone.

    Without a rule it stands in for nobody, and nothing that is not public is ever asked with it.
    """

    def __init__(self, rules: Sequence[NodeTokenRule] = ()) -> None:
        self._rules = tuple(rules)

    def stands_in(self, repo: RepoRef, caller: Caller) -> bool:
        return caller.token is None and any(rule.match(repo, caller.address) for rule in self._rules)
