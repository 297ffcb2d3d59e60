"""Fakes: an origin within the process, a hub for workers in processes of their own."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from functools import partial
from pathlib import Path

import pytest

from dingospeed.errors import UpstreamError
from dingospeed.model import Blob, Span
from tests.harness import small_disk

LONG_S = 60
NODE = Path(__file__).with_name("node.py")


def _load_node():
    spec = importlib.util.spec_from_file_location("download_node", NODE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


node = _load_node()


def until(condition):
    """Wait for *condition*, for a long time if need be."""
    deadline = time.monotonic() + LONG_S
    while not condition():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.002)


@pytest.fixture(name="until")
def until_():
    return until


@pytest.fixture
def bytes_of():
    return node.bytes_of


@pytest.fixture
def make_engine(tmp_path):
    """An engine over one cache directory; several are like several workers."""

    def make(root=tmp_path / "repos", **options):
        return node.Engine(root, **options)

    return make


@pytest.fixture
def engine(make_engine):
    return make_engine()


class Gate:
    """A place where bytes wait."""

    def __init__(self, position):
        self.position = position
        self._reached = threading.Event()
        self._open = threading.Event()

    def is_reached(self):
        """Wait until somebody stands before it."""
        assert self._reached.wait(LONG_S), "nobody came"

    def opens(self):
        self._open.set()

    def pass_through(self):
        self._reached.set()
        assert self._open.wait(LONG_S), "it was never opened"


class Origin:
    """A source of random *content*, whose bytes can be stopped, counted and spoilt."""

    def __init__(self, size, seed=0):
        self.content = random.Random(seed).randbytes(size)
        self.blob = Blob(hashlib.sha256(self.content).hexdigest(), size)
        self.asked = []
        self.is_open = 0
        self.piece_bytes = 10_000
        self._sent = []
        self._gates = []
        self._failures = []
        self._wrong: Counter[int] = Counter()
        self._end = size
        self._surplus = b""
        self._lock = threading.Lock()

    def is_git(self):
        prefix = b"blob %d\0" % self.blob.size
        self.blob = Blob(hashlib.sha1(prefix + self.content).hexdigest(), self.blob.size)

    def stops_at(self, position):
        """Nothing from *position* on is given until the gate opens."""
        self._gates.append(Gate(position))
        return self._gates[-1]

    def fails_at(self, position, error=None, times=1):
        """Break off before *position*, so many times."""
        self._failures += [(position, error or UpstreamError("broken off"))] * times

    def is_back(self):
        """No more failures."""
        self._failures.clear()

    def corrupts(self, position, times=1):
        """The byte at *position* is wrong the first so many times."""
        self._wrong[position] += times

    def ends_at(self, position):
        """Say nothing more from there on, as if that were all."""
        self._end = position

    def sends_too_much(self, surplus):
        self._surplus = surplus

    @property
    def sent_bytes(self):
        return sum(map(len, self._sent))

    @property
    def most_often(self):
        """How often the byte was sent that was sent most often."""
        count = most = 0
        ends = sorted([(span.start, 1) for span in self._sent] + [(span.stop, -1) for span in self._sent])
        for _, change in ends:
            count += change
            most = max(most, count)
        return most

    def read(self, span, is_gone=lambda: False):
        self.asked.append(span)
        with self._lock:
            self.is_open += 1
        try:
            yield from self._pieces(span, is_gone)
        finally:
            with self._lock:
                self.is_open -= 1

    def _pieces(self, span, is_gone):
        position = span.start
        while position < min(span.stop, self._end):
            stop = self._stop_of_piece(position, span)
            if is_gone():
                return
            piece = bytearray(self.content[position:stop])
            with self._lock:
                for wrong, times in self._wrong.items():
                    if position <= wrong < stop and times:
                        self._wrong[wrong] -= 1
                        piece[wrong - position] ^= 0xFF
                self._sent.append(Span(position, stop))
            yield bytes(piece)
            position = stop
        if self._surplus:
            yield self._surplus

    def _stop_of_piece(self, position, span):
        stop = min(position + self.piece_bytes, span.stop, self._end)
        for gate in self._gates:
            if gate.position <= position:
                gate.pass_through()
            elif gate.position < stop:
                stop = gate.position
        for failure in list(self._failures):
            if position == failure[0]:
                self._failures.remove(failure)
                raise failure[1]
            if position < failure[0] < stop:
                stop = failure[0]
        return stop


@pytest.fixture
def make_origin():
    return Origin


@pytest.fixture
def make_gate():
    return Gate


class Reading:
    """A reader in a thread of its own."""

    def __init__(self, engine, origin, span=None, source=None):
        self.got = bytearray()
        self.error = None
        self._changed = threading.Condition()
        arguments = (engine, origin.blob, origin.blob.whole if span is None else span, source or origin)
        self._thread = threading.Thread(target=self._run, args=arguments, daemon=True)
        self._thread.start()

    def _run(self, engine, blob, span, source):
        try:
            for piece in engine.pieces(blob, span, source):
                with self._changed:
                    self.got += piece
                    self._changed.notify_all()
        except Exception as error:  # noqa: BLE001 -- raised by ends()
            self.error = error

    def has(self, count):
        """Wait until it has got so many bytes."""
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.got) >= count, LONG_S), "they never came"

    def ends(self):
        """All that it got. Raises what it raised."""
        self._thread.join(LONG_S)
        assert not self._thread.is_alive(), "it never ended"
        if self.error is not None:
            raise self.error
        return bytes(self.got)


@pytest.fixture
def start_reading():
    return Reading


@pytest.fixture
def tiny_disk(tmp_path):
    path = tmp_path / "tiny"
    path.mkdir()
    with small_disk(path, size_bytes=1 << 20):
        yield path


# --- processes of their own ------------------------------------------------------------


class Hub:
    """Gives an origin's bytes to workers, over sockets."""

    def __init__(self, origin):
        self.origin = origin
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def closes(self):
        self._listener.close()

    def _accept(self):
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection):
        with connection, connection.makefile("r") as lines:
            asked = lines.readline().split()
            if not asked:
                return  # It was killed before it said a word.
            start, stop = map(int, asked)
            try:
                for piece in self.origin.read(Span(start, stop), partial(_is_gone, connection)):
                    connection.sendall(piece)
            except (OSError, UpstreamError):
                return


