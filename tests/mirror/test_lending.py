"""What peers are given, and what they are told instead."""

from typing import Any

import pytest

from dingospeed.errors import Refusal
from dingospeed.mirror.lending import AskedElsewhere, Lending, NotHere
from dingospeed.mirror.rules import RepoRules
from dingospeed.model import Blob, FileMeta, RepoRef, Span
from dingospeed.store.blobs import Blobs
from dingospeed.store.inventory import Inventory
from dingospeed.store.layout import Layout

CELL = 8 * 4096
BLOB = Blob("a" * 64, 10)
META = FileMeta(RepoRef("models", "org", "name"), "c" * 40, "file", BLOB)


class Reader:
    """Tells from which source it was to read."""

    def read(self, blob, span, source, *, is_kept=True):
        self.asked = (blob, span, is_kept)
        return source


class Chain:
    def source(self, meta, *, token, is_restricted):
        return ("outside", meta, token, is_restricted)


class Told:
    def __init__(self):
        self.notes = []

    def note(self, etag, held):
        self.notes.append((etag, held))


@pytest.fixture
def layout(tmp_path):
    layout = Layout(tmp_path / "repos")
    layout.prepare()
    return layout


@pytest.fixture
def holdings():
    return Told()


@pytest.fixture
def make(layout, holdings):
    def make(*, deny=(), is_asking=False):
        blobs = Blobs(layout=layout, block_bytes=4096)
        played: dict[str, Any] = {"reader": Reader(), "chain": Chain()}
        return Lending(
            **played,
            rules=RepoRules(allow=("*",), deny=deny, cache=("*",), no_cache=()),
            inventory=Inventory(layout=layout, blobs=blobs, cell_bytes=CELL),
            holdings=holdings,
            cell_bytes=CELL,
            is_asking=lambda blob, span: is_asking,
        )

    return make


@pytest.fixture
def sealed(layout):
    path = layout.sealed(BLOB.etag)
    path.parent.mkdir()
    path.write_bytes(b"0123456789")
    return path


def test_open__held__read_from_here_and_never_fetched(make, sealed):
    source = make().open(BLOB, Span(2, 5), META)

    with pytest.raises(NotHere):
        source.read(Span(2, 5))


def test_open__not_held_and_no_owner_meant__not_here_and_the_group_is_told_so(make, holdings):
    with pytest.raises(NotHere):
        make().open(BLOB, BLOB.whole, None)

    assert holdings.notes == [(BLOB.etag, None)]


def test_open__not_held__fetched_as_an_owner_without_any_token(make):
    assert make().open(BLOB, BLOB.whole, META) == ("outside", META, None, False)


def test_open__it_is_being_asked_of_another__said_so_instead_of_waiting_in_a_circle(make):
    with pytest.raises(AskedElsewhere):
        make(is_asking=True).open(BLOB, BLOB.whole, META)


def test_open__held_while_it_is_asked_of_another__given(make, sealed):
    make(is_asking=True).open(BLOB, BLOB.whole, META)


def test_open__a_repo_that_this_node_does_not_serve__refused(make):
    with pytest.raises(Refusal):
        make(deny=("org/*",)).open(BLOB, BLOB.whole, META)


@pytest.mark.parametrize("meta", [None, META])
def test_open__held_in_another_size__not_here_and_the_file_is_left_as_it_is(make, sealed, meta):
    other = Blob(BLOB.etag, 11)

    with pytest.raises(NotHere):
        make().open(other, other.whole, meta)

    assert sealed.read_bytes() == b"0123456789"
