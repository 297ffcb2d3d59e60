import pytest
from hypothesis import given
from hypothesis import strategies as st

from dingospeed.errors import BadRequest, DingospeedError, RepoNotFound
from dingospeed.model import Blob, RepoRef, Span, checked_path, checked_revision, is_etag

spans = st.tuples(st.integers(0, 500), st.integers(0, 500)).map(lambda ends: Span(min(ends), max(ends)))


@given(spans, spans)
def test_overlap__any_two__is_what_both_cover(one, other):
    both = set(range(one.start, one.stop)) & set(range(other.start, other.stop))

    overlap = one.overlap(other)

    assert (set(range(overlap.start, overlap.stop)) if overlap else set()) == both


@given(spans, st.integers(1, 100))
def test_cells__any__are_those_touched(span, size):
    assert list(span.cells(size)) == sorted({byte // size for byte in range(span.start, span.stop)})


@pytest.mark.parametrize("ends", [(-1, 3), (4, 3)])
def test_span__impossible__is_refused(ends):
    with pytest.raises(ValueError):
        Span(*ends)


@pytest.mark.parametrize(
    ("type", "id", "page", "file"),
    [
        ("models", "org/name", "/org/name", "/org/name/resolve/refs%2Fpr%2F1/a%20b/c%23.txt"),
        ("models", "gpt2", "/gpt2", "/gpt2/resolve/refs%2Fpr%2F1/a%20b/c%23.txt"),
        ("datasets", "org/d.a-t_a", "/datasets/org/d.a-t_a", None),
    ],
)
def test_repo__paths__as_the_hub_has_them(type, id, page, file):
    repo = RepoRef.parse(type, id)

    assert repo.id == id
    assert repo.web_path == page
    assert file is None or repo.resolve_path("refs/pr/1", "a b/c#.txt") == file


@pytest.mark.parametrize(
    "id",
    [
        "",
        "/",
        "a/",
        "/a",
        "..",
        "a/..",
        "../a",
        ".a",
        "a/.b",
        "a/b/c",
        "a b",
        "a\0",
        "-a",
        "x" * 97,
        "a..b",
        "é",
    ],
)
def test_repo__name_the_hub_can_not_have__is_not_found(id):
    with pytest.raises(RepoNotFound):
        RepoRef.parse("models", id)


@given(st.text())
def test_repo__any_text__is_a_safe_path_or_refused(id):
    try:
        repo = RepoRef.parse("models", id)
    except DingospeedError:
        return
    assert not {"", ".", ".."} & set(repo.id.split("/"))
    assert "\0" not in repo.id


@pytest.mark.parametrize("etag", ["*" * 64, "a" * 39, "A" * 40, "g" * 40, "", "a" * 40 + "\n"])
def test_etag__masked_or_misshapen__is_none(etag):
    assert not is_etag(etag)
    with pytest.raises(ValueError):
        Blob(etag, 1)


@pytest.mark.parametrize("text", ["", "..", "a/..", "a//b", "/a", "a/", "a\nb", "\0", "x" * 201])
def test_revision__impossible__is_refused(text):
    with pytest.raises(BadRequest):
        checked_revision(text)


@pytest.mark.parametrize("text", ["main", "refs/pr/1", "v1.0", "ünï", "a.b/c"])
def test_revision__possible__is_taken(text):
    assert checked_revision(text) == text


@pytest.mark.parametrize(
    "text", ["", "..", "a/../b", "a//b", "/a", "a/", "a\0b", "x" * 256, "ü" * 128, "a/" * 2048 + "a"]
)
def test_path__impossible__is_refused(text):
    with pytest.raises(BadRequest):
        checked_path(text)
