"""Keys: the same for all, nobody else's, and never half of one."""

import pytest

from dingospeed.errors import StoreError
from dingospeed.store.keys import own_key, read_key
from tests.harness import all_at_once


def test_key__asked_by_many_at_once__all_get_the_same(tmp_path):
    path = tmp_path / "keys" / "admin"

    found = all_at_once([lambda: own_key(path)] * 8)

    assert len(set(found)) == 1
    assert found[0] == read_key(path)
    assert len(found[0]) == 64
    assert [file.name for file in path.parent.iterdir()] == ["admin"]


def test_key__made__is_readable_by_its_owner_only(tmp_path):
    own_key(tmp_path / "key")

    assert (tmp_path / "key").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("content", [b"", b"short\n", b"\xff" * 65, b"G" * 64 + b"\n"])
def test_key__damaged__is_refused_and_kept(tmp_path, content):
    path = tmp_path / "key"
    path.write_bytes(content)

    with pytest.raises(StoreError, match="damaged"):
        own_key(path)
    assert path.read_bytes() == content


def test_key__place_can_not_be_written__is_an_error_of_the_store(tmp_path):
    (tmp_path / "file").write_text("")

    with pytest.raises(StoreError):
        own_key(tmp_path / "file" / "key")
