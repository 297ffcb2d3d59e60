"""Bytes that went from node to node, over the whole group, for the picture of it.

    <group>:traffic:<hour>   {"from>to": bytes}, for two hours

Counted where they arrive, told and read again by a thread of each worker.
"""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from dingospeed.errors import LinkDown

if TYPE_CHECKING:
    from dingospeed.cluster.link import Command, Link

log = logging.getLogger(__name__)

_HOUR = 3600
_TELL_S = 2.0


class Traffic:
    """Counts for the node *id*; *now_s* is the group's time, None while that is not known."""

    def __init__(self, *, link: Link, group: str, id: str, now_s: Callable[[], float | None]) -> None:
        self.between: Mapping[tuple[str, str], int] = {}
        self._link = link
        self._group = group
        self._id = id
        self._now_s = now_s
        self._untold: Counter[str] = Counter()
        self._lock = threading.Lock()
        self._stopped = threading.Event()

    def start(self) -> None:
        """Begin to tell. Called once, after the fork."""
        threading.Thread(target=self._run, name="group-traffic", daemon=True).start()

    def stop(self) -> None:
        self._stopped.set()

    def received(self, sender: str, count: int) -> None:
        """So many bytes came from the node *sender*."""
        with self._lock:
            self._untold[sender] += count

    def tell(self) -> None:
        """Add what was counted here; learn what all counted in this hour and the last. Raises LinkDown."""
        now = self._now_s()
        if now is None:
            return
        key, before = (f"{self._group}:traffic:{int(now) // _HOUR - past}" for past in (0, 1))
        with self._lock:
            counted, self._untold = self._untold, Counter()
        commands: list[Command] = [
            ("HINCRBY", key, f"{sender}>{self._id}", count) for sender, count in counted.items()
        ]
        commands += [("EXPIRE", key, 2 * _HOUR), ("HGETALL", key), ("HGETALL", before)]
        try:
            answers = self._link.run(commands)
        except LinkDown:
            with self._lock:
                self._untold.update(counted)
            raise
        between: Counter[tuple[str, str]] = Counter()
        for said in answers[-2:]:
            for name, count in said.items():
                sender, _, receiver = name.partition(">")
                between[sender, receiver] += int(count)
        self.between = between

    def _run(self) -> None:
        while not self._stopped.wait(_TELL_S):
            try:
                self.tell()
            except LinkDown as error:
                log.debug("traffic not told: %s", error)
            except Exception:
                # The thread's top: it is only a count.
                log.exception("traffic could not be told")
