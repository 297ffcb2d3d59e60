from __future__ import annotations

import threading
import time

import pytest

from dingospeed.errors import LineFailed
from dingospeed.model import Span

MEGA = 1024 * 1024


def read_all(stream, max_bytes=1 << 16):
    parts = []
    while part := stream.read(max_bytes):
        parts.append(part)
    return b"".join(parts)


def chunk(data):
    return b"%x\r\n%s\r\n" % (len(data), data)


@pytest.fixture
def head(kit):
    """The head of an answer in chunks."""
    return kit.answer(200, Content_Length=None, Transfer_Encoding="chunked")


@pytest.mark.parametrize("max_bytes", [1000, 1 << 16, 4 * MEGA])
def test_read__whole_body__gives_every_byte_and_then_the_end(kit, server, client, max_bytes):
    body = bytes(range(256)) * 4096
    server.on("/f", kit.answer(200, body))

    with client.open("/f") as stream:
        content = read_all(stream, max_bytes)
        after = stream.read(1)

    assert content == body
    assert after == b""


def test_read__part_has_arrived__does_not_wait_for_more(kit, server, client):
    server.on("/f", (kit.answer(200, b"first", Content_Length="100"), kit.STALL))

    with client.open("/f") as stream:
        part = stream.read(MEGA)

    assert part
    assert b"first".startswith(part)


@pytest.mark.parametrize("max_bytes", [1000, 1 << 16, 4 * MEGA])
def test_read__over_tls__gives_every_byte_and_then_the_end(kit, max_bytes):
    server = kit.server(is_tls=True)
    body = bytes(range(256)) * 4096
    server.on("/f", kit.answer(200, body), kit.answer(200, body, Connection="close"), kit.answer(200, b""))
    client = kit.client(server.url, ca_bundle=kit.certificate)

    contents = []
    for _ in range(3):
        with client.open("/f") as stream:
            contents.append(read_all(stream, max_bytes))

    assert contents == [body, body, b""]


def test_read__several_records_of_tls_have_arrived__gives_more_than_one(kit):
    server = kit.server(is_tls=True)
    server.on("/f", (kit.answer(200, Content_Length=str(1 << 40)), kit.ENDLESS))
    most, deadline = 0, time.monotonic() + 10

    with kit.client(server.url, ca_bundle=kit.certificate).open("/f") as stream:
        while most <= 16_384 and time.monotonic() < deadline:
            time.sleep(0.01)  # more of them come meanwhile
            most = max(most, len(stream.read(MEGA)))

    assert most > 16_384


def test_read__in_chunks__gives_every_byte(server, client, head):
    server.on("/f", (head, chunk(b"one"), chunk(b"two" * 10_000), b"0\r\n\r\n"))

    with client.open("/f") as stream:
        content = read_all(stream)

    assert content == b"one" + b"two" * 10_000


@pytest.mark.parametrize("ending", ["CUT", "RESET"])
@pytest.mark.parametrize("sent", [0, 1, 99])
def test_read__body_short_of_its_length__fails(kit, server, client, sent, ending):
    server.on("/f", (kit.answer(200, b"x" * sent, Content_Length="100"), getattr(kit, ending)))

    with pytest.raises(LineFailed), client.open("/f") as stream:
        read_all(stream)


@pytest.mark.parametrize(
    "sent",
    [b"", b"5", b"5\r\n", b"5\r\nab", chunk(b"abcde"), chunk(b"abcde") + b"5\r\n", b"zz\r\n"],
    ids=repr,
)
def test_read__chunks_end_early__fails(kit, server, client, head, sent):
    server.on("/f", (head, sent, kit.CUT))

    with pytest.raises(LineFailed), client.open("/f") as stream:
        read_all(stream)


def test_read__after_a_failure__fails_again(kit, server, client):
    server.on("/f", (kit.answer(200, b"x", Content_Length="100"), kit.CUT))

    with client.open("/f") as stream:
        with pytest.raises(LineFailed):
            read_all(stream)
        with pytest.raises(LineFailed):
            stream.read(1)


def test_read__nothing_comes__fails(kit, server):
    server.on("/f", (kit.answer(200, b"first", Content_Length="100"), kit.STALL))

    with kit.client(server.url, read_s=0.2).open("/f") as stream, pytest.raises(LineFailed, match="in time"):
        read_all(stream)


