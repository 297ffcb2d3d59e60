from __future__ import annotations

import base64
import gzip
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from dingospeed.errors import BadRequest, InvalidCredentials, LineFailed, RateLimited
from dingospeed.model import Span

FILE = "/org/repo/resolve/main/model.bin"


def content_of(stream):
    with stream:
        return b"".join(iter(lambda: stream.read(1 << 16), b""))


# --- whole answers -------------------------------------------------------------


def test_request__answer_with_a_body__has_status_headers_and_body(kit, server, client):
    server.on("/api/x?y=1", kit.answer(404, b"no", X_Error_Code="RepoNotFound"))

    answer = client.request("GET", "/api/x?y=1")

    assert (answer.status, answer.body) == (404, b"no")
    assert answer.headers["x-error-code"] == "RepoNotFound"


def test_request__post_with_a_body__sends_it_and_says_who_asks(kit, server, client):
    server.on("/api/x", kit.answer(200, b"{}"))

    client.request("POST", "/api/x", body=b'{"a":1}', headers={"Content-Type": "application/json"})

    assert server.seen[0].method == "POST"
    assert server.seen[0].body == b'{"a":1}'
    assert server.seen[0].headers["content-type"] == "application/json"
    assert server.seen[0].headers["user-agent"].startswith("dingospeed/")


def test_request__packed_answer__is_unpacked(kit, server, client):
    server.on("/api/x", kit.answer(200, gzip.compress(b'{"a":1}'), Content_Encoding="gzip"))

    answer = client.request("GET", "/api/x")

    assert answer.body == b'{"a":1}'
    assert "content-encoding" not in answer.headers
    assert "content-length" not in answer.headers
    assert server.seen[0].headers["accept-encoding"] == "gzip"


def test_request__head__asks_for_the_plain_length(kit, server, client):
    server.on("/file", kit.answer(200, Content_Length="12345"))

    answer = client.request("HEAD", "/file")

    assert answer.headers["Content-Length"] == "12345"
    assert server.seen[0].headers["accept-encoding"] == "identity"


def test_request__answer_unpacks_to_too_much__fails(kit, server, client):
    server.on("/api/x", kit.answer(200, gzip.compress(bytes(3_000_000)), Content_Encoding="gzip"))

    with pytest.raises(LineFailed, match="longer than 1000000"):
        client.request("GET", "/api/x", max_bytes=1_000_000)


def test_request__answer_packed_as_nobody_asked__fails(kit, server, client):
    server.on("/api/x", kit.answer(200, b"....", Content_Encoding="br"))

    with pytest.raises(LineFailed, match="packed"):
        client.request("GET", "/api/x")


def test_request__answer_cut__fails(kit, server, client):
    server.on("/api/x", (kit.answer(200, b"half", Content_Length="8"), kit.CUT))

    with pytest.raises(LineFailed, match="ended early"):
        client.request("GET", "/api/x")


def test_request__two_in_a_row__share_a_connection(kit, server, client):
    server.on("/api/x", kit.answer(200, b"{}"))

    for _ in range(2):
        client.request("GET", "/api/x")

    assert server.connections == 1


def test_request__kept_connection_was_closed__uses_a_new_one(kit, server, client):
    server.on("/api/x", kit.answer(200, b"1"), (kit.CUT,), kit.answer(200, b"2"))

    bodies = [client.request("GET", "/api/x").body for _ in range(2)]

    assert bodies == [b"1", b"2"]


def test_request__post_on_a_dropped_connection__is_not_sent_twice(kit, server, client):
    server.on("/api/x", (kit.CUT,))

    with pytest.raises(LineFailed, match="hung up"):
        client.request("POST", "/api/x", body=b"{}")

    assert len(server.seen) == 1


# --- failures ------------------------------------------------------------------


