"""The egress guard: a client of the grid may speak to the mirror and to nobody else.

Three ways to notice, from the one that is always there to the one that needs a right:

* a proxy that every client is told to use for all but the mirror; it notes what is asked of it and refuses;
* hooks in Python and node (programs/guarded) that note connections made without asking the proxy;
* where root may make one, a network namespace from which only this machine is reachable, with an eye on
  its wire.
"""

from __future__ import annotations

import os
import re
import shutil
import socket
import struct
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from socketserver import StreamRequestHandler, ThreadingTCPServer

NAMES = "grid"
RESOLVERS = Path("/etc/netns")
HOOKS = Path(__file__).with_name("programs") / "guarded"
ALL_PACKETS = 0x0003
IPV4, TCP, UDP = 0x0800, 6, 17
SYN, ACK = 0x02, 0x10
DNS_PORT = 53
WIRE_DELAY_S = 0.1


class Guard:
    """Notes who is spoken to. One client at a time goes out through it."""

    def __init__(self, namespace: Namespace | None = None) -> None:
        self._namespace = namespace
        self._seen: list[str] = []
        self._allowed: set[str] = set()
        # Where this machine is reached by the client.
        self.address = namespace.address if namespace else "127.0.0.1"
        self._proxy = _Proxy((self.address, 0), self._seen)
        self._proxy_port = self._proxy.server_address[1]
        threading.Thread(target=self._proxy.serve_forever, daemon=True).start()

    def start(self, mirror_port: int) -> None:
        self._allowed = {f"{self.address}:{port}" for port in (mirror_port, self._proxy_port)}
        if self._namespace:
            self._namespace.watch(self._allowed, self._seen)

    def stop(self) -> None:
        self._proxy.shutdown()
        self._proxy.server_close()
        if self._namespace:
            self._namespace.remove()

    def environ(self, notes: Path) -> dict[str, str]:
        """What a client is told by its environment; the hooks write into *notes*."""
        proxy = f"http://{self.address}:{self._proxy_port}"
        names = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")
        hook = f"--import={HOOKS / 'guard.mjs'}"
        return {
            **{name: proxy for upper in names for name in (upper, upper.lower())},
            **dict.fromkeys(("NO_PROXY", "no_proxy"), f"{self.address},127.0.0.1,localhost"),
            "GRID_ALLOWED": ",".join(sorted(self._allowed)),
            "GRID_NOTES": str(notes),
            "NODE_OPTIONS": hook,
        }

    def command(self, command: list[str]) -> list[str]:
        return self._namespace.command(command) if self._namespace else command

    def take(self, notes: Path) -> list[str]:
        """Where clients went since the last look, or tried to."""
        if self._namespace:
            # What comes over the wire comes by a thread of its own.
            time.sleep(WIRE_DELAY_S)
        seen, self._seen[:] = [*self._seen], []
        if notes.exists():
            seen += notes.read_text().split("\n")[:-1]
            notes.unlink()
        return list(dict.fromkeys(seen))


