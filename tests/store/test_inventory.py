"""What a cache holds, found on the disk."""

import hashlib

import pytest

from dingospeed.model import Blob, Span
from dingospeed.store.blobs import Blobs
from dingospeed.store.inventory import Held, Inventory
from dingospeed.store.layout import Layout

BLOCK, CELL = 4096, 8 * 4096


@pytest.fixture
def layout(tmp_path):
    layout = Layout(tmp_path / "repos")
    layout.prepare()
    return layout


@pytest.fixture
def blobs(layout):
    return Blobs(layout=layout, block_bytes=BLOCK)


@pytest.fixture
def inventory(layout, blobs):
    return Inventory(layout=layout, blobs=blobs, cell_bytes=CELL)


def blob_named(text, size):
    return Blob(hashlib.sha256(text.encode()).hexdigest(), size)


@pytest.fixture
def sealed(layout):
    blob = blob_named("sealed", 10)
    path = layout.sealed(blob.etag)
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(b"0123456789")
    return blob


@pytest.fixture
def half(blobs):
    """Cells 0 and 2 of four are there, and half of cell 1."""
    blob = blob_named("half", 3 * CELL + 100)
    with blobs.open_partial(blob, segment_blocks=8) as file:
        for span in (Span(0, CELL), Span(CELL, CELL + 4 * BLOCK), Span(2 * CELL, 3 * CELL)):
            file.write(bytes(len(span)), span.start)
            file.mark(span)
    return blob


def test_all__sealed_and_half_filled__found_with_their_cells(inventory, sealed, half):
    found = [held for folder in inventory.all() for held in folder]

    assert sorted(found, key=lambda held: held.blob.size) == [Held(sealed, None), Held(half, 0b101)]


def test_held__one_blob__as_in_all(inventory, sealed, half):
    assert inventory.held(sealed.etag) == Held(sealed, None)
    assert inventory.held(half.etag) == Held(half, 0b101)
    assert inventory.held("0" * 64) is None


def test_all__files_that_are_no_blobs__left_out(inventory, layout, sealed, half):
    folder = layout.sealed(sealed.etag).parent
    (folder / "notes.txt").write_text("x")
    (folder / f"{sealed.etag}.damaged-1").write_text("x")
    (folder / f"{'0' * 64}.partial").write_text("no block file")

    found = [held.blob for folder in inventory.all() for held in folder]

    assert set(found) == {sealed, half}


def test_held__half_filled_with_nothing_whole__none(inventory, blobs):
    blob = blob_named("begun", CELL)
    with blobs.open_partial(blob, segment_blocks=8) as file:
        file.write(b"1", 0)
        file.mark(Span(0, 1))

    assert inventory.held(blob.etag) is None


def test_held__its_file__is_left_as_it_is(inventory, layout, half):
    before = layout.partial(half.etag).read_bytes()

    inventory.held(half.etag)

    assert layout.partial(half.etag).read_bytes() == before