@pytest.mark.parametrize("status", [407, 408, 500, 502, 503, 504, 522])
def test_request__status_of_failure__fails(kit, server, client, status):
    server.on("/api/x", kit.answer(status, b"sorry"))

    with pytest.raises(LineFailed, match=f"answered {status}"):
        client.request("GET", "/api/x")


@pytest.mark.parametrize(
    ("headers", "wait_s"),
    [
        ({"Retry_After": "17"}, 17.0),
        ({"Retry_After": "Mon, 12 Jan 1970 13:47:10 GMT"}, 30.0),
        ({"RateLimit": '"api";r=0;t=55'}, 55.0),
        ({"RateLimit": '"pages";r=9;t=300, "api";r=0;t=42'}, 42.0),
        ({}, 10.0),
        ({"Retry_After": "soon"}, 10.0),
        ({"Retry_After": "0"}, 1.0),
        ({"Retry_After": "999999999"}, 3600.0),
    ],
)
def test_request__rate_limited__tells_how_long(kit, server, client, headers, wait_s):
    kit.clock.now = 1_000_000.0  # 1970-01-12 13:46:40
    server.on("/api/x", kit.answer(429, b"", **headers))

    with pytest.raises(RateLimited) as caught:
        client.request("GET", "/api/x")

    assert caught.value.wait_s == wait_s


def test_request__nothing_listens__fails(kit):
    client = kit.client(kit.closed_port_url())

    with pytest.raises(LineFailed, match="no connection"):
        client.request("GET", "/api/x")


def test_request__name_unknown__fails(kit):
    client = kit.client("http://no-such-host.invalid")

    with pytest.raises(LineFailed, match="name was not found"):
        client.request("GET", "/api/x")


def test_request__silence__fails(kit, server):
    client = kit.client(server.url, read_s=0.2)
    server.on("/api/x", (kit.STALL,))

    with pytest.raises(LineFailed, match="nothing came in time"):
        client.request("GET", "/api/x")


def test_request__no_http__fails(kit, server, client):
    server.on("/api/x", (b"SSH-2.0-OpenSSH\r\n\r\n", kit.CUT))

    with pytest.raises(LineFailed, match="broke the protocol"):
        client.request("GET", "/api/x")


def test_request__failure_at_a_signed_address__tells_no_signature(kit, server, client):
    server.on("/f", kit.answer(302, Location=f"{kit.closed_port_url()}/f?Signature=s3cret"))

    with pytest.raises(LineFailed) as caught:
        client.request("GET", "/f", token="hf_t0ken", follow=True)

    assert "s3cret" not in str(caught.value)
    assert "hf_t0ken" not in str(caught.value)


def test_request__certificate_not_trusted__fails(kit):
    client = kit.client(kit.server(is_tls=True).url)

    with pytest.raises(LineFailed, match="not trusted"):
        client.request("GET", "/api/x")


def test_request__certificate_in_the_bundle__is_answered(kit):
    server = kit.server(is_tls=True)
    server.on("/api/x", kit.answer(200, b"{}"))

    answer = kit.client(server.url, ca_bundle=kit.certificate).request("GET", "/api/x")

    assert answer.body == b"{}"


def test_request__header_no_header_can_hold__is_the_callers_fault(client):
    with pytest.raises(BadRequest):
        client.request("GET", "/api/x", headers={"X-Name": "a\r\nX-Other: b"})


@pytest.mark.parametrize("token", ["a b", "a\r\nb", "näh", ""])
def test_request__token_no_token_can_be__is_the_callers_fault(client, server, token):
    with pytest.raises(InvalidCredentials):
        client.request("GET", "/api/x", token=token)

    assert server.seen == []


# --- the token -----------------------------------------------------------------


def test_request__callers_token__goes_to_the_hub(server, client):
    client.request("GET", "/api/x", token="hf_a")

    assert server.seen[0].headers["authorization"] == "Bearer hf_a"


