"""What is known of repos and who may have them, as the settings have it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from dingospeed.config import Settings
from dingospeed.mirror import changes
from dingospeed.mirror.absences import Absences
from dingospeed.mirror.access import Access
from dingospeed.mirror.decisions import AccessTimes, Decisions
from dingospeed.mirror.hearsay import Hearsay
from dingospeed.mirror.metadata import Metadata
from dingospeed.mirror.questions import Questions
from dingospeed.mirror.records import Records
from dingospeed.mirror.rules import Globs, NodeToken, NodeTokenRule, RepoRules
from dingospeed.mirror.together import Together
from dingospeed.mirror.trees import Trees
from dingospeed.model import RepoRef
from dingospeed.services.ground import Ground
from dingospeed.services.group import Group
from dingospeed.sources.answers import Answers
from dingospeed.store.keys import own_key
from dingospeed.store.shelf import Shelf
from dingospeed.upstream.lines import Lines

# Refused callers: anybody can make up tokens, so only the latest are remembered.
_DENIALS_KEPT, _DENIALS_KEPT_BYTES = 16_384, 16 << 20


@dataclass(frozen=True, slots=True)
class Facts:
    """What the Hub said, asked for *together*: of repos and revisions (*metadata*), of files (*trees*)."""

    together: Together
    metadata: Metadata
    trees: Trees


@dataclass(frozen=True, slots=True)
class Knowledge:
    """*facts* may come from other nodes; those *for_peers* do not, and wait for no question that does.
    What becomes known is kept in the *records*.

    *access* says which caller may have a repo, *rules* whether anybody may here.
    *changed_at* tells when a repo was last changed through this node, in seconds since the epoch.
    """

    records: Records
    facts: Facts
    for_peers: Facts
    rules: RepoRules
    access: Access
    changed_at: Callable[[RepoRef], float]


def knowledge_of(ground: Ground, lines: Lines, group: Group | None) -> Knowledge:
    settings, layout = ground.settings, ground.layout
    node_token = NodeToken(
        [NodeTokenRule(Globs(rule.repos), rule.networks) for rule in settings.access.node_token]
    )
    questions = Questions(lines=lines, node_token=node_token)
    records = Records(documents=ground.documents, layout=layout)
    changed_at = partial(changes.changed_at, layout)
    salt = own_key(layout.key("salt")).encode()
    denials = _denials_of(ground)
    absences = Absences(shelf=denials, salt=salt, ttl_s=settings.access.denied_ttl_s, changed_at=changed_at)
    metadata = partial(
        Metadata, questions=questions, records=records, absences=absences, ttl_s=settings.metadata.ttl_s
    )
    trees = partial(Trees, questions=questions, records=records, wait_s=settings.metadata.wait_tree_s)

    def facts_of(hearsay: Hearsay | None) -> Facts:
        together = Together(leases=ground.leases)
        return Facts(
            together=together,
            metadata=metadata(together=together, hearsay=hearsay),
            trees=trees(together=together, hearsay=hearsay),
        )

    facts = facts_of(_hearsay_of(records, group))
    access = Access(
        metadata=facts.metadata,
        together=facts.together,
        questions=questions,
        decisions=_decisions_of(ground, denials, salt),
        node_token=node_token,
    )
    return Knowledge(
        records=records,
        facts=facts,
        for_peers=facts_of(None),
        rules=_rules_of(settings),
        access=access,
        changed_at=changed_at,
    )


def _denials_of(ground: Ground) -> Shelf:
    return Shelf(
        documents=ground.documents,
        path_of=partial(ground.layout.shelf, "denials"),
        most=_DENIALS_KEPT,
        most_bytes=_DENIALS_KEPT_BYTES,
    )


def _decisions_of(ground: Ground, denials: Shelf, salt: bytes) -> Decisions:
    access = ground.settings.access
    times = AccessTimes(access.allowed_ttl_s, access.denied_ttl_s, access.offline_grace_s)
    return Decisions(
        documents=ground.documents, layout=ground.layout, denials=denials, salt=salt, times=times
    )


def _hearsay_of(records: Records, group: Group | None) -> Hearsay | None:
    """What is heard from other nodes instead of being asked outside; None in no group."""
    return (
        Hearsay(answers=Answers(neighbours=group.neighbours), records=records) if group is not None else None
    )


def _rules_of(settings: Settings) -> RepoRules:
    access = settings.access
    return RepoRules(allow=access.allow, deny=access.deny, cache=access.cache, no_cache=access.no_cache)
