import pytest

from dingospeed.errors import EntryNotFound, UpstreamError
from dingospeed.mirror.tree import Tree, masked
from dingospeed.model import Blob, RepoRef

REPO, COMMIT, SHA1, SHA256 = RepoRef("models", "org", "name"), "c" * 40, "1" * 40, "2" * 64
ENTRIES = [
    {"type": "file", "path": "a.txt", "size": 3, "oid": SHA1},
    {"type": "directory", "path": "dir", "size": 0, "oid": SHA1},
    {"type": "directory", "path": "dir/sub", "size": 0, "oid": SHA1},
    {
        "type": "file",
        "path": "dir/sub/big.bin",
        "size": 9,
        "oid": SHA1,
        "lfs": {"oid": SHA256, "size": 9, "pointerSize": 130},
    },
    {"type": "file", "path": "dir/x", "size": 1, "oid": SHA1},
    {"type": "file", "path": "dirt", "size": 1, "oid": SHA1},
]


def paths(entries):
    return [entry["path"] for entry in entries]


@pytest.fixture
def tree():
    return Tree(REPO, COMMIT, ENTRIES)


@pytest.mark.parametrize(
    ("folder", "is_recursive", "expected"),
    [
        ("", True, ["a.txt", "dir", "dir/sub", "dir/sub/big.bin", "dir/x", "dirt"]),
        ("", False, ["a.txt", "dir", "dirt"]),
        ("dir", True, ["dir/sub", "dir/sub/big.bin", "dir/x"]),
        ("dir", False, ["dir/sub", "dir/x"]),
        ("dir/sub", False, ["dir/sub/big.bin"]),
    ],
)
def test_listing__folder__what_lies_in_it(tree, folder, is_recursive, expected):
    assert paths(tree.listing(folder, is_recursive=is_recursive)) == expected


@pytest.mark.parametrize("folder", ["none", "a.txt", "di", "dir/sub/big.bin"])
def test_listing__no_folder__is_not_found_at_that_commit(tree, folder):
    with pytest.raises(EntryNotFound) as caught:
        tree.listing(folder, is_recursive=True)
    assert caught.value.commit == COMMIT


def test_file__plain_and_lfs__named_by_the_hash_of_its_content(tree):
    assert tree.file("a.txt").blob == Blob(SHA1, 3)
    assert tree.file("dir/sub/big.bin").blob == Blob(SHA256, 9)


@pytest.mark.parametrize("path", ["none", "dir", "dir/sub"])
def test_file__missing_or_a_folder__is_not_found(tree, path):
    with pytest.raises(EntryNotFound):
        tree.file(path)


def test_file__identity_masked__is_no_identity():
    tree = Tree(REPO, COMMIT, masked(ENTRIES))

    assert tree.is_masked
    assert tree.file("a.txt").blob.etag == SHA1
    with pytest.raises(UpstreamError):
        tree.file("dir/sub/big.bin")


def test_masked__entries__leaves_the_original_alone(tree):
    masked(tree.entries)

    assert not tree.is_masked


def test_named__known_twice_and_unknown__once_each_without_the_unknown(tree):
    assert paths(tree.named(["dir/x", "no", "a.txt", "/dir/x", "dir"])) == ["dir/x", "a.txt", "dir"]


def test_siblings__lfs__its_hash_is_called_sha256(tree):
    assert tree.siblings()[1] == {
        "rfilename": "dir/sub/big.bin",
        "blobId": SHA1,
        "size": 9,
        "lfs": {"sha256": SHA256, "size": 9, "pointerSize": 130},
    }