class _Proxy(ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True

    def __init__(self, address: tuple[str, int], seen: list[str]) -> None:
        super().__init__(address, _Refusal)
        self.seen = seen


class _Refusal(StreamRequestHandler):
    """Any request, CONNECT or absolute, is noted and answered by no."""

    server: _Proxy

    def handle(self) -> None:
        words = self.rfile.readline(65536).decode("latin-1").split()
        while self.rfile.readline(65536).strip():
            pass
        if len(words) < 2:
            return
        self.server.seen.append(re.sub(r"\?.*", "", f"{words[0]} {words[1]}"))
        self.wfile.write(b"HTTP/1.1 403 Not to the mirror\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")


class Namespace:
    """A network with one client in it and this machine at the other end of the wire."""

    def __init__(self, number: int) -> None:
        # Names of interfaces have 15 characters.
        tag = f"{os.getpid()}n{number}"
        self.name = f"{NAMES}{tag}"
        self._wire = f"gw{tag}"
        net = f"10.{213 + number}.{os.getpid() % 250}"
        self.address, self._guest = f"{net}.1", f"{net}.2"
        self._is_gone = threading.Event()
        inside = f"gc{tag}"
        # Names are looked up here, where nobody answers but the eye on the wire sees it.
        resolver = RESOLVERS / self.name
        resolver.mkdir(parents=True)
        (resolver / "resolv.conf").write_text(f"nameserver {self.address}\noptions timeout:1 attempts:1\n")
        _ip("netns", "add", self.name)
        _ip("link", "add", self._wire, "type", "veth", "peer", "name", inside, "netns", self.name)
        _ip("addr", "add", f"{self.address}/30", "dev", self._wire)
        _ip("link", "set", self._wire, "up")
        _ip("-n", self.name, "addr", "add", f"{self._guest}/30", "dev", inside)
        for name in (inside, "lo"):
            _ip("-n", self.name, "link", "set", name, "up")
        _ip("-n", self.name, "route", "add", "default", "via", self.address)

    def command(self, command: list[str]) -> list[str]:
        return ["ip", "netns", "exec", self.name, *command]

    def watch(self, allowed: set[str], seen: list[str]) -> None:
        """Note in *seen* whom the client speaks to, from now on, except *allowed*."""
        wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ALL_PACKETS))
        wire.bind((self._wire, 0))
        wire.settimeout(0.2)
        threading.Thread(target=self._watch, args=(wire, allowed, seen), daemon=True).start()

    def _watch(self, wire: socket.socket, allowed: set[str], seen: list[str]) -> None:
        with wire:
            while not self._is_gone.is_set():
                try:
                    frame = wire.recv(256)
                except TimeoutError:
                    continue
                except OSError:
                    return
                target = target_of(frame, self._guest)
                if target and target not in allowed:
                    seen.append(target)

    def remove(self) -> None:
        self._is_gone.set()
        _remove(self.name)


def target_of(frame: bytes, sender: str) -> str | None:
    """Whom *sender* begins to speak to in this frame: ``address:port``; of a look-up, the name looked up."""
    if len(frame) < 34 or struct.unpack("!H", frame[12:14])[0] != IPV4:
        return None
    packet = frame[14:]
    header = (packet[0] & 0x0F) * 4
    if socket.inet_ntoa(packet[12:16]) != sender:
        return None
    behind = packet[header:]
    target, port = socket.inet_ntoa(packet[16:20]), struct.unpack("!H", behind[2:4])[0]
    if packet[9] == TCP:
        return f"{target}:{port}" if behind[13] & SYN and not behind[13] & ACK else None
    if packet[9] == UDP:
        return f"look-up of {name_asked(behind[8:])}" if port == DNS_PORT else f"{target}:{port}/udp"
    return None


def name_asked(message: bytes) -> str:
    """The name in a question to a name server."""
    labels, at = [], 12
    while at < len(message) and message[at]:
        labels.append(message[at + 1 : at + 1 + message[at]].decode("latin-1"))
        at += 1 + message[at]
    return ".".join(labels)


def can_isolate() -> bool:
    """Whether namespaces can be made here."""
    if os.getuid() != 0 or shutil.which("ip") is None:
        return False
    name = f"{NAMES}try{os.getpid()}"
    made = subprocess.run(["ip", "netns", "add", name], check=False, capture_output=True).returncode == 0
    wire = ["ip", "link", "add", "gridtry", "type", "veth", "peer", "name", "gridtry2", "netns", name]
    wired = made and subprocess.run(wire, check=False, capture_output=True).returncode == 0
    if made:
        _remove(name)
    return wired


@contextmanager
def guards(count: int, *, is_isolated: bool) -> Iterator[list[Guard]]:
    made: list[Guard] = []
    if is_isolated:
        _remove_abandoned()
    try:
        for number in range(count):
            made.append(Guard(Namespace(number) if is_isolated else None))
        yield made
    finally:
        for guard in made:
            guard.stop()


def _remove_abandoned() -> None:
    """Those of runs that were killed."""
    listed = subprocess.run(["ip", "netns", "list"], check=True, capture_output=True, text=True).stdout
    for name, pid in re.findall(rf"^({NAMES}(\d+)n\d+)", listed, re.MULTILINE):
        if not Path("/proc", pid).exists():
            _remove(name)


def _remove(name: str) -> None:
    # Takes the wire with it.
    subprocess.run(["ip", "netns", "del", name], check=False, capture_output=True)
    shutil.rmtree(RESOLVERS / name, ignore_errors=True)


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True)
