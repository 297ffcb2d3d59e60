import http.client
import socket
import ssl
import struct
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest

pytestmark = pytest.mark.server

ROOT = Path(__file__).parent.parent
MIB = 1024 * 1024
FOREVER = 8 * 1024 * MIB
STALL_S = 3
# Where the kernel tells in its tcp_info how many packets with data came in.
TCP_DATA_SEGMENTS_IN = 152


@pytest.fixture(scope="module")
def server(start):
    return start(STUB_STALL_S=STALL_S)


@pytest.fixture(scope="module")
def content(stub_file):
    with stub_file.open("rb") as file:
        return file.read(5 * MIB)


def read_answer(sock):
    answer = http.client.HTTPResponse(sock)
    answer.begin()
    return answer


def read_to_the_end(sock):
    while sock.recv(MIB):
        pass


@pytest.mark.parametrize(
    ("first", "stop"),
    [
        (0, 0),
        (0, 1),
        (1, 2),
        (4095, 4097),
        (4096, 8192),
        (0, 65535),
        (1, 65537),
        (0, 262144),
        (262143, 524289),
        (777, 3 * MIB + 78),
        (0, 5 * MIB),
    ],
)
def test_span__any_alignment__arrives(server, content, first, stop):
    status, headers, body = server.get(f"/body/f{first}-{stop}")

    assert (status, headers["Content-Length"]) == (200, str(stop - first))
    assert body == content[first:stop]


def test_span__sent__went_by_sendfile_in_bounded_calls(server):
    before = server.facts()["sendfile_bytes"]

    server.get(f"/body/f1-{2 * MIB},b{MIB}")

    facts = server.facts()
    assert facts["sendfile_bytes"] - before == 2 * MIB - 1
    assert facts["sendfile_largest"] <= MIB


def test_body__spans_and_bytes_mixed__arrive_in_order(server, content):
    _, _, body = server.get("/body/b3,f5-100000,f7-8,b70000,f100000-100001,b0,f0-0,b1")

    assert body == b"xxx" + content[5:100000] + content[7:8] + b"x" * 70000 + content[100000:100001] + b"x"
    assert server.end_of("b3,f5-100000,f7-8,b70000,f100000-100001,b0,f0-0,b1") == (len(body), None)


def test_connection__body_sent__serves_the_next_request(server, content):
    connection = server.connect()

    bodies = []
    for spec in ("f0-100000", "b10", "f5-6", "f1-3000000"):
        connection.request("GET", f"/body/{spec}")
        bodies.append(connection.getresponse().read())
    connection.close()

    assert bodies == [content[:100000], b"x" * 10, content[5:6], content[1:3000000]]


def test_connection__requests_pipelined__are_answered_in_order(server, content):
    request = "GET /body/{} HTTP/1.1\r\nHost: x\r\n\r\n"
    sock = server.open(
        request.format("f0-200000")
        + request.format("b7")
        + request.format("f9-10").replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n")
    )

    with sock, sock.makefile("rb") as stream:
        received = stream.read()

    parts = received.split(b"HTTP/1.1 200 OK\r\n")
    bodies = [part.partition(b"\r\n\r\n")[2] for part in parts[1:]]
    assert bodies == [content[:200000], b"x" * 7, content[9:10]]


def test_http_1_0__asked__gets_the_same_bytes_and_the_end(server, content):
    with server.open("GET /body/f3-100000 HTTP/1.0\r\n\r\n") as sock, sock.makefile("rb") as stream:
        received = stream.read()

    assert received.partition(b"\r\n\r\n")[2] == content[3:100000]


# Around what is sent in one call and after what others get their turn, from places within and between pages.
ALIGNMENTS = [
    (start, start + length)
    for start in (0, 1, 4095, 4096, 65_537)
    for length in (1, 4095, 4097, 65_535, 65_536, 262_143, 262_145, 524_287, 524_289)
]


@pytest.mark.parametrize("version", ["1.1", "1.0"])
def test_connection__spans_of_every_alignment__arrive_one_after_the_other(server, content, version):
    with server.open("") as sock:
        bodies = []
        for first, stop in ALIGNMENTS:
            head = f"GET /body/f{first}-{stop} HTTP/{version}\r\nHost: x\r\nConnection: keep-alive\r\n\r\n"
            sock.sendall(head.encode())
            bodies.append(read_answer(sock).read())

    assert [len(body) for body in bodies] == [stop - first for first, stop in ALIGNMENTS]
    assert bodies == [content[first:stop] for first, stop in ALIGNMENTS]


def test_connection__spans_of_every_alignment_pipelined__arrive_in_order(server, content):
    requests = [f"GET /body/f{first}-{stop} HTTP/1.1\r\nHost: x\r\n\r\n" for first, stop in ALIGNMENTS]
    # Small in its buffers, so that answers wait for the client in the middle of a span.
    with server.open("".join(requests), receive_buffer=4096) as sock, sock.makefile("rb") as stream:
        bodies = []
        for _ in ALIGNMENTS:
            length = 0
            while (line := stream.readline().strip()) != b"":
                name, _, value = line.partition(b": ")
                length = int(value) if name.lower() == b"content-length" else length
            bodies.append(stream.read(length))

    assert bodies == [content[first:stop] for first, stop in ALIGNMENTS]


