from functools import partial
from typing import Any

import pytest

from dingospeed.errors import Forbidden, NoLine
from dingospeed.mirror.cleaned import Cleaner
from dingospeed.mirror.forward import Forward, Question
from dingospeed.model import Caller
from dingospeed.store.shelf import Shelf

OWN, HUB = "http://mirror:8090", "http://hub.example:7"


@pytest.fixture
def forward(lines, documents, layout, together):
    nobody: Any = None  # Asked about repos only.
    return Forward(
        lines=lines,
        access=nobody,
        together=together,
        shelf=Shelf(documents=documents, path_of=partial(layout.shelf, "x"), most=10, most_bytes=1 << 20),
        cleaner=Cleaner(addresses=[HUB]),
        changed_at=lambda repo: 0.0,
        ttl_s=300,
    )


def get(forward, path="/api/models?limit=1"):
    return forward.ask(Question(path), Caller("hf_his"), own_url=OWN)


@pytest.mark.parametrize(
    ("link", "expected"),
    [
        (f'<{HUB}/api/models?cursor=a%3D&limit=1>; rel="next"', "/api/models?cursor=a%3D&limit=1"),
        ('</api/models?cursor=a>; rel="next"', "/api/models?cursor=a"),
        ('<https://evil.org/api/models?cursor=a>; rel="next"', "/api/models?cursor=a"),
        ('</x>; rel="prev", </api/models?cursor=b>; rel="next"', "/api/models?cursor=b"),
        ('<https://cas.example/xet>; rel="xet-auth"', None),
        ('<https://evil.org/login?next=x>; rel="next"', None),
        ('<http://[/api/>; rel="next"', None),
        ("nonsense", None),
    ],
)
def test_link__of_a_list__is_our_own_and_absolute(lines, forward, link, expected):
    lines.answers("", [], headers={"Link": link})

    assert get(forward).headers.get("Link") == (f'<{OWN}{expected}>; rel="next"' if expected else None)


@pytest.mark.parametrize(
    "location",
    [
        "https://evil.org/",
        "//evil.org/",
        "/\\evil.org",
        "evil",
        "",
        f"{OWN}.evil.org/",
        f"{OWN}//evil.org",
    ],
)
def test_location__leads_elsewhere__is_not_handed_on(lines, forward, location):
    lines.answers("", {}, status=302, headers={"Location": location})

    with pytest.raises(Forbidden):
        get(forward)


@pytest.mark.parametrize("location", ["/api/x?y=1", f"{HUB}/api/x?y=1", f"{HUB.upper()}/api/x?y=1"])
def test_location__at_the_hub__is_at_ours(lines, forward, location):
    lines.answers("", {}, status=302, headers={"Location": location})

    assert get(forward).headers["Location"] in ("/api/x?y=1", f"{OWN}/api/x?y=1")


@pytest.mark.parametrize("text", ["", "{", "[" * 100_000])
def test_body__broken_json__is_a_failure_and_no_empty_answer(lines, forward, text):
    lines.answers("", text=text)

    with pytest.raises(NoLine):
        get(forward)


def test_headers__any__only_known_ones_without_addresses_or_line_ends(lines, forward):
    hostile = {
        "Set-Cookie": "token=x",
        "X-Xet-Hash": "a",
        "ETag": '"x"',
        "Connection": "close",
        "X-Error-Message": f"see {HUB}/org\r\n X-Evil: 1 \u00fc",
    }
    lines.answers("", {}, status=403, headers=hostile)

    headers = get(forward).headers

    assert set(headers) == {"Content-Type", "X-Error-Message"}
    assert headers["X-Error-Message"] == f"see {OWN}/org?? X-Evil: 1 ?"


def test_body__any_json__no_address_of_the_hub_and_no_xet(lines, forward):
    lines.answers(
        "", {"a": [f"{HUB}/x", {"xetHash": "1", "b": "https://huggingface.co."}], "c": f"{HUB}0/y\ud800"}
    )

    body = get(forward).body

    assert body == f'{{"a":["{OWN}/x",{{"b":"{OWN}."}}],"c":"{HUB}0/y?"}}'.encode()


@pytest.mark.parametrize("path", ["/api/models/o/n/xet-read-token/a/b", "/api/x/%78et-x", "/api/buckets/o/n"])
def test_path__would_lead_past_the_mirror__is_not_asked(lines, forward, path):
    with pytest.raises(Forbidden):
        get(forward, path)
    assert lines.asked == []