def test_request__callers_token_on_another_line__is_withheld(kit, server):
    client = kit.client(server.url, is_hub=False, token="own")

    client.request("GET", "/api/x", token="hf_a", own_token=True)

    assert "authorization" not in server.seen[0].headers


@pytest.mark.parametrize(("own_token", "sent"), [(True, "Bearer own"), (False, None)])
def test_request__caller_has_no_token__own_one_only_when_allowed(kit, server, own_token, sent):
    client = kit.client(server.url, token="own")

    client.request("GET", "/api/x", own_token=own_token)

    assert server.seen[0].headers.get("authorization") == sent


def test_request__caller_and_line_have_a_token__the_callers_counts(kit, server):
    client = kit.client(server.url, token="own")

    client.request("GET", "/api/x", token="hf_a", own_token=True)

    assert server.seen[0].headers["authorization"] == "Bearer hf_a"


def test_request__own_token_is_not_taken__goes_out_without_it_for_some_minutes(kit, server):
    refused = kit.answer(401, X_Error_Message="Invalid credentials in Authorization header")
    server.on("/api/x", refused, kit.answer(200))
    client = kit.client(server.url, token="own")

    statuses = [client.request("GET", "/api/x", own_token=True).status for _ in range(2)]

    assert statuses == [200, 200]
    assert [seen.headers.get("authorization") for seen in server.seen] == ["Bearer own", None, None]
    assert not client.has_own_token
    kit.clock.forward(301)
    assert client.has_own_token


def test_request__own_token_has_no_right__is_the_answer(kit, server):
    server.on("/api/x", kit.answer(401, X_Error_Code="GatedRepo"))
    client = kit.client(server.url, token="own")

    assert client.request("GET", "/api/x", own_token=True).status == 401
    assert client.has_own_token


def test_request__headers_that_tell_who_asks__are_not_passed_on(server, client):
    given = {"Authorization": "Bearer x", "cookie": "a=b", "Host": "other", "X-Fine": "1"}

    client.request("GET", "/api/x", headers=given)

    sent = server.seen[0].headers
    assert "authorization" not in sent
    assert "cookie" not in sent
    assert sent["host"] == f"127.0.0.1:{server.port}"
    assert sent["x-fine"] == "1"


def test_request__url_of_another_origin__gets_no_token(kit, server, client):
    other = kit.server()

    client.request("GET", f"{other.url}/x", token="hf_a", headers={"X-Mine": "1"})
    client.open(f"{other.url}/x", token="hf_a").close()

    assert len(other.seen) == 2
    assert all("authorization" not in seen.headers for seen in other.seen)


def test_request__cookie_was_set__does_not_come_back(kit, server, client):
    server.on("/api/x", kit.answer(200, b"{}", Set_Cookie="session=1; Path=/"))

    for _ in range(2):
        client.request("GET", "/api/x")

    assert "cookie" not in server.seen[1].headers


def test_request__netrc_and_proxies_in_the_environment__are_ignored(kit, server, tmp_path, monkeypatch):
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login me password secret\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, kit.closed_port_url())
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)

    answer = kit.client(server.url).request("GET", "/api/x")

    assert answer.status == 404
    assert "authorization" not in server.seen[0].headers


# --- redirects -----------------------------------------------------------------


def test_request__redirect_not_to_be_followed__is_the_answer(kit, server, client):
    server.on("/api/gpt2", kit.answer(307, b"moved", Location="/api/openai/gpt2"))

    answer = client.request("GET", "/api/gpt2")

    assert (answer.status, answer.headers["Location"]) == (307, "/api/openai/gpt2")
    assert len(server.seen) == 1


