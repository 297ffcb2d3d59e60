"""A server that takes what webhooks are sent, or behaves as badly as told."""

import json
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(frozen=True)
class Taken:
    """A request as it came."""

    path: str
    headers: Any
    body: bytes

    @property
    def json(self):
        return json.loads(self.body)


class Hook:
    """Answers each request with *status* and *answer*, or does as *behaviour* says."""

    def __init__(self):
        self.taken: list[Taken] = []
        self.status = 200
        self.answer = b'{"errcode": 0, "code": 0}'
        self.behaviour: Any = None
        self.url = ""

    def texts(self):
        """The alerts of messages in plain JSON, each as its state, alert and subject."""
        return [
            (alert["state"], alert["alert"], alert["subject"])
            for one in list(self.taken)
            for alert in one.json["alerts"]
        ]


@contextmanager
def hook_running():
    hook, closing = Hook(), threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            hook.taken.append(Taken(self.path, self.headers, body))
            if hook.behaviour == "hang":
                closing.wait(60)
                return
            self.send_response(hook.status)
            if 300 <= hook.status < 400:
                self.send_header("Location", f"{hook.url}/elsewhere")
            if hook.behaviour == "dribble":
                self.end_headers()
                while not closing.is_set():
                    self.wfile.write(b" ")
                    time.sleep(0.1)
                return
            self.send_header("Content-Length", str(len(hook.answer)))
            self.end_headers()
            self.wfile.write(hook.answer)

        def do_GET(self):
            hook.taken.append(Taken(self.path, self.headers, b""))
            self.send_error(404)

        def log_message(self, format, *args):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    hook.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield hook
    finally:
        closing.set()
        server.shutdown()
        server.server_close()
