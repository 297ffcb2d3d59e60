from __future__ import annotations

import hashlib
import threading
from contextlib import suppress

import psutil
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dingospeed.download import verify
from dingospeed.errors import ContentMismatch, GatedRepo, StoreError, UpstreamError
from dingospeed.model import Blob, FileSpan, Span
from dingospeed.store.content import hash_span

KIB, MIB = 1 << 10, 1 << 20
BLOCK = 16 * KIB
SEGMENT = 8 * BLOCK
HELD_BACK = MIB
BIG = 3 * MIB + 12_345


@pytest.fixture
def origin(make_origin):
    return make_origin(BIG)


class Nobody:
    """A source that must not be asked."""

    def read(self, span):
        raise AssertionError(f"asked for {span}")


@pytest.fixture
def slow_hash(monkeypatch):
    """Nothing is hashed until it is set."""
    goes_on = threading.Event()

    def waiting(*arguments):
        assert goes_on.wait(60)
        hash_span(*arguments)

    monkeypatch.setattr(verify, "hash_span", waiting)
    yield goes_on
    goes_on.set()


# --- right bytes, fetched once ------------------------------------------------------------


def test_read__nothing_held__content_fetched_once_and_sealed(engine, origin, until):
    assert engine.read(origin.blob, origin) == origin.content

    assert (origin.most_often, origin.sent_bytes) == (1, BIG)
    assert engine.blobs.is_sealed(origin.blob)
    until(lambda: list(engine.layout.run.iterdir()) == [])


def test_read__sealed__from_the_disk_alone(engine, origin):
    engine.read(origin.blob, origin)

    assert engine.read(origin.blob, Nobody()) == origin.content
    assert engine.read(origin.blob, Nobody(), Span(5, 2_000_000)) == origin.content[5:2_000_000]


def test_read__named_by_git_sha1__sealed_too(engine, make_origin):
    origin = make_origin(100_000)
    origin.is_git()

    assert engine.read(origin.blob, origin) == origin.content

    assert engine.blobs.is_sealed(origin.blob)


def test_read__by_many_at_once__fetched_once(engine, origin, start_reading):
    spans = [origin.blob.whole, Span(1_000_000, BIG), Span(7, 2_000_000), Span(BIG - 1, BIG)] * 4

    readings = [start_reading(engine, origin, span) for span in spans]

    for reading, span in zip(readings, spans, strict=True):
        assert reading.ends() == origin.content[span.start : span.stop]
    assert (origin.most_often, origin.sent_bytes) == (1, BIG)


