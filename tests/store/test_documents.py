from __future__ import annotations

import errno
import os
import threading

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dingospeed.store.documents import Documents


@pytest.fixture
def make():
    return Documents


@pytest.fixture
def documents(make):
    return make(memory_bytes=1 << 20)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "a" / "b.json"


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(st.characters()),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters()), inner),
    max_leaves=10,
)


@given(value=json_values)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_read__any_value_written__the_same(make, path, value):
    make(memory_bytes=0).write(path, value)

    assert make(memory_bytes=0).read(path).value == value


def test_read__text_that_is_no_text__the_same(documents, path):
    lone_surrogate = "\ud800"  # JSON may hold it, UTF-8 may not

    assert documents.write(path, lone_surrogate)

    assert documents.read(path).value == lone_surrogate


def test_read__none_there__none(documents, path):
    assert documents.read(path) is None


def test_read__unchanged__not_parsed_again(documents, path):
    documents.write(path, {"a": 1})

    assert documents.read(path).value is documents.read(path).value


def test_read__replaced_by_another_process__the_new_one(make, documents, path):
    documents.write(path, {"a": 1})
    documents.read(path)

    make(memory_bytes=0).write(path, {"a": 2})

    assert documents.read(path).value == {"a": 2}


def test_read__touched__as_if_written_now(documents, path):
    documents.write(path, {"a": 1})
    os.utime(path, (1000, 1000))
    assert documents.read(path).written_at == 1000

    documents.touch(path)

    assert documents.read(path).written_at > 1000


def test_read__deleted__none(documents, path):
    documents.write(path, {"a": 1})
    documents.read(path)

    documents.delete(path)
    documents.delete(path)

    assert documents.read(path) is None


@pytest.mark.parametrize("damage", [b"", b'{"a": ', b"\xff\xfe\x00", b"<html>"])
def test_read__damaged__set_aside(documents, path, damage):
    documents.write(path, {"a": 1})
    path.write_bytes(damage)

    assert documents.read(path) is None

    (aside,) = path.parent.iterdir()
    assert aside.name.startswith("b.json.damaged-")
    assert documents.write(path, {"a": 2})
    assert documents.read(path).value == {"a": 2}


def test_read__larger_than_the_memory__read_all_the_same(make, path):
    documents = make(memory_bytes=100)

    documents.write(path, ["x"] * 1000)

    assert documents.read(path).value == ["x"] * 1000


@pytest.mark.parametrize("name", ["write_bytes", "replace", "mkdir"])
@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_write__no_space__old_one_stays_and_nothing_lies_about(documents, path, monkeypatch, name, error):
    documents.write(path, {"a": 1})

    def full(*_args, **_kwargs):
        raise OSError(error, os.strerror(error))

    monkeypatch.setattr(type(path), name, full)
    assert documents.write(path, {"a": 2}) is False
    monkeypatch.undo()

    assert documents.read(path).value == {"a": 1}
    assert list(path.parent.iterdir()) == [path]


def test_write__disk_really_full__says_so(make, tiny_disk):
    documents = make(memory_bytes=0)
    path = tiny_disk / "a.json"
    documents.write(path, "small")

    assert documents.write(path, "x" * (1 << 20)) is False

    assert documents.read(path).value == "small"


def test_write__by_many_threads_while_others_read__always_whole(documents, path):
    documents.write(path, [0] * 1000)
    done, wrong = threading.Event(), []

    def read():
        while not done.is_set():
            value = documents.read(path).value
            if len(value) != 1000 or len(set(value)) != 1:
                wrong.append(value)

    def write(number):
        for turn in range(50):
            documents.write(path, [number * 100 + turn] * 1000)

    readers = [threading.Thread(target=read) for _ in range(2)]
    writers = [threading.Thread(target=write, args=(number,)) for number in range(3)]
    for thread in readers + writers:
        thread.start()
    for thread in writers:
        thread.join(60)
    done.set()
    for thread in readers:
        thread.join(60)

    assert wrong == []
    assert list(path.parent.iterdir()) == [path]
