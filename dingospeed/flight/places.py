"""So many at once for each key, among all processes of a node: a row of leases.

A process that dies gives its places back, as with every lease.
"""

from __future__ import annotations

import time

from dingospeed.flight.leases import Lease, Leases

_POLL_S = 0.05


class Places:
    """*most* places for each key; *name* tells them from the places of others."""

    def __init__(self, *, leases: Leases, name: str, most: int) -> None:
        self._leases = leases
        self._name = name
        self._most = most

    def take(self, key: str, *, wait_s: float) -> Lease | None:
        """A place, given back by releasing it. None when for *wait_s* all were taken.

        Raises StoreError when no lease can be had at all.
        """
        deadline = time.monotonic() + wait_s
        while True:
            for number in range(self._most):
                lease = self._leases.try_acquire(f"{self._name} {key} {number}")
                if lease is not None:
                    return lease
            if time.monotonic() >= deadline:
                return None
            time.sleep(_POLL_S)
