import socket
import threading

from dingospeed.testing.wire import Listener, Reply

SIZE = 50_000_000


class OnePiece:
    """A payload that is sent at one go."""

    size = SIZE

    def pieces(self, start, stop):
        yield memoryview(bytes(stop - start))

    def sha256(self):
        raise NotImplementedError


def test_on_sent__client_leaves_midway__is_told_what_did_not_go_out():
    told: list[int] = []
    ended = threading.Event()
    reply = Reply(200, {}, OnePiece(), on_sent=told.append, on_end=ended.set)
    listener = Listener(lambda request: reply)
    listener.start()

    with socket.create_connection((listener.host, listener.port)) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\n\r\n")
        connection.recv(1000)
    assert ended.wait(30)
    listener.stop()

    assert told[0] == SIZE
    assert 0 < sum(told) < SIZE


def test_application__with_a_fault_of_its_own__is_a_500_and_the_listener_goes_on(caplog):
    def stumble(request):
        raise KeyError("a fault of the fake")

    listener = Listener(stumble)
    listener.start()

    for _ in range(2):
        with socket.create_connection((listener.host, listener.port)) as connection:
            connection.sendall(b"GET / HTTP/1.0\r\n\r\n")
            assert connection.makefile("rb").readline() == b"HTTP/1.1 500 Internal Server Error\r\n"
    listener.stop()

    assert len(caplog.records) == 2