def test_read__more_than_announced__is_left_out(kit, server, client):
    server.on("/f", kit.answer(200, b"abcdef", Content_Length="3"), kit.answer(200, b"next"))

    contents = []
    for _ in range(2):
        with client.open("/f") as stream:
            contents.append(read_all(stream))

    assert contents == [b"abc", b"next"]


def test_read__closed_already__fails(kit, server, client):
    server.on("/f", kit.answer(200, b"abc"))
    stream = client.open("/f")

    stream.close()

    with pytest.raises(LineFailed, match="closed"):
        stream.read(1)


def test_close__body_read_to_its_end__keeps_the_connection(kit, server, client):
    server.on("/f", kit.answer(200, b"abc"))

    for _ in range(2):
        with client.open("/f") as stream:
            read_all(stream)

    assert server.connections == 1


def test_close__in_the_middle__drops_the_connection(kit, server, client):
    server.on("/f", (kit.answer(200, b"a", Content_Length="100"), kit.STALL), kit.answer(200, b"next"))

    stream = client.open("/f")
    stream.read(1)
    stream.close()
    stream.close()
    with client.open("/f") as other:
        content = read_all(other)

    assert content == b"next"
    assert server.connections == 2


def test_close__in_the_middle_of_much__the_server_sees_us_leave(kit, server, client):
    server.on("/f", (kit.answer(200, Content_Length=str(1 << 40)), kit.ENDLESS))
    stream = client.open("/f")
    stream.read(1)

    stream.close()

    assert server.was_left.wait(10)
    assert stream.status == 200


@pytest.mark.parametrize("is_tls", [False, True])
def test_close__while_another_thread_reads_much__ends_it(kit, is_tls):
    server = kit.server(is_tls=is_tls)
    server.on("/f", (kit.answer(200, Content_Length=str(1 << 40)), kit.ENDLESS))
    stream = kit.client(server.url, ca_bundle=kit.certificate).open("/f")
    foreign, failed = [], threading.Event()

    def read_on():
        try:
            while True:
                foreign.append(stream.read(1 << 16).strip(b"\0"))
        except LineFailed:
            failed.set()

    reader = threading.Thread(target=read_on)
    reader.start()
    time.sleep(0.05)
    stream.close()
    reader.join(10)

    assert failed.is_set()
    assert set(foreign) == {b""}
    assert server.was_left.wait(10)


@pytest.mark.parametrize("is_tls", [False, True])
def test_close__while_another_thread_reads__wakes_it(kit, is_tls):
    server = kit.server(is_tls=is_tls)
    server.on("/f", (kit.answer(200, b"a", Content_Length="100"), kit.STALL))
    client = kit.client(server.url, ca_bundle=kit.certificate, read_s=60.0)
    stream = client.open("/f")
    stream.read(1)
    caught: list[LineFailed] = []

    def wait_for_more():
        try:
            stream.read(100)
        except LineFailed as error:
            caught.append(error)

    reader = threading.Thread(target=wait_for_more)
    reader.start()
    time.sleep(0.2)  # long enough to be waiting; too short only makes the test easier
    stream.close()
    reader.join(10)

    assert not reader.is_alive()
    assert caught[0].why == "the stream was closed"


@pytest.mark.parametrize(
    ("headers", "span", "size"),
    [
        ({"Content_Range": "bytes 0-0/1"}, Span(0, 1), 1),
        ({"Content_Range": "bytes 5-9/*"}, Span(5, 10), None),
        ({"Content_Range": "bytes 9-5/20"}, None, 20),
        ({"Content_Range": "lines 1-2/3"}, None, None),
        ({}, None, None),
    ],
)
def test_span__part_of_a_file__is_what_it_says(kit, server, client, headers, span, size):
    server.on("/f", kit.answer(206, b"", **headers))

    with client.open("/f") as stream:
        told = (stream.span, stream.size)

    assert told == (span, size)


def test_span__whole_file__is_its_length(kit, server, client, head):
    server.on("/f", kit.answer(200, b"abc"), (head, b"0\r\n\r\n"))

    with client.open("/f") as known, client.open("/f") as unknown:
        told = [known.span, known.size, unknown.span, unknown.size]

    assert told == [Span(0, 3), 3, None, None]