def test_request__relative_redirect__keeps_token_headers_method_and_body(kit, server, client):
    server.on("/a", kit.answer(307, b"moved", Location="/b"))
    server.on("/b", kit.answer(200, b"{}"))

    answer = client.request("POST", "/a", token="hf_a", headers={"X-A": "1"}, body=b"x", follow=True)

    seen = server.asked("/b")[0]
    assert answer.url == f"{server.url}/b"
    assert (seen.method, seen.body, seen.headers["x-a"]) == ("POST", b"x", "1")
    assert seen.headers["authorization"] == "Bearer hf_a"
    assert seen.connection == 1


def test_request__absolute_redirect_to_the_same_origin__keeps_the_token(kit, server, client):
    server.on("/a", kit.answer(302, Location=f"{server.url}/b"))

    client.request("GET", "/a", token="hf_a", follow=True)

    assert server.asked("/b")[0].headers["authorization"] == "Bearer hf_a"


def test_request__redirect_to_another_port__goes_bare(kit, server, client):
    cdn = kit.server()
    server.on("/a", kit.answer(302, Location=f"{cdn.url}/b"))

    client.request("GET", "/a", token="hf_a", headers={"X-A": "1"}, follow=True)

    assert "authorization" not in cdn.seen[0].headers
    assert "x-a" not in cdn.seen[0].headers


def test_request__redirect_to_another_name_of_the_host__goes_bare(kit, server, client):
    server.on("/a", kit.answer(302, Location=f"http://localhost:{server.port}/b"))

    client.request("GET", "/a", token="hf_a", follow=True)

    assert "authorization" not in server.asked("/b")[0].headers


def test_request__cdn_redirects_back__the_token_stays_away(kit, server, client):
    cdn = kit.server()
    server.on("/a", kit.answer(302, Location=f"{cdn.url}/b"))
    cdn.on("/b", kit.answer(302, Location=f"{server.url}/settings/tokens"))

    client.request("GET", "/a", token="hf_a", follow=True)

    assert "authorization" not in server.asked("/settings/tokens")[0].headers


def test_request__body_redirected_elsewhere__is_not_sent(kit, server, client):
    cdn = kit.server()
    server.on("/a", kit.answer(307, Location=f"{cdn.url}/b"))

    with pytest.raises(LineFailed, match="with a body"):
        client.request("POST", "/a", body=b"x", follow=True)

    assert cdn.seen == []


def test_request__redirects_in_a_circle__fails(kit, server, client):
    server.on("/a", kit.answer(302, Location="/b"))
    server.on("/b", kit.answer(302, Location="/a"))

    with pytest.raises(LineFailed, match="without end"):
        client.request("GET", "/a", follow=True)

    assert len(server.seen) == 6


def test_request__redirect_from_https_to_http__fails(kit):
    secure, plain = kit.server(is_tls=True), kit.server()
    secure.on("/a", kit.answer(302, Location=f"{plain.url}/b"))
    client = kit.client(secure.url, ca_bundle=kit.certificate)

    with pytest.raises(LineFailed, match="down to http"):
        client.request("GET", "/a", follow=True)

    assert plain.seen == []


# --- streams -------------------------------------------------------------------


def test_open__span__asks_for_the_range_as_it_is(kit, server, client):
    server.on("/f", kit.answer(206, b"3456", Content_Range="bytes 3-6/10"))

    with client.open("/f", span=Span(3, 7)) as stream:
        told = (stream.status, stream.span, stream.size)

    assert server.seen[0].headers["range"] == "bytes=3-6"
    assert server.seen[0].headers["accept-encoding"] == "identity"
    assert told == (206, Span(3, 7), 10)


def test_open__redirect__is_given_back(kit, server, client):
    server.on("/f", kit.answer(302, Location="/g"))

    with client.open("/f") as stream:
        told = (stream.status, stream.headers["location"])

    assert told == (302, "/g")
    assert len(server.seen) == 1


def test_open__failing_status__raises(kit, server, client):
    server.on("/f", kit.answer(503), kit.answer(429, Retry_After="3"))

    with pytest.raises(LineFailed, match="answered 503"):
        client.open("/f")
    with pytest.raises(RateLimited):
        client.open("/f")


