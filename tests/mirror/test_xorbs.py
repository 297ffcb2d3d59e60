import itertools
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dingospeed.download.straight import HELD_BACK_BYTES
from dingospeed.errors import StoreError
from dingospeed.mirror import xorbs
from dingospeed.mirror.xorbs import BLOCK_BYTES, CHUNK_BYTES
from dingospeed.model import Blob, FileSpan, Span
from tests.xet import unpacked

# Around the borders of chunks, of parts and of blocks.
EDGES = [
    unit * factor + off
    for unit in (CHUNK_BYTES, HELD_BACK_BYTES, BLOCK_BYTES)
    for factor in (1, 2, 3)
    for off in (-1, 0, 1)
]
SIZES = st.sampled_from([1, 2, 1000, *EDGES, 60 * 10**9 + 7]) | st.integers(1, 200 << 20)
CONTENT = os.urandom(3 * CHUNK_BYTES + 1000)
BLOCK = xorbs.Block(0, Span(0, len(CONTENT)))


@st.composite
def asked(draw):
    """A size and a span within it."""
    size = draw(SIZES)
    start = draw(st.integers(0, size - 1))
    return size, Span(start, draw(st.integers(start + 1, min(size, start + 5 * BLOCK_BYTES))))


@given(asked())
def test_plan__any_span__is_covered_once_in_order(wanted):
    size, span = wanted

    terms = xorbs.plan(size, span)

    assert terms[0].content.start <= span.start < terms[0].content.stop
    assert terms[-1].content.start < span.stop <= terms[-1].content.stop <= size
    for term, following in itertools.pairwise(terms):
        assert term.content.stop == following.content.start
        assert term.block.index + 1 == following.block.index
    for term in terms:
        assert term.block.content_of(term.packed) == term.content
        assert len(term.packed) == len(term.content) + 8 * len(term.chunks)


@given(asked())
def test_plan__any_span__no_part_is_small_enough_to_escape_being_held_back(wanted):
    """Of less than a MiB from the middle a reader holds nothing back for the hash."""
    size, span = wanted

    for term in xorbs.plan(size, span):
        assert len(term.content) >= HELD_BACK_BYTES or term.content.stop == size


def test_block_of__index_behind_the_end__none():
    assert xorbs.block_of(BLOCK_BYTES, 0) is not None
    assert xorbs.block_of(BLOCK_BYTES, 1) is None
    assert xorbs.block_of(0, 0) is None


def test_name_of__other_content_or_place__another_name():
    blobs = [Blob("a" * 64, 2 * BLOCK_BYTES), Blob("b" * 64, 2 * BLOCK_BYTES)]
    blocks = [block for index in (0, 1) if (block := xorbs.block_of(2 * BLOCK_BYTES, index))]

    names = {xorbs.name_of(blob, block) for blob in blobs for block in blocks}

    assert len(names) == 4
    assert all(len(name) == 64 for name in names)


def packed(span, pieces=None):
    content = BLOCK.content_of(span)
    given = [CONTENT[content.start : content.stop]] if pieces is None else pieces
    found = xorbs.pack((piece for piece in given), BLOCK, span)
    return b"".join(piece for piece in found if isinstance(piece, bytes))


def test_pack__whole_block__is_the_content_in_chunks():
    whole = packed(Span(0, BLOCK.packed_bytes))

    assert len(whole) == BLOCK.packed_bytes
    assert unpacked(whole, 4) == CONTENT


@given(st.data())
def test_pack__any_part__is_that_part_of_the_whole(data):
    whole = packed(Span(0, BLOCK.packed_bytes))
    near = [border + off for border in range(0, len(whole), CHUNK_BYTES + 8) for off in (0, 1, 7, 8, 9)]
    positions = st.sampled_from([at for at in near if at <= len(whole)]) | st.integers(0, len(whole))
    start, stop = sorted((data.draw(positions), data.draw(positions)))

    assert packed(Span(start, stop)) == whole[start:stop]


@given(st.lists(st.integers(0, len(CONTENT)), max_size=8))
def test_pack__pieces_cut_anywhere_and_empty_ones__the_same(cuts):
    borders = [0, *sorted(cuts), len(CONTENT)]
    pieces = [CONTENT[start:stop] for start, stop in itertools.pairwise(borders)]

    assert unpacked(packed(Span(0, BLOCK.packed_bytes), pieces=pieces), 4) == CONTENT


def test_pack__positions_in_a_file__stay_positions(tmp_path):
    (tmp_path / "file").write_bytes(b"ahead" + CONTENT)
    fd = os.open(tmp_path / "file", os.O_RDONLY)
    try:
        pieces = (piece for piece in [FileSpan(fd, 5, 5 + len(CONTENT))])

        found = list(xorbs.pack(pieces, BLOCK, Span(0, BLOCK.packed_bytes)))

        assert [len(piece) for piece in found] == [8, CHUNK_BYTES] * 3 + [8, 1000]
        spans = [piece for piece in found if isinstance(piece, FileSpan)]
        assert [span.start for span in spans] == [5 + index * CHUNK_BYTES for index in range(4)]
    finally:
        os.close(fd)


@pytest.mark.parametrize("pieces", [[], [CONTENT[:-1]], [CONTENT, b"x"], [CONTENT + b"x"]])
def test_pack__other_content_than_asked_for__fails(pieces):
    with pytest.raises(StoreError):
        packed(Span(0, BLOCK.packed_bytes), pieces=pieces)


def test_pack__left_early_or_at_the_end__its_source_hears_of_it():
    """A reader that is closed before its end thinks that the client went away."""
    heard = []

    def source():
        try:
            yield CONTENT
            heard.append("ended")
        except GeneratorExit:
            heard.append("left")
            raise

    for _ in xorbs.pack(source(), BLOCK, Span(0, BLOCK.packed_bytes)):
        pass
    begun = xorbs.pack(source(), BLOCK, Span(0, BLOCK.packed_bytes))
    next(begun)
    begun.close()  # type: ignore[attr-defined]

    assert heard == ["ended", "left"]
