import socket
import threading

import pytest
import requests

from dingospeed.testing import Address, FakeHub, Generated

FILE = "/org/name/resolve/main/config.json"
BIG = "/org/name/resolve/main/nested/big.bin"


def test_stop__asked_again__is_connection_refused_until_started_on_the_same_ports(hub, ask, signed):
    urls = hub.url, hub.cdn_url

    hub.stop()
    for url in urls:
        with pytest.raises(requests.ConnectionError, match="refused"):
            requests.get(url, timeout=5)
    hub.start()

    assert (hub.url, hub.cdn_url) == urls
    assert ask(signed).status_code == 200


def test_stop__connection_kept_open_by_a_client__is_broken(hub, ask, repo):
    ask(FILE)

    hub.stop()

    with pytest.raises(requests.ConnectionError):
        ask(FILE)


def test_stop__in_the_middle_of_a_body__breaks_it_off(hub, ask, signed):
    hub.fault("cdn", "stall", after=1000, seconds=60)
    answer = ask(signed, stream=True)
    answer.raw.read(1000)

    hub.stop()

    with pytest.raises(Exception, match=r"IncompleteRead|reset"):
        answer.raw.read()


def test_start_and_stop__twice__do_nothing_more(hub, ask):
    hub.start()
    assert ask("/").status_code == 200
    hub.stop()
    hub.stop()


def test_start__port_of_the_cdn_is_taken__leaves_nothing_listening(hub):
    taken = int(hub.cdn_url.rpartition(":")[2])
    second = FakeHub(address=Address(cdn_port=taken))

    with pytest.raises(OSError, match="in use"):
        second.start()

    with pytest.raises(requests.ConnectionError):
        requests.get(second.url, timeout=5)


def test_name__given__stands_in_the_addresses_given_out(hub, repo):
    with FakeHub(content=hub.content, address=Address(name="localhost")) as second:
        location = requests.head(second.url + BIG, timeout=5).headers["Location"]

    assert second.url.startswith("http://localhost:")
    assert location.startswith(f"{second.cdn_url}/")
    assert second.cdn_url.startswith("http://localhost:")


def test_line__with_the_content_of_another__has_faults_and_counters_of_its_own(hub, repo):
    with FakeHub(content=hub.content) as second:
        second.fault("any", "status", code=503)

        statuses = [requests.get(line.url + BIG, timeout=5).status_code for line in (hub, second)]

        assert statuses == [200, 503]
        assert (hub.count(), second.count()) == (2, 1)
        assert (hub.bytes_sent(), second.bytes_sent()) == (3_000_000, 0)


def test_line__address_signed_by_another__is_denied(hub, signed):
    with FakeHub(content=hub.content) as second:
        assert requests.get(signed.replace(hub.cdn_url, second.cdn_url), timeout=5).status_code == 403


def test_calls__of_a_download__tell_what_was_asked(hub, ask, repo):
    agent = {"User-Agent": "tester/1", "Range": "bytes=0-9"}
    ask(BIG + "?download=true", headers=agent, token="hf_alice")
    ask(FILE, method="HEAD", token="hf_nobody")
    ask("/api/models/org/name/tree/main")

    first, second, third = hub.calls

    assert (first.host, first.kind, first.method, first.path) == ("hub", "resolve", "GET", BIG)
    assert (first.query, first.range, first.user_agent) == ("download=true", "bytes=0-9", "tester/1")
    assert (first.status, first.authorization) == (302, "alice")
    assert (second.method, second.status, second.authorization) == ("HEAD", 401, "?")
    assert (third.kind, third.route, third.authorization) == ("api", "tree", None)
    assert first.time <= second.time <= third.time


def test_count__by_kind_method_route_and_path__counts_those(hub, ask, repo):
    ask(BIG, follow=True)
    ask(BIG, method="HEAD")
    ask("/api/models/org/name")

    assert hub.count() == 4
    assert (hub.count("resolve"), hub.count(kind="cdn"), hub.count("api")) == (2, 1, 1)
    assert (hub.count(method="HEAD"), hub.count("resolve", "GET")) == (1, 1)
    assert (hub.count(path_contains="big.bin"), hub.count(route="info")) == (2, 1)
    assert len(hub.select(host="cdn", status=200)) == 1


def test_bytes_sent__by_host_and_path__adds_up_bodies(hub, ask, repo):
    ask(BIG, follow=True, headers={"Range": "bytes=100-299"})
    ask(FILE, follow=True)

    assert hub.bytes_sent() == hub.bytes_sent("cdn") == 200
    assert hub.bytes_sent(host="hub", path_contains="/api/resolve-cache/") == 9
    assert hub.bytes_sent(host=None) == sum(call.bytes_sent for call in hub.calls)


def test_bytes_sent__client_leaves_midway__counts_no_more_than_left_the_house(hub, ask, repo):
    repo.commit({"huge.bin": Generated(400_000_000)})
    answer = ask("/org/name/resolve/main/huge.bin", follow=True, stream=True)
    answer.raw.read(1000)

    answer.close()

    call = next(call for call in hub.calls if call.host == "cdn")
    ended = threading.Event()
    while call.ended is None:
        ended.wait(0.01)
    assert 1000 <= call.bytes_sent < 400_000_000


def test_reset_counters__after_calls__begins_anew(hub, ask, repo):
    ask(BIG, follow=True)

    hub.reset_counters()

    assert (hub.calls, hub.bytes_sent(), hub.leaks) == ([], 0, [])


def test_connection__several_requests__are_answered_on_one(hub, repo):
    with socket.create_connection(hub.url.removeprefix("http://").split(":")) as connection:
        connection.settimeout(10)
        request = f"HEAD {FILE} HTTP/1.1\r\nHost: hub\r\n"
        answers = b""
        connection.sendall((request + "\r\n").encode() * 2 + (request + "Connection: close\r\n\r\n").encode())
        while received := connection.recv(65536):
            answers += received

    assert answers.count(b"HTTP/1.1 307 Temporary Redirect\r\n") == 3


@pytest.mark.parametrize(
    "sent", [b"nonsense\r\n\r\n", b"\r\n", b"GET / HTTP/1.1\r\nContent-Length: x\r\n\r\n", b"GET"]
)
def test_connection__not_http_or_left_early__is_closed_and_nothing_printed(hub, ask, capfd, sent):
    with socket.create_connection(hub.url.removeprefix("http://").split(":")) as connection:
        connection.settimeout(10)
        connection.sendall(sent)
        connection.shutdown(socket.SHUT_WR)
        connection.recv(1000)

    assert ask("/").status_code == 200
    assert capfd.readouterr().err == ""


def test_connection__client_hangs_up_midway__nothing_is_printed(hub, ask, signed, capfd):
    for _ in range(3):
        answer = ask(signed, stream=True)
        answer.raw.read(10)
        answer.close()

    assert ask(signed).status_code == 200
    assert capfd.readouterr().err == ""


def test_many__at_once__each_gets_its_own(hub, signed, repo):
    content = repo.content("nested/big.bin")
    wrong = []

    def check(start):
        span = {"Range": f"bytes={start}-{start + 99_999}"}
        if requests.get(signed, headers=span, timeout=30).content != content[start : start + 100_000]:
            wrong.append(start)

    threads = [threading.Thread(target=check, args=(start,)) for start in range(0, 3_000_000, 100_000)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert wrong == []
    assert hub.bytes_sent() == 3_000_000