def _is_gone(connection):
    """Whether nobody is there any more to whom a byte would count as sent."""
    try:
        return connection.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT) == b""
    except BlockingIOError:
        return False


class RemoteReading:
    """A reader in another process."""

    def __init__(self, worker, number):
        self._worker = worker
        self._number = number
        self.at = 0
        self.end = None

    def has(self, position):
        """Wait until it has got the bytes before *position*."""
        with self._worker.changed:
            arrived = self._worker.changed.wait_for(lambda: self.at >= position, LONG_S)
        assert arrived, f"it came only to {self.at}: {self.end}"

    def goes_on(self):
        """Let a slow one go on by a piece."""
        before = self.at
        self._worker.order(pull=self._number)
        with self._worker.changed:
            assert self._worker.changed.wait_for(lambda: self.at > before or self.end is not None, LONG_S)

    def ends(self):
        """(sha256 of what it got, name of the error or None)."""
        with self._worker.changed:
            assert self._worker.changed.wait_for(lambda: self.end is not None, LONG_S), "it never ended"
        return self.end


class RemoteWorker:
    def __init__(self, root, hub, kind):
        with socket.create_server(("127.0.0.1", 0)) as listener:
            listener.settimeout(LONG_S)
            ports = [str(listener.getsockname()[1]), str(hub.port)]
            self._process = subprocess.Popen([sys.executable, str(NODE), *ports, str(root), kind])
            self._control, _ = listener.accept()
        self._control.settimeout(None)
        self.changed = threading.Condition()
        self._readings = []
        threading.Thread(target=self._listen, daemon=True).start()

    def reads(self, blob, span=None, *, slow=False):
        span = blob.whole if span is None else span
        reading = RemoteReading(self, len(self._readings))
        self._readings.append(reading)
        self.order(
            read=len(self._readings) - 1,
            etag=blob.etag,
            size=blob.size,
            start=span.start,
            stop=span.stop,
            slow=slow,
        )
        return reading

    def order(self, **what):
        self._control.sendall(json.dumps(what).encode() + b"\n")

    def is_killed(self):
        self._process.send_signal(signal.SIGKILL)
        self._process.wait(LONG_S)

    def ends(self):
        self._process.kill()
        self._process.wait(LONG_S)
        self._control.close()

    def _listen(self):
        try:
            for line in self._control.makefile("r"):
                news = json.loads(line)
                reading = self._readings[news["read"]]
                with self.changed:
                    if "at" in news:
                        reading.at = news["at"]
                    else:
                        reading.end = (news["sha"], news["error"])
                    self.changed.notify_all()
        except (OSError, ValueError):
            return


@pytest.fixture
def make_hub():
    hubs = []

    def make(origin):
        hubs.append(Hub(origin))
        return hubs[-1]

    yield make
    for hub in hubs:
        hub.closes()


@pytest.fixture(params=["threads", "gevent"])
def start_worker(request, tmp_path):
    workers = []

    def start(hub):
        workers.append(RemoteWorker(tmp_path / "repos", hub, request.param))
        return workers[-1]

    yield start
    for worker in workers:
        worker.ends()
