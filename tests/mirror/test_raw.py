from dingospeed.mirror.raw import pointer
from dingospeed.model import Blob


def test_pointer__lfs_file__the_text_of_the_specification():
    assert pointer(Blob("4d7a" + "0" * 60, 12345)) == (
        b"version https://git-lfs.github.com/spec/v1\n"
        b"oid sha256:4d7a000000000000000000000000000000000000000000000000000000000000\n"
        b"size 12345\n"
    )
