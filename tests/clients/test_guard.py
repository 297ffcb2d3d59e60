import os
import socket
import struct
import subprocess
import sys
import urllib.error
import urllib.request

import pytest

from tests.clients.guard import HOOKS, Guard, can_isolate, guards, name_asked, target_of

MIRROR_PORT = 8090
GUEST = "10.0.0.2"


@pytest.fixture
def guard():
    with guards(1, is_isolated=False) as (one,):
        one.start(MIRROR_PORT)
        yield one


def frame(protocol, behind, *, sender=GUEST, target="10.9.9.9"):
    header = struct.pack(
        "!BBHHHBBH4s4s", 0x45, 0, 0, 0, 0, 64, protocol, 0, socket.inet_aton(sender), socket.inet_aton(target)
    )
    return b"\0" * 12 + b"\x08\x00" + header + behind


def tcp(port, flags):
    return struct.pack("!HHIIBBHHH", 40000, port, 0, 0, 0x50, flags, 0, 0, 0)


def through(guard: Guard, url, notes):
    proxy = guard.environ(notes)["HTTPS_PROXY"]
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({"http": proxy, "https": proxy}))
    with pytest.raises((urllib.error.URLError, OSError)):
        opener.open(url, timeout=10)


@pytest.mark.parametrize(
    ("url", "noted"),
    [
        ("https://huggingface.co/gpt2", "CONNECT huggingface.co:443"),
        ("http://cas.invalid/v1/x?secret=1", "GET http://cas.invalid/v1/x"),
    ],
)
def test_guard__asked_for_another_address__notes_it_once(guard, tmp_path, url, noted):
    through(guard, url, tmp_path / "notes")

    assert guard.take(tmp_path / "notes") == [noted]
    assert guard.take(tmp_path / "notes") == []


def test_hook__python_connects_without_the_proxy__notes_it(guard, tmp_path):
    notes = tmp_path / "notes"
    code = "import socket; socket.socket().connect_ex(('127.0.0.1', 9))"

    environ = {**os.environ, **guard.environ(notes), "PYTHONPATH": str(HOOKS)}
    subprocess.run([sys.executable, "-c", code], env=environ, check=True)

    assert guard.take(notes) == ["127.0.0.1:9"]


def test_hook__python_connects_to_the_mirror__notes_nothing(guard, tmp_path):
    notes = tmp_path / "notes"
    code = f"import socket; socket.socket().connect_ex(('127.0.0.1', {MIRROR_PORT}))"

    environ = {**os.environ, **guard.environ(notes), "PYTHONPATH": str(HOOKS)}
    subprocess.run([sys.executable, "-c", code], env=environ, check=True)

    assert guard.take(notes) == []


@pytest.mark.skipif(not can_isolate(), reason="network namespaces can not be made here")
def test_namespace__client_asks_no_proxy__is_seen_on_the_wire(tmp_path):
    # An address that is nobody's: RFC 5737.
    code = (
        "import socket; s = socket.socket(); s.settimeout(0.5); s.connect_ex(('192.0.2.7', 443));"
        "s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.sendto(b'x', ('192.0.2.8', 9))"
    )
    with guards(1, is_isolated=True) as (guard,):
        guard.start(MIRROR_PORT)

        subprocess.run(guard.command([sys.executable, "-c", code]), check=True)

        assert guard.take(tmp_path / "notes") == ["192.0.2.7:443", "192.0.2.8:9/udp"]


def test_target_of__first_packet_of_a_connection__is_where_to():
    assert target_of(frame(6, tcp(443, 0x02)), GUEST) == "10.9.9.9:443"


def test_target_of__answers_and_what_others_send__is_none():
    assert target_of(frame(6, tcp(443, 0x12)), GUEST) is None
    assert target_of(frame(6, tcp(443, 0x10)), GUEST) is None
    assert target_of(frame(6, tcp(443, 0x02), sender="10.0.0.1"), GUEST) is None
    assert target_of(b"\0" * 60, GUEST) is None


def test_target_of__look_up__names_what_is_looked_up():
    question = b"\0" * 12 + b"\x0bhuggingface\x02co\0" + b"\0\x01\0\x01"
    behind = struct.pack("!HHHH", 40000, 53, 8 + len(question), 0) + question

    assert name_asked(question) == "huggingface.co"
    assert target_of(frame(17, behind), GUEST) == "look-up of huggingface.co"
