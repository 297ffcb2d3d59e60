"""What other nodes of the group are given, as the settings have it."""

from __future__ import annotations

from dataclasses import dataclass

from dingospeed.download.reader import Reader
from dingospeed.mirror.lending import Lending
from dingospeed.mirror.telling import Telling
from dingospeed.services.ground import Ground
from dingospeed.services.group import Group
from dingospeed.services.knowledge import Knowledge
from dingospeed.sources.chain import Chain


@dataclass(frozen=True, slots=True)
class Lent:
    """What other nodes are given: bytes, and answers of the Hub."""

    lending: Lending
    telling: Telling


def lent_of(
    ground: Ground, chain: Chain, reader: Reader, group: Group | None, knowledge: Knowledge
) -> Lent | None:
    """All that is for other nodes, none of which asks others again; None in no group."""
    if group is None:
        return None
    facts, rules = knowledge.for_peers, knowledge.rules
    lending = Lending(
        reader=reader,
        chain=chain,
        rules=rules,
        inventory=group.inventory,
        holdings=group.holdings,
        cell_bytes=ground.settings.download.segment_bytes,
        is_asking=group.peers.is_asking,
    )
    return Lent(lending=lending, telling=Telling(metadata=facts.metadata, trees=facts.trees, rules=rules))