def test_open__body_packed__fails(kit, server, client):
    server.on("/f", kit.answer(200, gzip.compress(b"x"), Content_Encoding="gzip"))

    with pytest.raises(LineFailed, match="packed"):
        client.open("/f")


# --- files behind a CDN --------------------------------------------------------


@pytest.fixture
def cdn(kit):
    return kit.server()


def signed(cdn, name, *, expires):
    return f"{cdn.url}/{name}?Expires={expires:.0f}&Signature=s"


def on_both(kit, server, cdn, *, expires=None, names=("f",)):
    """The Hub redirects to one signed address after the other; each gives its own name."""
    expires = kit.clock() + 3600 if expires is None else expires
    urls = [signed(cdn, name, expires=expires) for name in names]
    server.on(FILE, *[kit.answer(302, b"Found", Location=url) for url in urls])
    for name, url in zip(names, urls, strict=True):
        cdn.on(url.removeprefix(cdn.url), kit.answer(200, name.encode()))
    return urls


def test_open_file__on_a_cdn__is_read_without_the_token(kit, server, client, cdn):
    on_both(kit, server, cdn)

    content = content_of(client.open_file(FILE, token="hf_a", span=Span(0, 1)))

    assert content == b"f"
    assert server.seen[0].headers["authorization"] == "Bearer hf_a"
    assert "authorization" not in cdn.seen[0].headers
    assert cdn.seen[0].headers["range"] == "bytes=0-0"


def test_open_file__next_segment__asks_the_cdn_only(kit, server, client, cdn):
    on_both(kit, server, cdn)

    for start in range(3):
        content_of(client.open_file(FILE, token="hf_a", span=Span(start, start + 1)))

    assert len(server.seen) == 1
    assert [seen.headers["range"] for seen in cdn.seen] == ["bytes=0-0", "bytes=1-1", "bytes=2-2"]
    assert all("authorization" not in seen.headers for seen in cdn.seen)


def test_open_file__small_file_in_the_resolve_cache__resolves_once_and_keeps_the_token(kit, server, client):
    server.on(FILE, kit.answer(307, b"moved", Location="/api/resolve-cache/x?etag=%22a%22"))
    server.on("/api/resolve-cache/x?etag=%22a%22", kit.answer(200, b"small"))

    contents = [content_of(client.open_file(FILE, token="hf_a")) for _ in range(2)]

    assert contents == [b"small", b"small"]
    assert len(server.asked(FILE)) == 1
    assert all(seen.headers["authorization"] == "Bearer hf_a" for seen in server.seen)


@pytest.mark.parametrize("later_s", [3571, 100_000])
def test_open_file__signature_runs_out__resolves_again(kit, server, client, cdn, later_s):
    on_both(kit, server, cdn, names=("f", "g"))
    content_of(client.open_file(FILE))

    kit.clock.forward(later_s)
    content = content_of(client.open_file(FILE))

    assert content == b"g"
    assert len(server.seen) == 2


def test_open_file__signature_still_good__does_not_resolve_again(kit, server, client, cdn):
    on_both(kit, server, cdn, names=("f", "g"))
    content_of(client.open_file(FILE))

    kit.clock.forward(3569)

    assert content_of(client.open_file(FILE)) == b"f"


@pytest.mark.parametrize("status", [400, 401, 403, 404])
def test_open_file__remembered_address_refused__resolves_once_more(kit, server, client, cdn, status):
    first, _ = on_both(kit, server, cdn, names=("f", "g"))
    content_of(client.open_file(FILE))
    cdn.on(first.removeprefix(cdn.url), kit.answer(status, b"expired"))

    contents = [content_of(client.open_file(FILE)) for _ in range(2)]

    assert contents == [b"g", b"g"]
    assert len(server.seen) == 2


