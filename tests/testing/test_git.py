from dingospeed.testing import git

HELLO = "ce013625030ba8dba906f756967f9e9ca394464a"  # printf 'hello\n' | git hash-object --stdin


def test_blob_id__of_bytes__is_what_git_says():
    assert git.blob_id(b"hello\n") == HELLO
    assert git.blob_id(b"") == "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391"


def test_tree_id__of_nothing__is_the_empty_tree():
    assert git.tree_id([]) == "4b825dc642cb6eb9a060e54bf8d69288fbee4904"


def test_tree_id__rows_out_of_order__is_what_git_says():
    rows = [
        (git.FILE_MODE, "sub.txt", HELLO),
        (git.DIRECTORY_MODE, "sub", git.tree_id([(git.FILE_MODE, "x", HELLO)])),
        (git.FILE_MODE, "a", HELLO),
    ]

    assert git.tree_id(rows) == "b41100e821a3279216d003921eeaeb9ae87f3fbf"


def test_lfs_pointer__sizes_of_seven_and_nine_digits__is_as_long_as_the_hub_says():
    assert len(git.lfs_pointer("c" * 64, 1_048_576)) == 132
    assert len(git.lfs_pointer("c" * 64, 548_105_171)) == 134
