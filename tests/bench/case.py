"""What a case is: systems measured in turn, round by round, and what is to be reached."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from statistics import median

from tests.bench.load import Figures
from tests.bench.stage import Stage

US, NGINX, OLAH, CURL = "dingospeed", "nginx", "Olah", "curl -o"
# The same behind an nginx of its own, with `accel: nginx`.
ACCEL = "dingospeed + nginx"

# The systems of a case by name, each with what measures it once.
Systems = Mapping[str, Callable[[], Figures]]
Rounds = Mapping[str, Sequence[Figures]]


@dataclass(frozen=True, slots=True)
class Goal:
    """A *figure* of ours, or of the system *of*, to be at least, or at most, *value*.

    With *against* that many times theirs; with *is_plus*, so much more than theirs.
    """

    figure: str
    value: float
    is_least: bool = True
    against: str | None = None
    is_plus: bool = False
    of: str = US

    def measured(self, rounds: Rounds) -> float | None:
        """The median over the rounds of the figure, or of its ratio; None when it was not measured."""
        ours = [figures.get(self.figure) for figures in rounds.get(self.of, ())]
        if self.against is None:
            known = [one for one in ours if one is not None]
            return median(known) if known else None
        theirs = [figures.get(self.figure) for figures in rounds.get(self.against, ())]
        ratios = [
            (one - other if self.is_plus else one / other)
            for one, other in zip(ours, theirs, strict=False)
            if one is not None and other
        ]
        return median(ratios) if ratios else None

    def is_reached(self, rounds: Rounds) -> bool | None:
        found = self.measured(rounds)
        if found is None:
            return None
        return found >= self.value if self.is_least else found <= self.value

    @property
    def text(self) -> str:
        sign = "≥" if self.is_least else "≤"
        figure = self.figure if self.of == US else f"{self.of}: {self.figure}"
        if self.against is None:
            return f"{figure} {sign} {self.value:g}"
        if self.is_plus:
            return f"{figure} {sign} {self.against}'s + {self.value:g}"
        return f"{figure} {sign} {self.value:g} × {self.against}"


@dataclass(frozen=True, slots=True)
class Case:
    """*prepare* sets everything up, on a stage, smaller if it is to be quick."""

    name: str
    title: str
    prepare: Callable[[Stage, bool], AbstractContextManager[Systems]]
    goals: tuple[Goal, ...] = ()
    rounds: int = 5
    quick_rounds: int = 2
    is_quick: bool = True


def run(case: Case, stage: Stage, *, is_quick: bool, tell: Callable[[str, Figures], None]) -> Rounds:
    """All rounds, interleaved: what disturbs the machine meanwhile meets every system alike."""
    rounds: dict[str, list[Figures]] = {}
    with case.prepare(stage, is_quick) as systems:
        for _ in range(case.quick_rounds if is_quick else case.rounds):
            for name, measure in systems.items():
                figures = measure()
                rounds.setdefault(name, []).append(figures)
                tell(name, figures)
    return rounds


def medians(rounds: Sequence[Figures]) -> Figures:
    names = list(dict.fromkeys(name for figures in rounds for name in figures))
    return {name: median(figures[name] for figures in rounds if name in figures) for name in names}