def test_open_file__fresh_address_refused__is_the_answer(kit, server, client, cdn):
    (url,) = on_both(kit, server, cdn)
    cdn.on(url.removeprefix(cdn.url), kit.answer(403, b"no"))

    with client.open_file(FILE) as stream:
        status = stream.status

    assert status == 403
    assert len(server.seen) == 1


def test_open_file__remembered_address_broken__is_forgotten(kit, server, client, cdn):
    first, _ = on_both(kit, server, cdn, names=("f", "g"))
    content_of(client.open_file(FILE))
    cdn.on(first.removeprefix(cdn.url), kit.answer(502))

    with pytest.raises(LineFailed, match="answered 502"):
        client.open_file(FILE)

    assert content_of(client.open_file(FILE)) == b"g"


def test_open_file__refused_by_the_hub__is_asked_anew(kit, server, client):
    server.on(FILE, kit.answer(401), kit.answer(200, b"mine"))

    with client.open_file(FILE) as stream:
        refused = stream.status
    content = content_of(client.open_file(FILE, token="hf_a"))

    assert (refused, content) == (401, b"mine")


def test_open_file__gone_without_ever_having_moved__is_asked_once(kit, server, client):
    server.on(FILE, kit.answer(200, b"mine"), kit.answer(404))
    content_of(client.open_file(FILE))

    with client.open_file(FILE) as stream:
        status = stream.status

    assert status == 404
    assert len(server.seen) == 2


def test_open_file__body_of_the_redirect_never_comes__is_not_waited_for(kit, server, cdn):
    server.on(FILE, (kit.answer(302, b"<", Location=f"{cdn.url}/f", Content_Length="99999"), kit.STALL))
    cdn.on("/f", kit.answer(200, b"f"))

    assert content_of(kit.client(server.url, read_s=0.5).open_file(FILE)) == b"f"


def test_open_file__circle__fails(kit, server, client):
    server.on(FILE, kit.answer(302, Location=FILE))

    with pytest.raises(LineFailed, match="without end"):
        client.open_file(FILE)


def test_open_file__many_segments_at_once__resolve_once(kit, server, client, cdn):
    on_both(kit, server, cdn)

    def segment(start):
        return content_of(client.open_file(FILE, span=Span(start, start + 1)))

    with ThreadPoolExecutor(8) as pool:
        contents = list(pool.map(segment, range(8)))

    assert contents == [b"f"] * 8
    assert len(server.seen) == 1
    assert len(cdn.seen) == 8


def test_open_file__date_of_the_answer_differs_from_our_clock__counts(kit, server, client, cdn):
    # Their clock is 50 minutes ahead of ours, their signature good for 10 minutes.
    on_both(kit, server, cdn, expires=1_000_000 + 3600, names=("f", "g"))
    path = f"/f?Expires={1_000_000 + 3600}&Signature=s"
    cdn.on(path, kit.answer(200, b"f", Date="Mon, 12 Jan 1970 14:36:40 GMT"))
    content_of(client.open_file(FILE))

    kit.clock.forward(700)

    assert content_of(client.open_file(FILE)) == b"g"


# --- budgets -------------------------------------------------------------------


def test_budgets__answer_tells_them__are_kept_by_bucket(kit, server, client):
    policy = '"fixed window";"resolvers";q=3000;w=300'
    limit = '"resolvers";r=2997;t=258'
    server.on("/r", kit.answer(200, RateLimit=limit, RateLimit_Policy=policy))
    server.on("/a", kit.answer(200, RateLimit='"api";r=3;t=5'))

    client.request("GET", "/r")
    client.request("GET", "/a")

    seen = client.budgets["resolvers"]
    assert (seen.remaining, seen.reset_s, seen.quota, seen.window_s) == (2997, 258, 3000, 300)
    assert seen.seen_at == kit.clock()
    assert client.budgets["api"].remaining == 3


