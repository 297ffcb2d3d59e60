import os
import threading
import urllib.request
from contextlib import closing
from wsgiref.simple_server import WSGIRequestHandler, make_server

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dingospeed.errors import StoreError
from dingospeed.model import FileSpan
from dingospeed.web.body import READ_BYTES, Body

CONTENT = bytes(range(251)) * 4000


@pytest.fixture(scope="module")
def fd(tmp_path_factory):
    path = tmp_path_factory.mktemp("body") / "file"
    path.write_bytes(CONTENT)
    fd = os.open(path, os.O_RDONLY)
    yield fd
    os.close(fd)


class Ending:
    """Hears of the end of a body."""

    def __init__(self):
        self.heard = []

    def __call__(self, sent, error):
        self.heard.append((sent, error))


class Watched:
    """An iterator that counts how often it is closed."""

    def __init__(self, pieces):
        self.closed = 0
        self._pieces = iter(pieces)

    def __iter__(self):
        return self

    def __next__(self):
        return next(self._pieces)

    def close(self):
        self.closed += 1


@given(
    cuts=st.lists(st.integers(0, len(CONTENT)), max_size=6).map(sorted),
    plain=st.lists(st.booleans(), min_size=8, max_size=8),
)
def test_iter__spans_and_bytes_mixed__gives_the_content(fd, cuts, plain):
    bounds = [0, *cuts, len(CONTENT)]
    pieces = [
        CONTENT[start:stop] if as_bytes else FileSpan(fd, start, stop)
        for start, stop, as_bytes in zip(bounds, bounds[1:], plain, strict=False)
    ]

    chunks = list(Body(iter(pieces)))

    assert b"".join(chunks) == CONTENT
    assert all(chunks)


def test_iter__long_span__is_read_in_pieces(fd):
    chunks = list(Body(iter([FileSpan(fd, 1, len(CONTENT))])))

    assert max(map(len, chunks)) == READ_BYTES


def test_iter__file_ends_before_the_span__raises(fd):
    ending = Ending()
    body = Body(iter([FileSpan(fd, 10, len(CONTENT) + 1)]), on_end=ending)

    with pytest.raises(StoreError, match=str(len(CONTENT))):
        list(body)
    body.close()

    [(sent, error)] = ending.heard
    assert sent == len(CONTENT) - 10
    assert isinstance(error, StoreError)


def test_iter__sent_in_full__end_is_told_once_with_all_bytes():
    ending = Ending()
    body = Body(iter([b"abc", b"", b"de"]), on_end=ending)

    list(body)
    body.close()
    body.close()

    assert ending.heard == [(5, None)]


def test_iter__server_stops_midway__counts_what_was_taken_before():
    ending = Ending()
    body = Body(iter([b"abc", b"de"]), on_end=ending)

    taken = iter(body)
    next(taken)
    next(taken)
    body.close()

    assert ending.heard == [(3, None)]


def test_close__reader_waits_in_a_generator__it_is_ended():
    ended_by: list[type] = []

    def read():
        try:
            yield b"abc"
        except GeneratorExit as end:
            ended_by.append(type(end))
            raise

    body = Body(read())

    next(iter(body))
    body.close()
    body.close()

    assert ended_by == [GeneratorExit]


def test_close__with_an_error__is_told():
    ending, error = Ending(), ConnectionResetError()
    body = Body(iter([b"abc"]), on_end=ending)

    body.close(error)
    body.close()

    assert ending.heard == [(0, error)]


def test_close__pieces_fail_to_close__end_is_told_all_the_same():
    class Stubborn:
        def __iter__(self):
            return self

        def __next__(self):
            return b"x"

        def close(self):
            raise StoreError("stuck")

    ending = Ending()
    body = Body(Stubborn(), on_end=ending)

    with pytest.raises(StoreError):
        body.close()

    assert ending.heard == [(0, None)]


def test_body__under_another_server__gives_the_same_bytes(fd):
    class Quiet(WSGIRequestHandler):
        def log_message(self, *_):
            pass

    pieces = Watched(
        [FileSpan(fd, 0, 100_001), CONTENT[100_001:100_005], FileSpan(fd, 100_005, len(CONTENT))]
    )
    ending = Ending()

    def app(environ, start_response):
        start_response("200 OK", [("Content-Length", str(len(CONTENT)))])
        return Body(pieces, on_end=ending)

    with make_server("127.0.0.1", 0, app, handler_class=Quiet) as server:
        thread = threading.Thread(target=server.handle_request)
        thread.start()
        with closing(urllib.request.urlopen(f"http://127.0.0.1:{server.server_port}/")) as answer:
            got = answer.read()
        thread.join()

    assert got == CONTENT
    assert pieces.closed == 1
    assert ending.heard == [(len(CONTENT), None)]
