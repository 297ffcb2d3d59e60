"""Who has most, of any number of keys, in bounded memory: the space-saving algorithm.

Metwally, Agrawal, El Abbadi: Efficient computation of frequent and top-k elements in data
streams, 2005. Whatever has more than a *size*-th of the whole is in the list for certain; an amount
may be too high by as much as the smallest in the list.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping


class TopList:
    """Amounts by key, of the *size* largest keys."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._amounts: dict[str, int] = {}

    def add(self, key: str, amount: int) -> None:
        """*key* has *amount* more."""
        amounts = self._amounts
        if key in amounts:
            amounts[key] += amount
        elif len(amounts) < self._size:
            amounts[key] = amount
        elif amount:
            # Who comes new inherits what the smallest had: it may have been here before.
            smallest = min(amounts, key=amounts.__getitem__)
            amounts[key] = amounts.pop(smallest) + amount

    def amounts(self) -> dict[str, int]:
        return dict(self._amounts)


def merged(lists: Iterable[Mapping[str, int]], size: int) -> dict[str, int]:
    """The *size* largest of several lists added up, the largest first."""
    total: dict[str, int] = {}
    for one in lists:
        for key, amount in one.items():
            total[key] = total.get(key, 0) + amount
    return dict(sorted(total.items(), key=lambda item: (-item[1], item[0]))[:size])