def test_budgets__cdn_tells_some__are_not_the_lines(kit, server, client, cdn):
    server.on("/a", kit.answer(302, Location=f"{cdn.url}/b"))
    cdn.on("/b", kit.answer(200, RateLimit='"api";r=3;t=5'))

    client.request("GET", "/a", follow=True)

    assert client.budgets == {}


# --- proxies -------------------------------------------------------------------


def test_proxy__http__gets_the_whole_address(kit, server):
    server.on("http://hub.test/api/x", kit.answer(200, b"{}"))

    answer = kit.client("http://hub.test", proxy=server.url).request("GET", "/api/x")

    assert answer.body == b"{}"


def test_proxy__http_for_an_https_line__is_asked_to_connect(kit):
    server = kit.server(is_tls=True)
    server.on("/api/x", kit.answer(200, b"{}"))
    proxy = kit.connect_proxy(server)
    client = kit.client("https://hub.test", proxy=proxy.url, ca_bundle=kit.certificate)

    answer = client.request("GET", "/api/x", token="hf_a")

    assert answer.body == b"{}"
    assert proxy.hosts == ["CONNECT hub.test:443"]


def test_proxy__socks__carries_the_line_and_its_cdn(kit, server):
    proxy = kit.socks_proxy(server)
    server.on(FILE, kit.answer(302, Location="http://cdn.test/f"))
    server.on("/f", kit.answer(200, b"file"))
    client = kit.client("http://hub.test", proxy=f"socks5h://127.0.0.1:{proxy.port}")

    content = content_of(client.open_file(FILE))

    assert content == b"file"
    assert proxy.hosts == ["hub.test:80", "cdn.test:80"]


def test_proxy__gone__fails(kit, server):
    for scheme in ("http", "socks5"):
        client = kit.client(server.url, proxy=kit.closed_port_url().replace("http", scheme))

        with pytest.raises(LineFailed):
            client.request("GET", "/api/x")

    assert server.seen == []


def test_client__made__opens_no_connection(kit, server):
    kit.client(server.url)

    time.sleep(0.05)

    assert server.connections == 0


# --- posting, for git ----------------------------------------------------------


def test_open__with_a_body__is_posted_and_streamed(client, server, kit):
    server.on("/org/m/git-upload-pack", kit.answer(200, b"pack", Content_Type="application/x-git"))

    with client.open(
        "/org/m/git-upload-pack",
        body=b"want",
        headers={"Content-Encoding": "gzip", "Git-Protocol": "version=2"},
    ) as stream:
        received = stream.read(100)

    assert (stream.status, received) == (200, b"pack")
    (seen,) = server.seen
    assert (seen.method, seen.body) == ("POST", b"want")
    assert (seen.headers["content-encoding"], seen.headers["git-protocol"]) == ("gzip", "version=2")


def test_open__with_a_body__is_not_sent_twice(client, server, kit):
    server.on("/first", kit.answer(200, b"x"))
    server.on("/second", (kit.CUT,))
    with client.open("/first") as stream:
        while stream.read(100):
            pass

    with pytest.raises(LineFailed):
        client.open("/second", body=b"want")

    assert len(server.asked("/second")) == 1


@pytest.mark.parametrize("is_hub", [True, False])
def test_open__basic__token_is_a_password_and_for_the_hub_only(kit, server, is_hub):
    server.on("/x", kit.answer(200, b"x"))
    client = kit.client(server.url, is_hub=is_hub)

    client.open("/x", token="hf_secret", scheme="basic").close()

    expected = "Basic " + base64.b64encode(b"user:hf_secret").decode() if is_hub else None
    assert server.seen[0].headers.get("authorization") == expected


def test_open__basic_and_elsewhere__no_token(kit, server, client):
    other = kit.server()
    other.on("/x", kit.answer(200, b"x"))

    client.open(f"{other.url}/x", token="hf_secret", scheme="basic").close()

    assert "authorization" not in other.seen[0].headers