def test_head__first_bytes_are_there__leaves_in_one_packet_with_them(server):
    with server.open("GET /body/f5-1000 HTTP/1.1\r\nHost: x\r\n\r\n") as sock:
        body = read_answer(sock).read()
        told = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 256)

    assert len(body) == 995
    assert struct.unpack_from("I", told, TCP_DATA_SEGMENTS_IN)[0] == 1


@pytest.mark.parametrize(("path", "name"), [("/body/f0-100000?id=head", "head"), ("/raw", "raw")])
def test_head__asked__has_the_length_and_no_body(server, path, name):
    connection = server.connect()

    connection.request("HEAD", path)
    answer = connection.getresponse()
    answer.read()
    connection.request("GET", "/body/b4")  # would meet the body, were there one
    after = connection.getresponse().read()
    connection.close()

    assert answer.headers["Content-Length"] == "100000"
    assert after == b"xxxx"
    assert server.end_of(name) == (0, None)


def test_not_modified__asked__has_no_body(server):
    connection = server.connect()

    connection.request("GET", "/body/f0-100000?status=304&id=304")
    answer = connection.getresponse()
    answer.read()
    connection.request("GET", "/body/b4")
    after = connection.getresponse().read()
    connection.close()

    assert (answer.status, after) == (304, b"xxxx")
    assert server.end_of("304") == (0, None)


def test_no_length__http_1_1__is_chunked_whole(server, content):
    _, headers, body = server.get("/body/f7-300000,b5?length=none&id=chunked")

    assert headers["Transfer-Encoding"] == "chunked"
    assert body == content[7:300000] + b"xxxxx"
    assert server.end_of("chunked") == (len(body), None)


def test_no_length__body_fails__chunks_do_not_end(server):
    with pytest.raises(http.client.IncompleteRead):
        server.get("/body/f0-300000,refuse?length=none&id=chunked-refuse")

    assert server.end_of("chunked-refuse") == (300000, "NoLine")


def test_no_length__http_1_0_and_body_fails__connection_is_reset(server):
    sock = server.open("GET /body/b5,w0.3,refuse?length=none HTTP/1.0\r\n\r\n")

    with sock, sock.makefile("rb") as stream, pytest.raises(ConnectionResetError):
        stream.read()


@pytest.mark.parametrize(
    ("spec", "sent", "error"),
    [
        ("f0-300000,refuse,b5", 300000, "NoLine"),
        ("b5,disk,b5", 5, "OSError"),
        ("f0-70000,bug,b5", 70000, "KeyError"),
        ("b5,f8589934590-8589934594", 7, "StoreError"),
        ("f8589934590-8589934594,b4", 2, "StoreError"),
    ],
)
def test_body__fails_midway__client_sees_an_incomplete_read(server, spec, sent, error):
    with pytest.raises((http.client.IncompleteRead, ConnectionResetError)):
        server.get(f"/body/{spec}")

    assert server.end_of(spec) == (sent, error)


def test_body__shorter_than_promised__client_sees_an_incomplete_read(server):
    with pytest.raises(http.client.IncompleteRead):
        server.get("/body/f0-70000?length=70001&id=short")

    assert server.end_of("short") == (70000, "StoreError")


def test_body__longer_than_promised__next_answer_is_in_its_place(server, content):
    connection = server.connect()

    connection.request("GET", "/body/b4,f0-70000,b9?length=60000")
    cut = connection.getresponse().read()
    connection.request("GET", "/body/b3")
    after = connection.getresponse().read()
    connection.close()

    assert cut == b"xxxx" + content[:59996]
    assert after == b"xxx"


def test_body__fails_before_its_first_byte__is_answered_with_the_status_of_the_error(server):
    status, _, _ = server.get("/body/refuse,b5?id=early")

    assert status == 503
    assert server.end_of("early") == (0, "NoLine")


def test_body__fails_midway__one_line_is_logged_without_a_trace(server):
    with pytest.raises(http.client.IncompleteRead):
        server.get("/body/b777,refuse,b5?id=logged")
    server.end_of("logged")

    lines = [line for line in server.log().splitlines() if "777" in line]
    assert len(lines) == 1
    assert "WARNING" in lines[0]
    assert "cut at 777 of 782 bytes" in lines[0]
    assert "nobody answers" in lines[0]


def test_client__pauses_and_goes_on__gets_all(server, content):
    sock = server.open("GET /body/f0-5242880,f0-5242880 HTTP/1.1\r\nHost: x\r\n\r\n", receive_buffer=4096)

    with sock:
        answer = read_answer(sock)
        first = answer.read(1000)
        time.sleep(STALL_S / 2)
        rest = answer.read()

    assert first + rest == content + content


