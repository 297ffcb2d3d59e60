"""Who reads files of the Hub, as the settings have it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from dingospeed.mirror.files import Files
from dingospeed.services.downloads import Readers
from dingospeed.services.ground import Ground
from dingospeed.services.group import Group
from dingospeed.services.knowledge import Knowledge
from dingospeed.sources.chain import Chain
from dingospeed.sources.nearest import Nearest
from dingospeed.upkeep.uses import Uses


@dataclass(frozen=True, slots=True)
class Reading:
    """Files are opened *for_clients*, which counts among the *uses* of a repo, and *ahead* of them.

    Each has a reader of its own among the *readers*.
    """

    readers: Readers
    for_clients: Files
    ahead: Files
    uses: Uses


def reading_of(
    ground: Ground, chain: Chain, readers: Readers, group: Group | None, knowledge: Knowledge
) -> Reading:
    uses = Uses(documents=ground.documents, path=ground.layout.uses, leases=ground.leases)
    files = partial(
        Files,
        trees=knowledge.facts.trees,
        access=knowledge.access,
        sources=chain,
        blobs=ground.blobs,
        rules=knowledge.rules,
    )
    if group is not None:
        sources = Nearest(peers=group.peers, chain=chain)
        files = partial(files, sources=sources, on_read=group.copies.note_read)
    return Reading(
        readers=readers,
        for_clients=files(
            reader=readers.for_clients, on_open=lambda repo, caller: uses.note(repo, caller.address)
        ),
        ahead=files(reader=readers.ahead),
        uses=uses,
    )
