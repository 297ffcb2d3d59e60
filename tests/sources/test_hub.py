import collections

import pytest

from dingospeed.errors import GatedRepo, LineFailed, NotServed
from dingospeed.model import Span
from dingospeed.sources import hub as source
from tests.sources.conftest import LET_IN, OTHER, SMALL


def read(line, meta, span=None, token=None):
    return b"".join(source.read(line, meta, span or meta.blob.whole, token))


@pytest.mark.parametrize("path", ["small.txt", "big.bin", "page.html"])
def test_read__whole_and_parts__exactly_those_bytes(line, repo, meta, path):
    content, file = repo.content(path), meta(path)

    assert read(line, file) == content
    assert read(line, file, Span(1, 4)) == content[1:4]
    assert read(line, file, Span(len(content) - 3, len(content))) == content[-3:]


@pytest.mark.parametrize(
    ("kind", "arguments"),
    [
        ("status", {"code": 500}),
        ("html_200", {}),
        ("ignore_range", {}),
        ("wrong_content_range", {}),
        ("wrong_total", {}),
        ("gzip", {}),
        ("cut", {"after": 100}),
        ("short", {"missing": 10}),
    ],
)
@pytest.mark.parametrize("where", ["cdn"])
def test_read__answer_that_is_not_what_was_asked__line_failed(hub, line, repo, meta, where, kind, arguments):
    hub.fault(where, kind, **arguments)
    got = bytearray()

    with pytest.raises(LineFailed):
        collections.deque(map(got.extend, source.read(line, meta("big.bin"), Span(1000, 200_000), None)), 0)

    assert repo.content("big.bin")[1000:].startswith(bytes(got))


@pytest.mark.parametrize("code", [404, 410, 451])
def test_read__line_does_not_have_it__nothing_to_hold_against_the_line(hub, line, meta, code):
    hub.fault("resolve", "status", code=code)

    with pytest.raises(NotServed):
        read(line, meta("small.txt"))


@pytest.mark.parametrize("code", [401, 403, 404])
def test_read__link_of_the_cdn_does_not_work__is_no_refusal(hub, line, meta, code):
    hub.fault("cdn", "status", code=code)

    with pytest.raises(LineFailed):
        read(line, meta("big.bin"))


def test_read__gated__only_with_the_right_token(repo, line, meta):
    repo.gated = "manual"
    repo.grant("ann")

    assert read(line, meta("small.txt"), token=LET_IN) == SMALL
    for token in (None, OTHER):
        with pytest.raises(GatedRepo):
            read(line, meta("small.txt"), token=token)
