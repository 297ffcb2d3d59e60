import pytest

from dingospeed.errors import GatedRepo, UpstreamError
from dingospeed.model import Span
from tests.sources.conftest import LET_IN, SMALL


def read(chain, meta, *, token=None, is_restricted=False, span=None):
    source = chain.source(meta, token=token, is_restricted=is_restricted)
    return b"".join(source.read(span or meta.blob.whole))


def states(lines):
    return [line["state"] for line in lines.snapshot()]


def test_read__line_breaks_off__the_next_goes_on_at_that_byte(hub, second, repo, chain, meta):
    hub.fault("cdn", "cut", after=700_000)

    assert read(chain, meta("big.bin")) == repo.content("big.bin")
    asked = [call.range for call in second.select(host="cdn")]
    assert len(asked) == 1
    assert 0 < int(asked[0].removeprefix("bytes=").partition("-")[0]) <= 700_000


def test_read__both_break_off__as_long_as_they_get_on_it_goes_on(hub, second, repo, chain, meta):
    for one in (hub, second):
        one.fault("cdn", "cut", after=200_000)

    # A line that breaks is left alone after a while; this many bytes come before that or not at all.
    span = Span(0, 300_000)

    assert read(chain, meta("big.bin"), span=span) == repo.content("big.bin")[:300_000]


def test_read__came_wrong_before__is_asked_of_the_other_line(hub, second, make_chain, meta):
    assert read(make_chain(rejections=1), meta("small.txt")) == SMALL
    assert (hub.count(), bool(second.count())) == (0, True)


def test_read__no_line_delivers__fails_after_its_rounds(hub, second, make_chain, meta):
    for one in (hub, second):
        one.fault("any", "status", code=500)

    with pytest.raises(UpstreamError):
        read(make_chain(rounds=1), meta("small.txt"))


def test_read__file_is_nowhere__lines_stay_healthy(hub, second, lines, chain, meta):
    for one in (hub, second):
        one.fault("any", "status", code=404, path="small")

    for _ in range(3):
        with pytest.raises(UpstreamError):
            read(chain, meta("small.txt"))

    assert states(lines) == ["healthy", "healthy"]
    assert len(read(chain, meta("big.bin"))) == meta("big.bin").blob.size


def test_read__only_a_line_that_is_no_hub_refuses__is_no_refusal(hub, second, chain, meta):
    hub.fault("any", "status", code=500)
    second.fault("any", "status", code=403)

    with pytest.raises(UpstreamError):
        read(chain, meta("small.txt"))


def test_read__hub_refuses__is_refused_whatever_other_lines_do(repo, second, chain, meta):
    repo.gated = "auto"
    second.fault("any", "status", code=500)

    with pytest.raises(GatedRepo):
        read(chain, meta("small.txt"))


def test_read__restricted__no_line_but_the_hub_is_asked(hub, second, repo, chain, meta):
    repo.gated = "manual"
    repo.grant("ann")
    assert read(chain, meta("small.txt"), token=LET_IN, is_restricted=True) == SMALL
    hub.fault("any", "status", code=503)

    with pytest.raises(UpstreamError):
        read(chain, meta("big.bin"), token=LET_IN, is_restricted=True)
    assert second.calls == []


def test_read__token_given__is_told_to_the_hub_only(hub, second, repo, chain, meta):
    hub.fault("cdn", "cut", after=1000)

    assert read(chain, meta("big.bin"), token=LET_IN) == repo.content("big.bin")
    assert hub.leaks == []
    assert second.calls
    assert not any(call.authorization for call in second.calls)
