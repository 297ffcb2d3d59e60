from __future__ import annotations

import pytest

from dingospeed.errors import LineFailed
from dingospeed.upstream.redirects import location, origin, target

HERE = "https://hub.test/a/b?x=1"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("/c?y=%20", "https://hub.test/c?y=%20"),
        ("c", "https://hub.test/a/c"),
        ("//cdn.test/c", "https://cdn.test/c"),
        ("https://cdn.test/c", "https://cdn.test/c"),
    ],
)
def test_target__a_location__is_joined_to_where_it_was_found(text, found):
    assert target(HERE, text, line="a") == found


@pytest.mark.parametrize(
    "text",
    [
        "http://hub.test/c",
        "ftp://cdn.test/c",
        "file:///etc/passwd",
        "https://:1/",
        "https://hub.test@cdn.test/c",
        "https://cdn.test\\@hub.test/c",
        "/\\cdn.test/c",
        "https://cdn.test/a b",
        "https://cdn.test:99999/",
    ],
)
def test_target__a_location_that_must_not_be_followed__fails(text):
    with pytest.raises(LineFailed):
        target(HERE, text, line="a")


def test_target__from_http_to_https__is_fine():
    assert target("http://hub.test/a", "https://hub.test/a", line="a") == "https://hub.test/a"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("https://hub.test/a", "https://HUB.test:443/b"),
        ("http://hub.test", "HTTP://hub.test:80/"),
        ("http://[::1]:8080/", "http://[::1]:8080/x"),
    ],
)
def test_origin__same_place_written_differently__is_equal(one, other):
    assert origin(one) == origin(other) is not None


@pytest.mark.parametrize("other", ["http://hub.test/", "https://hub.test:444/", "https://www.hub.test/"])
def test_origin__scheme_port_or_host_differ__is_another(other):
    assert origin("https://hub.test/") != origin(other)


@pytest.mark.parametrize(
    ("status", "found"), [(302, "/c"), (307, "/c"), (200, None), (304, None), (201, None)]
)
def test_location__statuses__only_redirects_have_one(status, found):
    assert location(status, {"Location": "/c"}) == found