@given(data=st.data())
@settings(deadline=None, max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_read__any_spans_one_after_another__right_bytes_fetched_once(
    make_engine, make_origin, tmp_path_factory, data
):
    origin = make_origin(data.draw(st.integers(1, 6 * SEGMENT) | st.just(BIG)))
    origin.piece_bytes = data.draw(st.integers(1000, 3 * BLOCK))
    engine = make_engine(tmp_path_factory.mktemp("repos"), read_ahead=data.draw(st.integers(1, 4)))
    positions = st.integers(0, origin.blob.size)

    for _ in range(data.draw(st.integers(0, 6))):
        start, stop = sorted([data.draw(positions), data.draw(positions)])
        assert engine.read(origin.blob, origin, Span(start, stop)) == origin.content[start:stop]

    assert engine.read(origin.blob, origin) == origin.content
    assert (origin.most_often, origin.sent_bytes) == (1, origin.blob.size)
    assert engine.blobs.is_sealed(origin.blob)


def test_read__span_in_the_middle__at_most_its_segments_are_fetched(engine, origin, until):
    span = Span(5 * SEGMENT + 10, 6 * SEGMENT + 10)

    assert engine.read(origin.blob, origin, span) == origin.content[span.start : span.stop]

    until(lambda: engine.blobs.held_bytes(origin.blob) == 2 * SEGMENT)
    assert origin.sent_bytes == 2 * SEGMENT


def test_read__nothing_asked_for__nothing_done(engine, origin):
    assert engine.read(origin.blob, Nobody(), Span(100, 100)) == b""
    assert list(engine.layout.blobs.iterdir()) == []


def test_read__empty_content__sealed_without_a_question(engine, until):
    blob = Blob(hashlib.sha256().hexdigest(), 0)

    assert engine.read(blob, Nobody()) == b""

    until(lambda: engine.blobs.is_sealed(blob))


def test_read__past_the_end__refused(engine, origin):
    with pytest.raises(ValueError, match="not within"):
        engine.read(origin.blob, origin, Span(0, BIG + 1))


def test_read__sizes_changed_in_the_configuration__half_filled_files_keep_theirs(
    make_engine, origin, start_reading
):
    gate = origin.stops_at(SEGMENT + 100)
    before = make_engine()
    reading = start_reading(before, origin)
    reading.has(SEGMENT + 100)

    after = make_engine(block_bytes=4 * BLOCK, segment_blocks=24)
    other = start_reading(after, origin, Span(200, BIG))
    other.has(1000)
    gate.opens()

    assert reading.ends() == origin.content
    assert other.ends() == origin.content[200:]
    assert origin.most_often == 1


def test_read__always__pieces_no_longer_than_a_segment(engine, origin):
    engine.read(origin.blob, origin, Span(0, 2 * MIB))
    pieces = engine.reader.read(origin.blob, Span(100, MIB), origin)

    lengths = [len(piece) for piece in pieces]

    assert max(lengths) <= SEGMENT
    assert sum(lengths) == MIB - 100


def test_read__thrown_out_of_the_cache_meanwhile__goes_on_to_its_end(engine, origin, start_reading):
    gate = origin.stops_at(2 * SEGMENT + 5)
    reading = start_reading(engine, origin)
    reading.has(2 * SEGMENT + 5)

    engine.layout.partial(origin.blob.etag).unlink()
    gate.opens()

    assert reading.ends() == origin.content
    assert not engine.blobs.is_sealed(origin.blob)


def test_read__half_filled_file_replaced_while_it_is_filled__no_byte_of_the_old_is_believed(
    make_engine, origin, start_reading
):
    gate = origin.stops_at(BLOCK + 5)
    old = start_reading(make_engine(), origin)
    old.has(BLOCK + 5)
    engine = make_engine()
    engine.layout.partial(origin.blob.etag).unlink()

    new = start_reading(engine, origin)
    gate.opens()

    assert new.ends() == origin.content
    assert old.ends() == origin.content


def test_read__many_files_one_after_another__nothing_stays_open(engine, make_origin, until):
    engine.read(make_origin(50_000, seed=99).blob, make_origin(50_000, seed=99))
    process = psutil.Process()
    until(lambda: not engine.fillings)
    before = process.num_fds()

    for seed in range(20):
        origin = make_origin(50_000, seed=seed)
        assert engine.read(origin.blob, origin) == origin.content

    until(lambda: process.num_fds() == before)


# --- while it is being filled --------------------------------------------------------------


def test_read__block_half_arrived__given_to_its_last_byte(engine, origin, start_reading):
    gate = origin.stops_at(SEGMENT + 2 * BLOCK + 33)

    reading = start_reading(engine, origin)
    reading.has(SEGMENT + 2 * BLOCK + 33)

    gate.opens()
    assert reading.ends() == origin.content


def test_read__client_slow__no_more_is_fetched_than_read_ahead(engine, origin, until):
    pieces = engine.pieces(origin.blob, origin.blob.whole, origin)

    next(pieces)

    until(lambda: engine.blobs.held_bytes(origin.blob) == 4 * SEGMENT)
    assert origin.sent_bytes == 4 * SEGMENT
    body = b"".join(pieces)
    assert origin.content.endswith(body)
    assert origin.most_often == 1


def test_read__client_always_slower_than_what_comes__never_more_than_read_ahead_in_front_of_it(
    engine, make_origin, until
):
    origin = make_origin(20 * SEGMENT)
    position = 0
    for piece in engine.pieces(origin.blob, origin.blob.whole, origin):
        ahead = (position // SEGMENT + 4) * SEGMENT
        until(lambda ahead=ahead: engine.blobs.held_bytes(origin.blob) >= min(ahead, origin.blob.size))
        assert origin.sent_bytes <= ahead
        position += len(piece)
        if position > origin.blob.size - HELD_BACK - 4 * SEGMENT:  # Then it waits for the hash.
            break


def test_read__end_held_back_is_longer_than_the_read_ahead__fetched_all_the_same(make_engine, origin):
    engine = make_engine(read_ahead=1)

    assert engine.read(origin.blob, origin) == origin.content

    assert engine.blobs.is_sealed(origin.blob)


def test_read__queue_full_when_the_reader_leaves__its_fills_are_dropped(
    make_engine, make_origin, start_reading, until
):
    engine = make_engine(pool=1)
    first, second, third = (make_origin(MIB, seed=seed) for seed in (1, 2, 3))
    gate = first.stops_at(0)
    reading = start_reading(engine, first)
    gate.is_reached()

    filling = engine.fillings.enter(second.blob)
    engine.fetcher.want(filling, second.blob.whole, second)
    engine.fillings.leave(filling, reading=True)
    gate.opens()

    assert engine.read(third.blob, third) == third.content
    assert reading.ends() == first.content
    until(lambda: not engine.fillings)
    assert second.asked == []


# --- when the outside fails -------------------------------------------------------------------


def test_read__source_breaks_off_and_is_back__goes_on_at_that_byte(engine, origin):
    origin.fails_at(2 * SEGMENT + 3 * BLOCK + 17)

    assert engine.read(origin.blob, origin) == origin.content

    assert origin.most_often == 1


def test_read__source_breaks_off_while_we_wait_for_it__asked_again(engine, origin, start_reading):
    position = 3 * BLOCK + 17
    gate = origin.stops_at(position)
    origin.fails_at(position)
    reading = start_reading(engine, origin)
    reading.has(position)
    gate.is_reached()
    threading.Event().wait(0.05)  # until it waits; if it does not, it asks anyhow

    gate.opens()

    assert reading.ends() == origin.content


def test_read__source_gives_no_more__raises_after_what_there_was(engine, origin, start_reading):
    position = SEGMENT + 17
    origin.fails_at(position, times=100)

    reading = start_reading(engine, origin)

    with pytest.raises(UpstreamError, match="broken off"):
        reading.ends()
    assert reading.got == origin.content[:position]
    assert len(origin.asked) < 20


def test_read__after_a_failure__later_reader_goes_on_at_that_byte(engine, origin, start_reading):
    origin.fails_at(SEGMENT + 17, times=100)
    reading = start_reading(engine, origin)
    with pytest.raises(UpstreamError):
        reading.ends()
    origin.is_back()

    assert engine.read(origin.blob, origin) == origin.content

    assert origin.most_often == 1


def test_read__source_refuses_another_caller__not_us(engine, origin, start_reading):
    class Refusing:
        def __init__(self):
            self.gate = origin.stops_at(BIG)

        def read(self, span):
            self.gate.pass_through()
            raise GatedRepo("org/name", anonymous=False)
            yield b""

    refusing = Refusing()
    theirs = start_reading(engine, origin, source=refusing)
    refusing.gate.is_reached()
    ours = start_reading(engine, origin)
    refusing.gate.opens()

    assert ours.ends() == origin.content
    with suppress(GatedRepo):  # Unless it read what came for us.
        theirs.ends()


@pytest.mark.parametrize("stop", [0, 1, BLOCK, SEGMENT + 5])
def test_read__source_ends_as_if_that_were_all__raises_and_does_not_spin(engine, origin, start_reading, stop):
    origin.ends_at(stop)

    reading = start_reading(engine, origin)

    with pytest.raises(UpstreamError, match="early"):
        reading.ends()
    assert reading.got == origin.content[:stop]
    assert len(origin.asked) < 20


def test_read__source_sends_more_than_asked__its_neighbours_stay_right(make_engine, origin, start_reading):
    engine = make_engine(read_ahead=1)
    engine.read(origin.blob, origin, Span(SEGMENT, SEGMENT + 1))
    origin.sends_too_much(b"x" * 5000)

    reading = start_reading(engine, origin, Span(0, SEGMENT))
    with suppress(UpstreamError):  # Unless all it wanted had come before.
        reading.ends()

    assert origin.content[:SEGMENT].startswith(reading.got)
    origin.sends_too_much(b"")
    assert engine.read(origin.blob, origin) == origin.content
    assert engine.blobs.rejections(origin.blob) == 0


def test_read__source_fails_in_a_way_nobody_foresaw__reader_hears_of_it(engine, origin, start_reading):
    origin.fails_at(SEGMENT, KeyError("foreseen by nobody"), times=5)

    reading = start_reading(engine, origin)

    with pytest.raises(StoreError, match="foreseen by nobody"):
        reading.ends()


# --- wrong content ------------------------------------------------------------------------------


def test_read__small_and_wrong_once__healed_without_the_client_noticing(engine, make_origin):
    origin = make_origin(200_000)
    origin.corrupts(100_000)

    assert engine.read(origin.blob, origin) == origin.content

    assert engine.blobs.rejections(origin.blob) == 1


def test_read__small_and_always_wrong__not_one_byte(engine, make_origin, start_reading):
    origin = make_origin(200_000)
    origin.corrupts(100_000, times=100)

    reading = start_reading(engine, origin)

    with pytest.raises(ContentMismatch):
        reading.ends()
    assert reading.got == b""
    assert engine.blobs.rejections(origin.blob) == 3
    assert engine.blobs.held_bytes(origin.blob) == 0


@pytest.mark.parametrize("wrong_at", [0, BIG // 2, BIG - 1])
@pytest.mark.parametrize("start", [0, 2 * MIB + 5])
def test_read__large_and_wrong__nobody_gets_its_last_bytes(engine, origin, start_reading, wrong_at, start):
    origin.corrupts(wrong_at)
    before = start_reading(engine, origin, Span(0, start))
    assert len(before.ends()) == start

    readings = [start_reading(engine, origin, Span(start, BIG)) for _ in range(5)]

    for reading in readings:
        try:
            assert reading.ends() == origin.content[start:]  # It came late, to be served the right ones.
        except ContentMismatch:
            assert start + len(reading.got) <= BIG - HELD_BACK // 32
    assert engine.blobs.rejections(origin.blob) == 1
    assert engine.read(origin.blob, origin) == origin.content


def test_read__wrong_and_read_in_parts_the_last_of_which_is_done_first__one_part_is_cut(
    engine, origin, start_reading
):
    """A client that fetches in parts completes its file with whichever part comes last."""
    origin.corrupts(100)
    half = 12 * SEGMENT
    assert engine.read(origin.blob, origin, Span(half, BIG)) == origin.content[half:]

    first_part = start_reading(engine, origin, Span(0, half))

    with pytest.raises(ContentMismatch):
        first_part.ends()
    assert len(first_part.got) < half


def test_read__hash_takes_its_time__end_trickles_and_comes_when_it_is_right(
    make_engine, origin, start_reading, slow_hash
):
    engine = make_engine(hold_s=8)
    reading = start_reading(engine, origin)
    reading.has(BIG - HELD_BACK + 1)
    assert len(reading.got) < BIG

    slow_hash.set()

    assert reading.ends() == origin.content


@pytest.mark.parametrize("hold_s", [0, 0.3])
def test_read__hash_does_not_come__cut_before_the_end(make_engine, origin, start_reading, slow_hash, hold_s):
    engine = make_engine(hold_s=hold_s)

    reading = start_reading(engine, origin)

    with pytest.raises(UpstreamError, match="checked in time"):
        reading.ends()
    assert BIG - HELD_BACK <= len(reading.got) <= BIG - HELD_BACK // 32


def test_read__few_bytes_while_the_hash_takes_its_time__not_held_back(
    engine, origin, start_reading, slow_hash, until
):
    start_reading(engine, origin)
    until(lambda: engine.blobs.held_bytes(origin.blob) == BIG)

    assert engine.read(origin.blob, origin, Span(10, 20)) == origin.content[10:20]


def test_read__last_byte_comes_late_and_the_hash_not_at_all__cut_before_the_end(
    make_engine, origin, start_reading, slow_hash
):
    engine = make_engine(hold_s=0.1)
    gate = origin.stops_at(BIG - 1)
    reading = start_reading(engine, origin)
    reading.has(BIG - HELD_BACK + 1)
    threading.Event().wait(0.2)  # longer than it would be held back if it were there

    gate.opens()

    with pytest.raises(UpstreamError, match="checked in time"):
        reading.ends()
    assert len(reading.got) <= BIG - HELD_BACK // 32


# --- when the client leaves ------------------------------------------------------------------------


def leave_after_one_piece(engine, origin):
    pieces = engine.reader.read(origin.blob, origin.blob.whole, origin)
    next(pieces)
    pieces.close()


def test_leave__share_never__segments_begun_are_finished_and_no_more(make_engine, origin, until):
    engine = make_engine(finish_share=2.0)

    leave_after_one_piece(engine, origin)

    until(lambda: not engine.fillings)
    held = engine.blobs.held_bytes(origin.blob)
    assert held % SEGMENT == 0
    assert held <= 4 * SEGMENT


def test_leave__share_always__fetched_to_its_end(make_engine, origin, until):
    engine = make_engine(finish_share=0.0)

    leave_after_one_piece(engine, origin)

    until(lambda: engine.blobs.is_sealed(origin.blob))
    assert origin.most_often == 1


@pytest.mark.parametrize(("share_held", "is_finished"), [(0.4, False), (0.6, True)])
def test_leave__share_given__finished_when_at_least_that_is_held(
    make_engine, origin, until, share_held, is_finished
):
    engine = make_engine(finish_share=0.5, read_ahead=1)
    engine.read(origin.blob, origin, Span(0, int(BIG * share_held)))

    leave_after_one_piece(engine, origin)

    until(lambda: not engine.fillings)
    assert engine.blobs.is_sealed(origin.blob) == is_finished


def test_leave__before_anything_came__nothing_stays_behind(engine, origin, until):
    reading = engine.reader.read(origin.blob, origin.blob.whole, origin)

    reading.close()

    assert origin.asked == []
    assert not engine.fillings


# --- full disks -----------------------------------------------------------------------------------


def test_read__disk_is_full__straight_through_and_checked(make_engine, tiny_disk, make_origin):
    origin = make_origin(2 * MIB + 5)
    engine = make_engine(tiny_disk)

    assert engine.read(origin.blob, origin) == origin.content

    assert not engine.blobs.is_sealed(origin.blob)


@pytest.mark.parametrize("span", [None, Span(5, 1 * MIB)])
def test_read__not_to_be_kept__straight_through_and_nothing_stays(engine, make_origin, bytes_of, span):
    origin = make_origin(2 * MIB + 5)
    span = span or origin.blob.whole

    pieces = engine.reader.read(origin.blob, span, origin, is_kept=False)

    assert b"".join(map(bytes_of, pieces)) == origin.content[span.start : span.stop]
    assert engine.blobs.held_bytes(origin.blob) == 0
    assert not engine.fillings


def test_read__not_to_be_kept_but_held__asks_nobody(engine, make_origin, bytes_of):
    origin = make_origin(MIB)
    engine.read(origin.blob, origin)
    origin.asked.clear()

    pieces = engine.reader.read(origin.blob, origin.blob.whole, origin, is_kept=False)

    assert b"".join(map(bytes_of, pieces)) == origin.content
    assert origin.asked == []


def test_read__not_to_be_kept_and_wrong__not_its_last_bytes(engine, make_origin, bytes_of):
    origin = make_origin(2 * MIB + 5)
    origin.corrupts(500_000, times=100)
    got: list[bytes] = []
    pieces = engine.reader.read(origin.blob, origin.blob.whole, origin, is_kept=False)

    with pytest.raises(ContentMismatch):
        got.extend(map(bytes_of, pieces))

    assert 0 < len(b"".join(got)) <= origin.blob.size - HELD_BACK
    assert engine.blobs.rejections(origin.blob) == 1


def test_read__disk_is_full_and_content_wrong__not_its_last_bytes(
    make_engine, tiny_disk, make_origin, start_reading
):
    origin = make_origin(2 * MIB + 5)
    origin.corrupts(500_000, times=100)
    engine = make_engine(tiny_disk)

    reading = start_reading(engine, origin)

    with pytest.raises(ContentMismatch):
        reading.ends()
    assert len(reading.got) <= origin.blob.size - HELD_BACK
    assert engine.blobs.rejections(origin.blob) >= 1


def test_read__disk_is_full_and_client_leaves__nothing_is_fetched_for_nobody(
    make_engine, tiny_disk, make_origin, until
):
    origin = make_origin(8 * MIB)
    engine = make_engine(tiny_disk, finish_share=0.0)

    leave_after_one_piece(engine, origin)

    until(lambda: origin.is_open == 0 and not engine.fillings)
    assert origin.sent_bytes < 3 * MIB


def test_read__last_part_on_a_full_disk__right_bytes(make_engine, tiny_disk, make_origin):
    origin = make_origin(2 * MIB + 5)
    engine = make_engine(tiny_disk)
    span = Span(MIB + 77, 2 * MIB + 5)

    assert engine.read(origin.blob, origin, span) == origin.content[span.start :]


def test_read__piece_of_a_held_file__is_a_position_in_it(engine, origin):
    engine.read(origin.blob, origin)

    (piece,) = engine.reader.read(origin.blob, Span(5, 9), origin)

    assert isinstance(piece, FileSpan)
    assert (piece.start, piece.stop) == (5, 9)
