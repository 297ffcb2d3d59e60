"""The one place where parts are connected: settings in, a working mirror out.

What differs between nodes is decided here and nowhere else: an offline node is one
without lines, a node of its own one without peers.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from prometheus_client import CollectorRegistry

from dingospeed.config import Settings
from dingospeed.flight.demand import Demand
from dingospeed.flight.leases import Leases
from dingospeed.flight.places import Places
from dingospeed.metrics import Metrics
from dingospeed.mirror import changes
from dingospeed.mirror.absences import Absences
from dingospeed.mirror.access import Access, AccessTimes
from dingospeed.mirror.cas import Cas
from dingospeed.mirror.catalogue import Catalogue
from dingospeed.mirror.changes import Changes
from dingospeed.mirror.cleaned import Cleaner
from dingospeed.mirror.files import Files
from dingospeed.mirror.forward import Forward
from dingospeed.mirror.git import Git
from dingospeed.mirror.lfs import Lfs
from dingospeed.mirror.metadata import Metadata
from dingospeed.mirror.questions import Questions
from dingospeed.mirror.raw import Raw
from dingospeed.mirror.registry import Registry
from dingospeed.mirror.repos import Repos
from dingospeed.mirror.rules import Globs, NodeToken, NodeTokenRule, RepoRules
from dingospeed.mirror.together import Together
from dingospeed.mirror.trees import Trees
from dingospeed.mirror.xet import Offers
from dingospeed.services.alerting import alerts_of
from dingospeed.services.cleaning import caretaker_of
from dingospeed.services.downloads import lines_of, readers_of, share_of
from dingospeed.services.group import (
    Group,
    Lent,
    Parts,
    group_jobs_of,
    group_of,
    hearsay_of,
    keep_copies,
    lent_of,
)
from dingospeed.services.mounts import mounts_of
from dingospeed.services.warmup import WarmUp, schedule, warm_up_of
from dingospeed.services.watch import Watch, watch_of
from dingospeed.services.xet import cas_of, offers_of
from dingospeed.sources.chain import Chain, Persistence
from dingospeed.sources.lfs import LfsObjects
from dingospeed.store.blobs import Blobs
from dingospeed.store.documents import Documents
from dingospeed.store.keys import own_key
from dingospeed.store.layout import Layout
from dingospeed.store.shelf import Shelf
from dingospeed.upkeep.alerts import Alerts
from dingospeed.upkeep.caretaker import Caretaker
from dingospeed.upkeep.desk import Desk
from dingospeed.upkeep.diskhistory import NOTE_EVERY_S, DiskHistory
from dingospeed.upkeep.jobfiles import JobFiles
from dingospeed.upkeep.mounts import Mounts
from dingospeed.upkeep.planning import Planner
from dingospeed.upkeep.timetable import Timetable
from dingospeed.upkeep.uses import Uses
from dingospeed.upstream.lines import Lines

# Answers to questions that are forwarded, kept on the whole node.
_FORWARDED_KEPT, _FORWARDED_KEPT_BYTES = 16_384, 2 << 30
# Refused callers: anybody can make up tokens, so only the latest are remembered.
_DENIALS_KEPT, _DENIALS_KEPT_BYTES = 16_384, 16 << 20


@dataclass(frozen=True, slots=True)
class Services:
    """What the web floor asks."""

    settings: Settings
    registry: CollectorRegistry
    metrics: Metrics
    layout: Layout
    leases: Leases
    lines: Lines
    repo_rules: RepoRules
    blobs: Blobs
    access: Access
    files: Files
    raw: Raw
    model_registry: Registry
    repos: Repos
    catalogue: Catalogue
    disk_history: DiskHistory
    forward: Forward
    changes: Changes | None
    git: Git
    lfs: Lfs
    warm_up: WarmUp
    desk: Desk
    mounts: Mounts
    offers: Offers
    cas: Cas | None
    transfer_places: Places | None
    question_places: Places | None
    timetable: Timetable
    group: Group | None
    lent: Lent | None
    watch: Watch
    session_key: str
    alerts: Alerts
    caretaker: Caretaker
    admin_token: str

    def start(self, is_wanted: Callable[[], bool]) -> None:
        """Begin what goes on by itself, after the fork, for as long as the worker *is_wanted*."""
        self.timetable.start()
        self.watch.pulse.start(is_wanted)
        if self.group is not None:
            self.group.start()

    def stop(self) -> None:
        """The worker ends: the others are to know."""
        if self.group is not None:
            self.group.stop()


def connect(settings: Settings) -> Services:
    """Build the mirror of one worker process. Raises StoreError when the cache can not be used."""
    registry = CollectorRegistry()
    metrics = Metrics(registry)
    layout = Layout(settings.cache.repos)
    layout.prepare()
    leases = Leases(path_of=layout.lease, observe=metrics.lease_wait_seconds.observe)
    blobs = Blobs(layout=layout, block_bytes=settings.download.block_bytes)
    documents = Documents(memory_bytes=settings.metadata.memory_bytes)
    lines = lines_of(settings, metrics)
    timetable = Timetable(leases=leases)
    disk_history = DiskHistory(folder=layout.root, path=layout.disk_history, documents=documents)
    timetable.every(NOTE_EVERY_S, "note how full the disk is", disk_history.note)
    demand = Demand(path=layout.lease("demand"))
    readers = readers_of(settings, blobs, leases, metrics, demand)
    group = group_of(settings, Parts(layout, leases, blobs, readers.fillings, lines, metrics))

    repo_rules = RepoRules(
        allow=settings.access.allow,
        deny=settings.access.deny,
        cache=settings.access.cache,
        no_cache=settings.access.no_cache,
    )
    node_token = NodeToken(
        [NodeTokenRule(Globs(rule.repos), rule.networks) for rule in settings.access.node_token]
    )
    questions = Questions(lines=lines, node_token=node_token)
    together = Together(leases=leases)
    changed_at = partial(changes.changed_at, layout)
    denials = Shelf(
        documents=documents,
        path_of=partial(layout.shelf, "denials"),
        most=_DENIALS_KEPT,
        most_bytes=_DENIALS_KEPT_BYTES,
    )
    hearsay = hearsay_of(group, documents, layout)
    metadata_by = partial(
        Metadata,
        questions=questions,
        documents=documents,
        layout=layout,
        absences=Absences(
            shelf=denials,
            salt=own_key(layout.key("salt")).encode(),
            ttl_s=settings.access.denied_ttl_s,
            changed_at=changed_at,
        ),
        ttl_s=settings.metadata.ttl_s,
    )
    trees_by = partial(
        Trees,
        questions=questions,
        documents=documents,
        layout=layout,
        wait_s=settings.metadata.wait_tree_s,
    )
    metadata = metadata_by(together=together, hearsay=hearsay)
    trees = trees_by(together=together, hearsay=hearsay)
    access = Access(
        metadata=metadata,
        together=together,
        questions=questions,
        documents=documents,
        layout=layout,
        times=AccessTimes(
            allowed_s=settings.access.allowed_ttl_s,
            denied_s=settings.access.denied_ttl_s,
            offline_grace_s=settings.access.offline_grace_s,
        ),
        denials=denials,
        node_token=node_token,
    )
    chain = Chain(
        lines=lines,
        persistence=Persistence(settings.upstream.retries, settings.upstream.retry_max_wait_s),
        rejections=lambda meta: blobs.rejections(meta.blob),
        connections={line.name: share_of(line.max_connections, settings) for line in settings.upstream.lines},
        metrics=metrics,
    )
    files_read_by = partial(
        Files,
        trees=trees,
        access=access,
        chain=chain,
        blobs=blobs,
        rules=repo_rules,
        peers=None if group is None else group.peers,
        on_read=None if group is None else group.copies.note_read,
    )
    uses = Uses(documents=documents, path=layout.uses, leases=leases)
    files = files_read_by(
        reader=readers.for_clients, on_open=lambda repo, caller: uses.note(repo, caller.address)
    )
    jobs = JobFiles(documents=documents, layout=layout, leases=leases)
    # What is asked for another node waits for no question that may itself wait for a node.
    apart = Together(leases=leases)
    lent = lent_of(
        group,
        reader=readers.for_peers,
        chain=chain,
        rules=repo_rules,
        metadata=metadata_by(together=apart),
        trees=trees_by(together=apart),
    )
    warm_up = warm_up_of(
        settings,
        jobs=jobs,
        planner=Planner(access=access, trees=trees, metadata=metadata, rules=repo_rules),
        files=files_read_by(reader=readers.ahead),
        blobs=blobs,
        lines=lines,
        leases=leases,
        demand=demand,
    )
    schedule(settings, warm_up, timetable)
    mounts = mounts_of(
        settings,
        metadata=metadata,
        trees=trees,
        rules=repo_rules,
        warmups=warm_up.warmups,
        uses=uses,
        documents=documents,
        layout=layout,
        leases=leases,
    )
    timetable.every(settings.mounts.check_s, "mounts", mounts.refresh)
    keep_copies(settings, group, readers.ahead, layout, timetable)
    offers = offers_of(settings)
    make_cas = partial(Cas, access=access, trees=trees, files=files, blobs=blobs, rules=repo_rules)
    cleaner = Cleaner(addresses=[line.url for line in settings.upstream.lines])
    watch = watch_of(
        metrics=metrics,
        layout=layout,
        documents=documents,
        lines=lines,
        timetable=timetable,
        jobs=jobs.all,
        fetched=lambda: metrics.fetched_bytes,
    )
    return Services(
        settings=settings,
        registry=registry,
        metrics=metrics,
        layout=layout,
        leases=leases,
        lines=lines,
        repo_rules=repo_rules,
        blobs=blobs,
        access=access,
        files=files,
        raw=Raw(files=files),
        model_registry=Registry(
            metadata=metadata,
            trees=trees,
            access=access,
            files=files,
            lines=lines,
            documents=documents,
            layout=layout,
            together=together,
            ttl_s=settings.metadata.ttl_s,
        ),
        repos=Repos(metadata=metadata, trees=trees, access=access, offers=offers),
        catalogue=Catalogue(layout=layout),
        disk_history=disk_history,
        forward=Forward(
            lines=lines,
            access=access,
            together=together,
            shelf=Shelf(
                documents=documents,
                path_of=partial(layout.shelf, "forwarded"),
                most=_FORWARDED_KEPT,
                most_bytes=_FORWARDED_KEPT_BYTES,
            ),
            cleaner=cleaner,
            changed_at=changed_at,
            ttl_s=settings.metadata.ttl_s,
        ),
        changes=Changes(lines=lines, cleaner=cleaner, documents=documents, layout=layout)
        if settings.access.allow_uploads
        else None,
        git=Git(access=access, lines=lines, metrics=metrics),
        lfs=Lfs(
            access=access,
            trees=trees,
            files=files,
            objects=LfsObjects(),
            lines=lines,
            blobs=blobs,
            documents=documents,
            layout=layout,
        ),
        warm_up=warm_up,
        desk=Desk(own=warm_up.warmups, group=group_jobs_of(group, jobs, timetable)),
        mounts=mounts,
        offers=offers,
        cas=cas_of(settings, layout, make_cas),
        transfer_places=_places(leases, "transfer", settings.server.limits.client_transfers),
        question_places=_places(leases, "question", settings.server.limits.client_questions),
        group=group,
        lent=lent,
        timetable=timetable,
        watch=watch,
        alerts=alerts_of(
            settings,
            layout=layout,
            documents=documents,
            board=watch.board,
            jobs=jobs.all,
            nodes=lambda: group.told()["nodes"] if group is not None else (),
            timetable=timetable,
        ),
        caretaker=caretaker_of(settings, layout, documents, metrics, timetable, group),
        admin_token=admin_token_of(settings, layout),
        session_key=own_key(layout.key("session")),
    )


def admin_token_of(settings: Settings, layout: Layout) -> str:
    """The admin token: the settings', else a key of the cache, made when there is none yet.

    Raises StoreError when it can be neither read nor made.
    """
    token = settings.admin.token
    return token.get_secret_value() if token is not None else own_key(layout.key("admin"))


def _places(leases: Leases, name: str, most: int | None) -> Places | None:
    return Places(leases=leases, name=name, most=most) if most else None
