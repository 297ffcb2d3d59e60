"""What goes on that nobody waits for, as the settings have it, put on the timetable."""

from __future__ import annotations

from dataclasses import dataclass

from dingospeed.services.alerting import alerts_of
from dingospeed.services.cleaning import caretaker_of
from dingospeed.services.ground import Ground
from dingospeed.services.group import Group, group_jobs_of, keep_copies
from dingospeed.services.knowledge import Knowledge
from dingospeed.services.mounts import mounts_of
from dingospeed.services.reading import Reading
from dingospeed.services.warmup import WarmUp, warm_up_of
from dingospeed.services.watch import Watch, watch_of
from dingospeed.upkeep.alerts import Alerts
from dingospeed.upkeep.caretaker import Caretaker
from dingospeed.upkeep.desk import Desk
from dingospeed.upkeep.diskhistory import NOTE_EVERY_S, DiskHistory
from dingospeed.upkeep.jobfiles import JobFiles
from dingospeed.upkeep.mounts import Mounts
from dingospeed.upstream.lines import Lines


@dataclass(frozen=True, slots=True)
class Upkeep:
    """*desk* takes jobs of the node and its group, *warm_up* runs them; *watch* knows what goes on."""

    warm_up: WarmUp
    desk: Desk
    mounts: Mounts
    caretaker: Caretaker
    disk_history: DiskHistory
    watch: Watch
    alerts: Alerts


def upkeep_of(
    ground: Ground, lines: Lines, group: Group | None, knowledge: Knowledge, reading: Reading
) -> Upkeep:
    """In the order in which the chores are begun, when this worker takes over."""
    layout, documents, timetable = ground.layout, ground.documents, ground.timetable
    disk_history = DiskHistory(folder=layout.root, path=layout.disk_history, documents=documents)
    timetable.every(NOTE_EVERY_S, "note how full the disk is", disk_history.note)
    jobs = JobFiles(documents=documents, layout=layout, leases=ground.leases)
    warm_up = warm_up_of(ground, lines, knowledge, reading, jobs)
    mounts = mounts_of(ground, knowledge, warm_up.warmups, reading.uses)
    keep_copies(ground, group, reading.readers.ahead)
    watch = watch_of(ground, lines, jobs)
    return Upkeep(
        warm_up=warm_up,
        desk=Desk(own=warm_up.warmups, group=group_jobs_of(ground, group, jobs)),
        mounts=mounts,
        caretaker=caretaker_of(ground, group),
        disk_history=disk_history,
        watch=watch,
        alerts=alerts_of(ground, watch.board, jobs, group),
    )
