import socket

import pytest
import requests

RESOLVE_BIG = "/org/name/resolve/main/nested/big.bin"
RESOLVE_SMALL = "/org/name/resolve/main/config.json"
HELD_UP_S = 60


def test_latency__asked__is_silent_until_it_is_over(hub, repo):
    fault = hub.fault("api", "latency", seconds=HELD_UP_S)

    with socket.create_connection(hub.url.removeprefix("http://").split(":"), timeout=0.3) as connection:
        connection.sendall(b"GET /api/models HTTP/1.1\r\nHost: hub\r\n\r\n")
        with pytest.raises(TimeoutError):
            connection.recv(1)
        fault.remove()
        connection.settimeout(30)
        answer = connection.recv(1000)

    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")


@pytest.mark.parametrize("reset", [True, False])
def test_refuse__asked__closes_without_an_answer(hub, ask, repo, reset):
    fault = hub.fault("api", "refuse", reset=reset)

    with pytest.raises(requests.ConnectionError) as caught:
        ask("/api/models")

    assert ("reset by peer" in str(caught.value)) == reset
    assert fault.hits == hub.count("api") == 1


@pytest.mark.parametrize("code", [429, 500, 502, 503, 504])
def test_status__any_code__is_answered_with_retry_after(hub, ask, repo, code):
    hub.fault("hub", "status", code=code, retry_after=7, message="not now")

    for path in ("/api/models", RESOLVE_SMALL):
        answer = ask(path)
        assert (answer.status_code, answer.headers["Retry-After"], answer.text) == (code, "7", "not now")


def test_status__no_retry_after_given__sends_none(hub, ask):
    hub.fault("api", "status")

    answer = ask("/api/models")

    assert (answer.status_code, "Retry-After" in answer.headers) == (500, False)


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_html_200__asked_for_bytes__answers_a_web_page(hub, ask, signed, method):
    hub.fault("cdn", "html_200")

    answer = ask(signed, method=method)

    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    assert answer.text.startswith("<!DOCTYPE html>") or method == "HEAD"


@pytest.mark.parametrize(("where", "path"), [("resolve", RESOLVE_BIG), ("cdn", None)])
def test_redirect_loop__followed__never_ends(hub, ask, signed, where, path):
    hub.fault(where, "redirect_loop")

    with pytest.raises(requests.TooManyRedirects):
        ask(path or signed, follow=True)


def test_ignore_range__asked_for_a_part__sends_everything(hub, ask, signed, content):
    fault = hub.fault("cdn", "ignore_range")

    answer = ask(signed, headers={"Range": "bytes=5-9"})

    assert (answer.status_code, answer.content) == (200, content)
    assert "Content-Range" not in answer.headers
    ask(signed)
    assert fault.hits == 1


def test_expire_signatures__addresses_of_before__are_denied_and_new_ones_not(hub, ask, signed):
    fault = hub.fault("cdn", "expire_signatures")

    old, new = ask(signed), ask(ask(RESOLVE_BIG).headers["Location"])

    assert (old.status_code, new.status_code) == (403, 200)
    assert fault.hits == 1
