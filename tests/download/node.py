"""The download engine as one worker has it, from the leases to the reader.

Run as a program it is a worker of its own, for tests with several processes:

    node.py CONTROL_PORT HUB_PORT ROOT threads|gevent

It connects to both ports. Over the control connection come lines of JSON, each the start of
a read: {"read": number, "etag", "size", "start", "stop", "slow"}, or {"pull": number} for
the next piece of a slow one. Back go {"read": number, "at": position} for each piece,
and {"read": number, "sha": hash, "error": name} at the end.
"""

from __future__ import annotations

import sys

if __name__ == "__main__" and sys.argv[4] == "gevent":
    from gevent import monkey

    monkey.patch_all()

import hashlib
import json
import os
import socket
import threading
from contextlib import closing
from pathlib import Path

from prometheus_client import CollectorRegistry

from dingospeed.download.fetch import Fetcher, Pool
from dingospeed.download.filling import Fillings
from dingospeed.download.reader import Reader, ReaderOptions
from dingospeed.download.verify import Verifier
from dingospeed.errors import DingospeedError, UpstreamError
from dingospeed.flight.leases import Leases
from dingospeed.metrics import Metrics
from dingospeed.model import Blob, FileSpan, Span
from dingospeed.store.blobs import Blobs
from dingospeed.store.layout import Layout

BLOCK = 16 << 10
SEGMENT = 8 * BLOCK


class Engine:
    """All parts, connected. Each can be reached by its name."""

    def __init__(
        self,
        root,
        *,
        block_bytes=BLOCK,
        segment_blocks=8,
        pool=8,
        read_ahead=4,
        hold_s=600.0,
        finish_share=2.0,
        linger_s=0.0,
    ):
        self.layout = Layout(Path(root))
        self.layout.prepare()
        self.metrics = Metrics(CollectorRegistry())
        self.blobs = Blobs(layout=self.layout, block_bytes=block_bytes)
        self.leases = Leases(path_of=self.layout.lease)
        self.fillings = Fillings(blobs=self.blobs, segment_blocks=segment_blocks)
        self.pool = Pool(pool)
        self.verifier = Verifier(
            blobs=self.blobs,
            fillings=self.fillings,
            leases=self.leases,
            metrics=self.metrics,
            linger_s=linger_s,
        )
        self.fetcher = Fetcher(
            fillings=self.fillings,
            leases=self.leases,
            pool=self.pool,
            read_ahead=read_ahead,
            metrics=self.metrics,
        )
        self.reader = Reader(
            blobs=self.blobs,
            fillings=self.fillings,
            fetcher=self.fetcher,
            verifier=self.verifier,
            options=ReaderOptions(hold_s, finish_share),
            metrics=self.metrics,
        )

    def pieces(self, blob, span, source):
        """The bytes of each piece, as they come."""
        with closing(self.reader.read(blob, span, source)) as pieces:
            for piece in pieces:
                yield bytes_of(piece)

    def read(self, blob, source, span=None):
        return b"".join(self.pieces(blob, blob.whole if span is None else span, source))


def bytes_of(piece):
    return os.pread(piece.fd, len(piece), piece.start) if isinstance(piece, FileSpan) else piece


class HubSource:
    """Asks the test's own process for bytes."""

    def __init__(self, port):
        self._port = port

    def read(self, span):
        with socket.create_connection(("127.0.0.1", self._port)) as hub:
            hub.sendall(b"%d %d\n" % (span.start, span.stop))
            left = len(span)
            while left:
                piece = hub.recv(min(left, 1 << 16))
                if not piece:
                    raise UpstreamError("the hub broke off")
                left -= len(piece)
                yield piece


class Worker:
    def __init__(self, control_port, hub_port, root):
        self._engine = Engine(root)
        self._source = HubSource(hub_port)
        self._control = socket.create_connection(("127.0.0.1", control_port))
        self._lock = threading.Lock()
        self._pulls = {}

    def run(self):
        for line in self._control.makefile("r"):
            order = json.loads(line)
            if "pull" in order:
                self._pulls[order["pull"]].release()
                continue
            self._pulls[order["read"]] = threading.Semaphore(0)
            threading.Thread(target=self._read, args=(order,), daemon=True).start()

    def _read(self, order):
        number, position, hash = order["read"], order["start"], hashlib.sha256()
        blob, span = Blob(order["etag"], order["size"]), Span(order["start"], order["stop"])
        error = None
        try:
            for piece in self._engine.pieces(blob, span, self._source):
                position += len(piece)
                hash.update(piece)
                self._tell(read=number, at=position)
                if order["slow"]:
                    self._pulls[number].acquire()
        except DingospeedError as failure:
            error = type(failure).__name__
        self._tell(read=number, sha=hash.hexdigest(), error=error)

    def _tell(self, **what):
        with self._lock:
            self._control.sendall(json.dumps(what).encode() + b"\n")


if __name__ == "__main__":
    Worker(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]).run()
