"""The caretaker of the cache and its chores, as the settings have them."""

from __future__ import annotations

from dingospeed.services.ground import Ground
from dingospeed.services.group import Group
from dingospeed.upkeep.apart import Task, spare_s
from dingospeed.upkeep.caretaker import LOOK_S, Caretaker
from dingospeed.upkeep.lastcopies import membership_of


def caretaker_of(ground: Ground, group: Group | None) -> Caretaker:
    """Made, and put on the timetable."""

    def news() -> object:
        """Another when the *group* is to be told what is kept: a pin came or went, or Redis was emptied."""
        if group is None:
            return None
        folder = ground.layout.pin("x").parent
        return group.registry.snapshot.epoch, folder.stat().st_mtime_ns if folder.is_dir() else None

    settings, timetable = ground.settings, ground.timetable
    caretaker = Caretaker(
        task=Task(
            repos=ground.layout.root,
            cleaning=settings.cleaning,
            log=settings.log,
            spare_s=spare_s(settings),
            group=membership_of(settings),
        ),
        layout=ground.layout,
        documents=ground.documents,
        metrics=ground.metrics,
        news=news,
    )
    cleaning = settings.cleaning
    # Where nothing is ever cleaned, the figures can wait until all else has started.
    is_urgent = cleaning.high_water is not None or cleaning.older_than_s is not None
    timetable.every(min(LOOK_S, cleaning.interval_s), "cleaning", caretaker.look, at_once=is_urgent)
    if cleaning.daily is not None:
        timetable.daily(cleaning.daily, "cleaning of the day", caretaker.clean_down)
    return caretaker
