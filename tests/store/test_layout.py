from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dingospeed.errors import StoreError
from dingospeed.model import RepoRef
from dingospeed.store.layout import Layout, file_name

# As they may come in a request: of any length, with dots, slashes and what else there is.
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=300) | st.text("./%", max_size=10)


@given(texts)
def test_file_name__any_text__one_component_within_its_directory(text):
    name = file_name(text)

    assert name not in ("", ".", "..")
    assert "/" not in name
    assert "\0" not in name
    assert len(name.encode()) <= 200


@given(texts, texts)
def test_file_name__two_texts__two_names(one, other):
    assert (file_name(one) == file_name(other)) == (one == other)


def test_file_name__named_like_the_hash_of_a_long_one__another():
    long = "x" * 1000

    assert file_name(file_name(long)) != file_name(long)


@given(st.lists(texts, min_size=1, max_size=3))
def test_api__any_names__below_the_repo(names):
    layout = Layout(Path("/cache"))

    path = layout.api(RepoRef.parse("models", "org/name"), *names)

    folder = Path("/cache/api/models/org/name")
    assert Path(os.path.normpath(path)) == path
    assert path.is_relative_to(folder)
    assert len(path.relative_to(folder).parts) == len(names)


def test_api__repos_of_all_kinds__all_apart():
    layout = Layout(Path("/cache"))
    repos = [
        RepoRef.parse(type, id) for type in ("models", "datasets") for id in ("gpt2", "org/gpt2", "gpt2/gpt2")
    ]

    assert len({layout.api(repo, "info") for repo in repos}) == len(repos)


def test_prepare__nothing_there__all_directories(tmp_path):
    layout = Layout(tmp_path / "deep" / "repos")

    layout.prepare()
    layout.prepare()

    assert sorted(path.name for path in layout.root.iterdir()) == ["access", "api", "blobs", "run"]


def test_prepare__place_is_a_file__says_what_is_wrong(tmp_path):
    (tmp_path / "repos").write_text("no directory")

    with pytest.raises(StoreError, match="repos"):
        Layout(tmp_path / "repos").prepare()


def test_paths__cache_given_relative__absolute(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    assert Layout(Path("repos")).sealed("ab" + "0" * 62) == tmp_path / "repos/blobs/ab" / ("ab" + "0" * 62)
