"""What a node holds, told to the group: as it grows, all of it, and never more than is taken."""

import os
import resource

import pytest

from dingospeed.cluster.holdings import WHOLE, Holding, Holdings
from dingospeed.cluster.link import Link
from dingospeed.download.filling import Fillings
from dingospeed.model import Blob, Span
from dingospeed.store.blobs import Blobs
from dingospeed.store.inventory import Inventory
from dingospeed.store.layout import Layout
from dingospeed.upkeep.announcing import Announcing
from tests.harness import wait_until
from tests.redis_server import redis  # noqa: F401

BLOCK = 4096
CELL = 8 * BLOCK


class Node:
    """One that speaks for itself, in an epoch."""

    def __init__(self):
        self.is_beating = True
        self.snapshot = self
        self.epoch = "first"


@pytest.fixture
def layout(tmp_path):
    layout = Layout(tmp_path / "repos")
    layout.prepare()
    return layout


@pytest.fixture
def blobs(layout):
    return Blobs(layout=layout, block_bytes=BLOCK)


@pytest.fixture
def fillings(blobs):
    return Fillings(blobs=blobs, segment_blocks=8)


@pytest.fixture
def holdings(redis):  # noqa: F811
    link = Link(redis.url, timeout_s=1)
    holdings = Holdings(link=link, group="g", id="a", lifetime_s=600)
    holdings.start()
    yield holdings
    holdings.stop()
    link.close()


@pytest.fixture
def node():
    return Node()


@pytest.fixture
def announcing(layout, blobs, fillings, holdings, node):
    announcing = Announcing(
        registry=node,
        holdings=holdings,
        inventory=Inventory(layout=layout, blobs=blobs, cell_bytes=CELL),
        fillings=fillings,
        cell_bytes=CELL,
        repeat_s=3600,
    )
    yield announcing
    announcing.stop()


@pytest.fixture
def told(redis):  # noqa: F811
    return lambda blob: redis.client.hget(f"g:blob:{blob.etag}", "a")


def fill(filling, span):
    filling.file.write(bytes(len(span)), span.start)
    filling.file.mark(span)


def test_look__a_blob_grows_and_is_thrown_away__told_each_time(announcing, fillings, told):
    blob = Blob("a" * 64, 2 * CELL)
    filling = fillings.enter(blob)
    fill(filling, Span(0, CELL))
    announcing.look()
    wait_until(lambda: told(blob) == Holding(CELL, 1).text)

    fill(filling, Span(CELL, 2 * CELL))
    announcing.look()
    wait_until(lambda: told(blob) == Holding(CELL, 3).text)

    filling.file.reject()
    fillings.leave(filling, reading=True)
    announcing.look()
    wait_until(lambda: told(blob) is None)


def test_look__opened_filled_and_closed_since_the_last_look__told(announcing, fillings, blobs, told):
    blob = Blob("b" * 64, 100)
    filling = fillings.enter(blob)
    fill(filling, blob.whole)
    blobs.seal(filling.file)
    fillings.leave(filling, reading=True)

    announcing.look()

    wait_until(lambda: told(blob) == WHOLE.text)


def test_all__redis_was_emptied__told_anew(announcing, layout, node, redis, told):  # noqa: F811
    blob = Blob("c" * 64, 3)
    path = layout.sealed(blob.etag)
    path.parent.mkdir()
    path.write_bytes(b"abc")
    announcing.start()
    wait_until(lambda: told(blob) == WHOLE.text)

    redis.client.flushall()
    node.epoch = "second"

    wait_until(lambda: told(blob) == WHOLE.text)


def test_all__a_hundred_thousand_blobs__told_within_bounds_of_memory(
    announcing,
    layout,
    holdings,
    redis,  # noqa: F811
):
    for first in range(256):
        folder = layout.blobs / f"{first:02x}"
        folder.mkdir()
        for number in range(391):
            os.close(os.open(folder / f"{first:02x}{number:062x}", os.O_CREAT | os.O_WRONLY))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    announcing.tell_all()

    wait_until(lambda: holdings.untold == 0)
    assert redis.client.dbsize() == announcing.blobs == 256 * 391
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 20_000  # KiB
