"""An upstream that answers by script, and the floors above it over a real disk."""

import json
import re
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import pytest

from dingospeed.flight.leases import Leases
from dingospeed.mirror.absences import Absences
from dingospeed.mirror.changes import changed_at
from dingospeed.mirror.metadata import Metadata
from dingospeed.mirror.questions import Questions
from dingospeed.mirror.records import Records
from dingospeed.mirror.together import Together
from dingospeed.mirror.trees import Trees
from dingospeed.store.documents import Documents
from dingospeed.store.layout import Layout
from dingospeed.store.shelf import Shelf
from dingospeed.upstream.client import Answer

# One in each of the shelf's folders.
MOST_DENIALS = 256


@dataclass
class FakeClient:
    has_own_token: bool = False


@dataclass(frozen=True)
class FakeLine:
    name: str = "a"
    is_hub: bool = True
    client: FakeClient = field(default_factory=FakeClient)


@dataclass
class FakeLines:
    """Answers what was scripted for the first pattern that a path matches; else fails the test."""

    script: list[Any] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)

    def answers(self, pattern, value=None, *, status=200, text=None, headers=None):
        """JSON of *value*, or *text*, to paths that match *pattern*; the last one said goes first."""
        body = (json.dumps(value) if text is None else text).encode()
        told = {"Content-Type": "application/json", **(headers or {})}
        self.script.insert(0, (pattern, lambda path: Answer(status, told, body, path)))

    def fails(self, pattern, error):
        """Raises *error*; waits for it if it is a function that does."""

        def fail(path):
            raise error() if callable(error) else error

        self.script.insert(0, (pattern, fail))

    def ask(self, method, path, **options):
        self.asked.append(path)
        for pattern, answer in self.script:
            if re.search(pattern, path):
                return FakeLine(), answer(path)
        raise AssertionError(f"nobody said what to answer to {path}")


@pytest.fixture
def lines():
    return FakeLines()


@pytest.fixture
def layout(tmp_path):
    layout = Layout(tmp_path / "repos")
    layout.prepare()
    return layout


@pytest.fixture
def together(layout):
    return Together(leases=Leases(path_of=layout.lease))


@pytest.fixture
def documents():
    return Documents(memory_bytes=1 << 20)


@pytest.fixture
def parts(lines, documents, layout, together):
    """What Metadata and Trees are made of."""
    return {
        "questions": Questions(lines=lines),
        "records": Records(documents=documents, layout=layout),
        "together": together,
    }


@pytest.fixture
def denials(documents, layout):
    return Shelf(
        documents=documents,
        path_of=partial(layout.shelf, "denials"),
        most=MOST_DENIALS,
        most_bytes=1 << 20,
    )


@pytest.fixture
def absences(layout, denials):
    return Absences(shelf=denials, salt=b"salt", ttl_s=60, changed_at=partial(changed_at, layout))


@pytest.fixture
def metadata(parts, absences):
    return Metadata(**parts, absences=absences, ttl_s=3600)


@pytest.fixture
def trees(parts):
    return Trees(**parts, wait_s=5)
