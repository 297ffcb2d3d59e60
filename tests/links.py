"""Links between nodes that can be cut one by one: a TCP proxy before each node and before each node's Redis.

A cut link is silent: connections are taken, and nothing comes. Who is at the other end of a
connection to a node is found by its port, among the workers of the nodes.
"""

import contextlib
import socket
import threading
import time

import psutil

CHUNK = 1 << 16
PAUSE_S = 0.02


class Links:
    """*nodes* is the list of a group, which may grow. Links are named ``(from, to)``: ids, or ``redis``."""

    def __init__(self, nodes):
        self._nodes = nodes
        self._cut: set[tuple[str, str]] = set()
        self._sockets: list[socket.socket] = []
        self._is_over = threading.Event()

    def to(self, name, target, *, of=None):
        """The address of a new proxy before *target*; of one node only, or of whoever connects."""
        listener = socket.create_server((target[0], 0))
        self._sockets.append(listener)
        threading.Thread(target=self._accept, args=(listener, name, target, of), daemon=True).start()
        return listener.getsockname()

    def cut(self, one, other):
        """From now on nothing goes between them."""
        self._cut |= {(one, other), (other, one)}

    def mend(self):
        """All links are well; connections that were cut do not come to life again."""
        self._cut = set()

    def close(self):
        self._is_over.set()
        for one in self._sockets:
            one.close()

    def _accept(self, listener, name, target, of):
        with contextlib.suppress(OSError):
            while True:
                client, address = listener.accept()
                arguments = (client, address, name, target, of)
                threading.Thread(target=self._connect, args=arguments, daemon=True).start()

    def _connect(self, client, address, name, target, of):
        link = (of or self._owner(address[1]), name)
        with client, contextlib.suppress(OSError), socket.create_connection(target) as server:
            self._sockets += [client, server]
            back = threading.Thread(target=self._pass_on, args=(server, client, link), daemon=True)
            back.start()
            self._pass_on(client, server, link)
            back.join()

    def _pass_on(self, source, sink, link):
        try:
            while (data := source.recv(CHUNK)) and link not in self._cut:
                sink.sendall(data)
            if data:
                # Silence, until the other side gives up or the link is well again.
                while link in self._cut and not self._is_over.is_set() and _is_open(source):
                    time.sleep(PAUSE_S)
        except OSError:
            pass
        finally:
            for end in (source, sink):
                with contextlib.suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)

    def _owner(self, port):
        for node in list(self._nodes):
            for worker in node.workers():
                with contextlib.suppress(psutil.Error):
                    if any(
                        found.laddr and found.laddr.port == port for found in worker.net_connections("tcp")
                    ):
                        return node.settings["cluster"]["node_id"]
        return ""


def _is_open(source):
    source.setblocking(False)
    try:
        while source.recv(CHUNK):
            pass
        return False
    except BlockingIOError:
        return True
    except OSError:
        return False
    finally:
        with contextlib.suppress(OSError):
            source.setblocking(True)
