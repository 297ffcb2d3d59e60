"""The board: every worker's transfers, told by any of them."""

import os
import subprocess
import sys

import pytest

from dingospeed.store.documents import Documents
from dingospeed.upkeep.board import Board, Transfer, ended_transfers, live_transfers, sheet_path
from dingospeed.upkeep.traffic import Traffic


class Sending:
    sent = 0


@pytest.fixture
def board(tmp_path):
    documents = Documents(memory_bytes=1 << 20)
    traffic = Traffic(folder=tmp_path / "traffic", documents=documents)
    return Board(folder=tmp_path, documents=documents, traffic=traffic, facts=lambda: {"known": 1})


def transfer(body, *, id="1", cache="HIT"):
    return Transfer(
        id=id,
        address="10.0.0.1",
        who="-",
        repo="models/org/name",
        revision="c" * 40,
        path="a.bin",
        size=100,
        cache=cache,
        progress=body,
    )


def test_sheets__a_transfer_goes_on__tells_how_far_and_how_fast(board):
    body = Sending()
    board.begin(transfer(body))
    board.beat()
    body.sent = 60

    board.beat()

    [sheet] = board.sheets()
    [told] = live_transfers([sheet])
    assert (sheet.pid, sheet.live, sheet.facts) == (os.getpid(), 1, {"known": 1})
    assert (told["bytes"], told["size"], told["file"], told["cache"]) == (60, 100, "a.bin", "HIT")
    assert told["rate"] > 0
    assert board.traffic()["hours"][-1]["bytes"] == 60


def test_sheets__a_transfer_ended__is_told_with_its_result_and_counted_once(board):
    body = Sending()
    one = transfer(body, cache="MISS")
    board.begin(one)
    body.sent = 40
    board.beat()
    body.sent = 100
    board.end(one, "complete")

    board.beat()

    sheets = board.sheets()
    assert live_transfers(sheets) == []
    [told] = ended_transfers(sheets)
    assert (told["bytes"], told["result"]) == (100, "complete")
    hour = board.traffic()["hours"][-1]
    assert (hour["requests"], hour["hits"], hour["bytes"], hour["hit_bytes"]) == (1, 0, 100, 0)


def test_sheets__more_than_are_shown__are_counted(board):
    for number in range(300):
        board.begin(transfer(Sending(), id=str(number)))

    board.beat()

    [sheet] = board.sheets()
    assert sheet.live == 300
    assert len(sheet.transfers) == 200
    assert sheet.transfers[-1]["id"] == "299"


def test_sheets__of_a_process_that_is_gone__is_not_told(board, tmp_path):
    board.beat()
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    sheet_path(tmp_path, process.pid).write_bytes(sheet_path(tmp_path, os.getpid()).read_bytes())

    assert [sheet.pid for sheet in board.sheets()] == [os.getpid()]


def test_beat__nothing_has_changed__the_sheet_is_not_written_but_seen_alive(board, tmp_path):
    board.beat()
    path = sheet_path(tmp_path, os.getpid())
    inode = path.stat().st_ino
    os.utime(path, (1, 1))

    board.beat()

    assert path.stat().st_ino == inode
    assert path.stat().st_mtime > 1


def test_close__the_worker_ends__its_sheet_goes_and_what_it_counted_stays(board, tmp_path):
    body = Sending()
    board.begin(transfer(body))
    body.sent = 5
    board.beat()

    board.close()

    assert board.sheets() == []
    assert board.traffic()["hours"][-1]["bytes"] == 5
