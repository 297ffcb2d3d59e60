import pytest

from dingospeed.mirror.git import advertisement, upload_pack


def test_advertisement__headers__say_what_is_spoken():
    asked = advertisement("version=2")

    assert asked.path == "/info/refs?service=git-upload-pack"
    assert asked.body is None
    assert asked.headers() == {
        "Accept": "application/x-git-upload-pack-advertisement",
        "Git-Protocol": "version=2",
    }


def test_upload_pack__packed__goes_on_as_it_came():
    asked = upload_pack("version=2:x=1", b"\x1f\x8b", "gzip")

    assert (asked.path, asked.body) == ("/git-upload-pack", b"\x1f\x8b")
    assert asked.headers() == {
        "Accept": "application/x-git-upload-pack-result",
        "Content-Encoding": "gzip",
        "Content-Type": "application/x-git-upload-pack-request",
        "Git-Protocol": "version=2:x=1",
    }


@pytest.mark.parametrize("protocol", ["", "version=2\r\nX: y", "a b", "x" * 101, "é"])
def test_headers__protocol_makes_no_sense__left_out(protocol):
    assert "Git-Protocol" not in advertisement(protocol).headers()
    assert "Content-Encoding" not in upload_pack(protocol, b"", "identity").headers()