def test_client__slower_than_the_stall_but_alive__is_not_dropped(server, content):
    sock = server.open("GET /body/b5242880?id=slow HTTP/1.1\r\nHost: x\r\n\r\n", receive_buffer=4096)

    with sock:
        answer = read_answer(sock)
        got = 0
        for _ in range(5):
            time.sleep(STALL_S / 3)
            got += len(answer.read(100_000))
        got += len(answer.read())

    assert got == 5 * MIB
    assert server.end_of("slow") == (5 * MIB, None)


@pytest.mark.parametrize(
    "query",
    [
        f"f0-{FOREVER}?id=stalled-span",
        "b50000000?id=stalled-bytes",
        "f0-50000000?length=none&id=stalled-chunks",
    ],
)
def test_client__takes_nothing__is_dropped(server, query):
    with server.open(f"GET /body/{query} HTTP/1.1\r\nHost: x\r\n\r\n", receive_buffer=4096) as sock:
        sent, error = server.end_of(query.rpartition("=")[2])
        with pytest.raises(ConnectionError):
            read_to_the_end(sock)

    assert error == "ClientStalled"
    assert sent < 50000000


def test_client__hangs_up__reader_is_ended_and_told_what_was_sent(server):
    spec = f"f0-{FOREVER}"
    closed_before = server.facts()["closed"].count(spec)
    sock = server.open(f"GET /body/{spec}?id=gone HTTP/1.1\r\nHost: x\r\n\r\n")

    sock.recv(100_000)
    sock.close()

    sent, error = server.end_of("gone")
    assert 100 <= sent < FOREVER
    assert error in ("BrokenPipeError", "ConnectionResetError")
    assert server.facts()["closed"].count(spec) == closed_before + 1


def test_others__four_clients_read_flat_out__are_served(server):
    progress, done = [0] * 4, threading.Event()

    def stream(index):
        with server.open(f"GET /body/f0-{FOREVER} HTTP/1.1\r\nHost: x\r\n\r\n") as sock:
            while not done.is_set() and (data := sock.recv(MIB)):
                progress[index] += len(data)

    threads = [threading.Thread(target=stream, args=(index,)) for index in range(4)]
    for thread in threads:
        thread.start()
    answers = [server.get("/body/b100")[2] for _ in range(50)]
    at_the_end = list(progress)
    done.set()
    for thread in threads:
        thread.join()

    assert answers == [b"x" * 100] * 50
    assert all(0 < read < FOREVER for read in at_the_end)


def test_others__one_connection_always_has_its_next_request_ready__are_served(server):
    request = "GET /body/b1 HTTP/1.1\r\nHost: x\r\n\r\n"
    sock = server.open(request * 2000)
    received, answered_at = bytearray(), None

    def drain():
        while received.count(b"HTTP/1.1 200") < 2000 and (data := sock.recv(MIB)):
            received.extend(data)

    thread = threading.Thread(target=drain)
    thread.start()
    server.get("/body/b1")
    answered_at = received.count(b"HTTP/1.1 200")
    thread.join()
    sock.close()

    assert answered_at < 2000


def test_tls__spans_sent__arrive_and_a_failure_is_seen(start, content):
    certificate = ROOT / "tests/upstream/localhost.pem"
    conf = ROOT / "conf/gunicorn.conf.py"
    options = ["-c", str(conf), "--certfile", str(certificate), "--keyfile", str(certificate)]
    server = start([sys.executable, "-m", "gunicorn", *options, "stub_server:as_app()"])
    trusting = ssl._create_unverified_context()

    def get(spec):
        connection = http.client.HTTPSConnection("127.0.0.1", server.port, context=trusting, timeout=30)
        connection.request("GET", f"/body/{spec}")
        return connection.getresponse().read()

    assert get("f5-3000000,b7") == content[5:3000000] + b"x" * 7
    with pytest.raises(http.client.IncompleteRead):
        get("f0-100000,refuse,b5")


def test_memory__many_clients_read_nothing__does_not_grow(start):
    server = start()
    server.get(f"/body/f0-{5 * MIB}")
    [worker] = server.workers()
    before = psutil.Process(worker.pid).memory_info().rss

    socks = [
        server.open(f"GET /body/f0-{FOREVER} HTTP/1.1\r\nHost: x\r\n\r\n", receive_buffer=4096)
        for _ in range(100)
    ]
    for sock in socks:
        read_answer(sock).read(1000)
    growth = psutil.Process(worker.pid).memory_info().rss - before
    for sock in socks:
        sock.close()

    assert growth < 20 * MIB


def test_native__runs__other_greenlets_go_on(server):
    ticks = server.get("/native")[2]

    assert ticks == b'{"ticks":20}\n'


def test_unread_request__client_half_closes__still_gets_its_answer(server, content):
    with server.open("GET /body/f0-100000 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n") as sock:
        sock.shutdown(socket.SHUT_WR)
        body = read_answer(sock).read()

    assert body == content[:100000]
