"""Servers and proxies of raw sockets: they misbehave in ways no server library allows."""

from __future__ import annotations

import socket
import ssl
import struct
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from dingospeed.upstream.client import Client

CERTIFICATE = Path(__file__).with_name("localhost.pem")
CUT = object()
RESET = object()
STALL = object()
ENDLESS = object()


def http_answer(status=200, body=b"", **headers):
    """The bytes of an answer; a header given as None is left out."""
    fields = {"Content-Length": str(len(body)), **{name.replace("_", "-"): v for name, v in headers.items()}}
    head = "".join(f"{name}: {value}\r\n" for name, value in fields.items() if value is not None)
    return f"HTTP/1.1 {status} X\r\n{head}\r\n".encode("latin-1") + body


@dataclass
class Seen:
    method: str
    target: str
    headers: dict[str, str]
    body: bytes
    connection: int


class Listener:
    """Accepts on a port of its own, one thread for each connection."""

    def __init__(self, *, is_tls=False):
        self.stopped = threading.Event()
        self.connections = 0
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        self.url = f"{'https' if is_tls else 'http'}://127.0.0.1:{self.port}"
        self._context = None
        if is_tls:
            self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self._context.load_cert_chain(CERTIFICATE)
        self._open: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def stop(self):
        self.stopped.set()
        self._socket.close()
        for connection in self._open:
            connection.close()

    def talk(self, connection, number):
        raise NotImplementedError

    def _accept(self):
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            self.connections += 1
            self._open.append(connection)
            threading.Thread(target=self._serve, args=(connection, self.connections), daemon=True).start()

    def _serve(self, connection, number):
        try:
            if self._context is not None:
                connection = self._context.wrap_socket(connection, server_side=True)
            with connection:
                self.talk(connection, number)
        except (OSError, ValueError):
            return


class Server(Listener):
    """Answers each target from its own list of answers; the last one stays."""

    def __init__(self, *, is_tls=False):
        self.seen: list[Seen] = []
        self.was_left = threading.Event()
        self._answers: dict[str, list[tuple[object, ...]]] = {}
        super().__init__(is_tls=is_tls)

    def on(self, target, *answers):
        """Each answer is bytes, or a tuple of bytes, CUT, RESET, STALL and ENDLESS."""
        self._answers[target] = [answer if isinstance(answer, tuple) else (answer,) for answer in answers]

    def asked(self, target):
        return [seen for seen in self.seen if seen.target == target]

    def talk(self, connection, number):
        reader = connection.makefile("rb")
        while line := reader.readline():
            method, target, _ = line.decode().split()
            headers = {}
            while (line := reader.readline()) not in (b"\r\n", b""):
                name, _, value = line.decode("latin-1").partition(":")
                headers[name.lower()] = value.strip()
            body = reader.read(int(headers.get("content-length", 0)))
            self.seen.append(Seen(method, target, headers, body, number))
            answers = self._answers.get(target) or [(http_answer(404),)]
            for part in answers.pop(0) if len(answers) > 1 else answers[0]:
                if part is STALL:
                    self.stopped.wait(20)
                elif part is ENDLESS:
                    self._send_until_left(connection)
                    return
                elif part is CUT:
                    connection.shutdown(socket.SHUT_RDWR)
                    return
                elif part is RESET:
                    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    reader.close()
                    return
                else:
                    connection.sendall(part)

    def _send_until_left(self, connection):
        try:
            while True:
                connection.sendall(bytes(65536))
        except OSError:
            self.was_left.set()


class Proxy(Listener):
    """Passes bytes to the one *behind*, whatever host was asked for, and notes that host."""

    def __init__(self, behind):
        self.hosts: list[str] = []
        self._behind = behind
        super().__init__()

    def pipe(self, connection):
        with socket.create_connection(("127.0.0.1", self._behind.port)) as other:
            threading.Thread(target=self._copy, args=(connection, other), daemon=True).start()
            self._copy(other, connection)

    @staticmethod
    def _copy(source, sink):
        try:
            while data := source.recv(65536):
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            return


class ConnectProxy(Proxy):
    """An HTTP proxy that knows CONNECT."""

    def talk(self, connection, number):
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += connection.recv(1)
        method, host, _ = head.split(b"\r\n")[0].decode().split()
        self.hosts.append(f"{method} {host}")
        connection.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
        self.pipe(connection)


class SocksProxy(Proxy):
    """SOCKS 5 without a login (RFC 1928)."""

    def talk(self, connection, number):
        _, methods = connection.recv(1), connection.recv(1)
        connection.recv(methods[0])
        connection.sendall(b"\x05\x00")
        kind = connection.recv(4)[3]
        if kind == 1:
            host = socket.inet_ntoa(connection.recv(4))
        else:
            host = connection.recv(connection.recv(1)[0]).decode()
        port = struct.unpack(">H", connection.recv(2))[0]
        self.hosts.append(f"{host}:{port}")
        connection.sendall(b"\x05\x00\x00\x01\x00\x00\x00\x00\x00\x00")
        self.pipe(connection)


class Clock:
    """Stands still until told."""

    def __init__(self, now=1_000_000.0):
        self.now = now

    def __call__(self):
        return self.now

    def forward(self, seconds):
        self.now += seconds


@dataclass
class Kit:
    """What the tests of this floor build from."""

    answer: Callable[..., bytes] = http_answer
    CUT: object = CUT
    RESET: object = RESET
    STALL: object = STALL
    ENDLESS: object = ENDLESS
    certificate: str = str(CERTIFICATE)
    clock: Clock = field(default_factory=Clock)
    started: list[Any] = field(default_factory=list)

    def server(self, **options):
        return self._keep(Server(**options))

    def connect_proxy(self, behind):
        return self._keep(ConnectProxy(behind))

    def socks_proxy(self, behind):
        return self._keep(SocksProxy(behind))

    def client(self, base_url, **options) -> Client:
        defaults: dict[str, Any] = {
            "name": "line",
            "is_hub": True,
            "connect_s": 5.0,
            "read_s": 5.0,
            "clock": self.clock,
        }
        client = Client(base_url=base_url, **(defaults | options))
        self.started.append(client)
        return client

    def closed_port_url(self) -> str:
        with socket.create_server(("127.0.0.1", 0)) as one:
            return f"http://127.0.0.1:{one.getsockname()[1]}"

    def _keep(self, listener):
        self.started.append(listener)
        return listener

    def stop(self):
        for one in self.started:
            one.close() if isinstance(one, Client) else one.stop()


@pytest.fixture
def kit():
    kit = Kit()
    yield kit
    kit.stop()


@pytest.fixture
def server(kit):
    return kit.server()


@pytest.fixture
def client(kit, server):
    return kit.client(server.url)
