"""Who answers which kind of question, as the settings have it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from dingospeed.mirror.cas import Cas
from dingospeed.mirror.catalogue import Catalogue
from dingospeed.mirror.changes import Changes
from dingospeed.mirror.cleaned import Cleaner
from dingospeed.mirror.files import Files
from dingospeed.mirror.forward import Forward
from dingospeed.mirror.git import Git
from dingospeed.mirror.lfs import Lfs
from dingospeed.mirror.raw import Raw
from dingospeed.mirror.registry import Registry
from dingospeed.mirror.repos import Repos
from dingospeed.mirror.xet import Offers
from dingospeed.services.ground import Ground
from dingospeed.services.knowledge import Knowledge
from dingospeed.services.xet import cas_of, offers_of
from dingospeed.sources.lfs import LfsObjects
from dingospeed.store.shelf import Shelf
from dingospeed.upstream.lines import Lines

# Answers to questions that are forwarded, kept on the whole node.
_FORWARDED_KEPT, _FORWARDED_KEPT_BYTES = 16_384, 2 << 30


@dataclass(frozen=True, slots=True)
class Mirror:
    """What callers ask for, by who answers it.

    *forward* passes on what nobody here knows, *changes* what callers want changed, None where they may
    not. *offers* says which files are also to be had by Xet, *cas* gives them, None where none are.
    """

    files: Files
    raw: Raw
    repos: Repos
    catalogue: Catalogue
    registry: Registry
    git: Git
    lfs: Lfs
    offers: Offers
    cas: Cas | None
    forward: Forward
    changes: Changes | None


def mirror_of(ground: Ground, lines: Lines, knowledge: Knowledge, files: Files) -> Mirror:
    settings, documents, layout = ground.settings, ground.documents, ground.layout
    facts, access = knowledge.facts, knowledge.access
    offers = offers_of(settings)
    cleaner = Cleaner(addresses=[line.url for line in settings.upstream.lines])
    return Mirror(
        files=files,
        raw=Raw(files=files),
        repos=Repos(metadata=facts.metadata, trees=facts.trees, access=access, offers=offers),
        catalogue=Catalogue(layout=layout),
        registry=Registry(
            metadata=facts.metadata,
            trees=facts.trees,
            access=access,
            files=files,
            lines=lines,
            records=knowledge.records,
            together=facts.together,
            ttl_s=settings.metadata.ttl_s,
        ),
        git=Git(access=access, lines=lines, metrics=ground.metrics),
        lfs=Lfs(
            access=access,
            trees=facts.trees,
            files=files,
            objects=LfsObjects(),
            lines=lines,
            blobs=ground.blobs,
            records=knowledge.records,
        ),
        offers=offers,
        cas=cas_of(ground, knowledge, files),
        forward=Forward(
            lines=lines,
            access=access,
            together=facts.together,
            shelf=Shelf(
                documents=documents,
                path_of=partial(layout.shelf, "forwarded"),
                most=_FORWARDED_KEPT,
                most_bytes=_FORWARDED_KEPT_BYTES,
            ),
            cleaner=cleaner,
            changed_at=knowledge.changed_at,
            ttl_s=settings.metadata.ttl_s,
        ),
        changes=Changes(lines=lines, cleaner=cleaner, documents=documents, layout=layout)
        if settings.access.allow_uploads
        else None,
    )
