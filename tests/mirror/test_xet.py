import pytest

from dingospeed.mirror.tree import Tree, masked
from dingospeed.mirror.xet import Offers, without_xet
from dingospeed.model import Blob, RepoRef

MIB = 1 << 20
SHA, HASH = "a" * 64, "b" * 64
PLAIN = {"type": "file", "path": "a.txt", "size": 5, "oid": "c" * 40}
FOLDER = {"type": "directory", "path": "d", "size": 0, "oid": "d" * 40}


def large(size=MIB, **changed):
    lfs = {"oid": SHA, "size": size, "pointerSize": 130}
    return {"type": "file", "path": "big", "size": size, "oid": "e" * 40, "lfs": lfs, **changed}


def test_without_xet__nested__nothing_left_and_original_alone():
    value = [{"xetHash": "x", "lfs": {"xetHash": "y", "oid": "z"}, "path": "xetHash"}]

    assert without_xet(value) == [{"lfs": {"oid": "z"}, "path": "xetHash"}]
    assert "xetHash" in value[0]


@pytest.mark.parametrize(
    ("above_bytes", "size", "is_offered"),
    [(None, MIB, False), (0, 0, False), (0, 1, True), (MIB, MIB, False), (MIB, MIB + 1, True)],
)
def test_offers__by_size__in_listings_as_of_single_files(above_bytes, size, is_offered):
    offers = Offers(above_bytes=above_bytes)

    assert offers.hash_of(Blob(SHA, size), HASH) == (HASH if is_offered else None)
    (shown,) = offers.shown([large(size, xetHash=HASH)])
    assert shown == large(size, **({"xetHash": HASH} if is_offered else {}))


def test_offers__hub_told_no_hash__the_sha256():
    (shown,) = Offers(above_bytes=0).shown([large()])

    assert shown["xetHash"] == Offers(above_bytes=0).hash_of(Blob(SHA, MIB), None) == SHA


def test_offers__no_file_of_lfs__never():
    entries = [{**PLAIN, "xetHash": HASH}, FOLDER]

    assert Offers(above_bytes=0).shown(entries) == [PLAIN, FOLDER]
    assert Offers(above_bytes=0).hash_of(Blob("c" * 40, MIB), HASH) is None


@pytest.mark.parametrize("told", ["*" * 64, "B" * 64, "b" * 63, "b" * 64 + "\n", None, 5])
def test_hash__told_by_the_hub_but_none__counts_as_not_told(told):
    tree = Tree(RepoRef("models", "org", "m"), "f" * 40, [large(xetHash=told)])

    assert tree.file("big").xet_hash is None
    assert Offers(above_bytes=0).shown(tree.entries)[0]["xetHash"] == SHA


def test_offers__starred_out__nothing():
    starred = masked([large(xetHash=HASH)])

    assert "xetHash" not in starred[0]
    assert "xetHash" not in Offers(above_bytes=0).shown(starred)[0]


def test_by_xet_hash__the_hubs_or_the_sha256__finds_the_file():
    tree = Tree(RepoRef("models", "org", "m"), "f" * 40, [PLAIN, large(xetHash=HASH)])

    assert tree.by_xet_hash(HASH) == tree.by_xet_hash(SHA) == tree.file("big")
    assert tree.by_xet_hash("0" * 64) is None
