"""A real server with a small app: what the tests of worker and serve talk to.

Run as a program, it takes its settings from the environment, and STUB_FILE and STUB_STALL_S
besides. ``GET /body/<piece>,<piece>…`` answers with a
Body of these pieces: ``f10-20`` a span of the file, ``b5`` five bytes, ``w2`` a wait of two
seconds, ``refuse``, ``disk`` and ``bug`` raise. ``?length=`` promises another length,
``none`` promises none.
"""

import errno
import os
import sys
import threading
import time
from types import ModuleType

from flask import Flask, Response, request

from dingospeed.config import load_settings
from dingospeed.errors import NoLine
from dingospeed.model import FileSpan
from dingospeed.web.body import Body


def count_sendfile():
    calls, plain = [], os.sendfile

    def counted(*args):
        sent = plain(*args)
        calls.append(sent)
        return sent

    os.sendfile = counted
    return calls


def create_app(_settings):
    import dingospeed.worker

    dingospeed.worker.CLIENT_STALL_S = float(os.environ.get("STUB_STALL_S", "120"))
    app = Flask("stub")
    ends, closed, sendfile_calls = [], [], count_sendfile()
    fd = os.open(os.environ["STUB_FILE"], os.O_RDONLY)

    def pieces(spec):
        try:
            for word in spec.split(","):
                if word.startswith("f"):
                    yield FileSpan(fd, *map(int, word[1:].split("-")))
                elif word == "refuse":
                    raise NoLine("nobody answers")
                elif word == "disk":
                    raise OSError(errno.EIO, "broken disk")
                elif word == "bug":
                    raise KeyError("a bug")
                elif word.startswith("w"):
                    time.sleep(float(word[1:]))
                else:
                    yield b"x" * int(word[1:])
        finally:
            closed.append(spec)

    def length_of(spec):
        spans = [word[1:].split("-") for word in spec.split(",") if word[0] == "f"]
        plain = [int(word[1:]) for word in spec.split(",") if word[0] == "b" and word != "bug"]
        return sum(int(stop) - int(start) for start, stop in spans) + sum(plain)

    @app.get("/body/<spec>")
    def body(spec):
        def on_end(sent, error):
            ends.append([request_id, sent, type(error).__name__ if error else None])

        request_id = request.args.get("id", spec)
        response = Response(Body(pieces(spec), on_end=on_end), direct_passthrough=True)
        length = request.args.get("length", length_of(spec))
        if length != "none":
            response.headers["Content-Length"] = str(length)
        response.status = request.args.get("status", "200")
        return response

    @app.get("/facts")
    def facts():
        return {
            "pid": os.getpid(),
            "ends": ends,
            "closed": closed,
            "sendfile_bytes": sum(sendfile_calls),
            "sendfile_largest": max(sendfile_calls, default=0),
            "metrics": os.environ.get("PROMETHEUS_MULTIPROC_DIR"),
        }

    @app.get("/native")
    def native():
        from dingospeed.native import run

        ticks: list[int] = []

        def tick():
            for number in range(20):
                time.sleep(0.01)
                ticks.append(number)

        threading.Thread(target=tick).start()
        plain_sleep = sys.modules["gevent.monkey"].get_original("time", "sleep")
        run(plain_sleep, 0.5)
        return {"ticks": len(ticks)}

    flask_app = app.wsgi_app

    def wsgi_app(environ, start_response):
        # An app without Flask's care for HEAD.
        if environ["PATH_INFO"] != "/raw":
            return flask_app(environ, start_response)
        start_response("200 OK", [("Content-Length", "100000")])
        return Body(pieces("f0-100000"), on_end=lambda sent, error: ends.append(["raw", sent, error]))

    app.wsgi_app = wsgi_app  # type: ignore[method-assign]
    return app


def as_app():
    return create_app(load_settings())


if __name__ == "__main__":
    module = ModuleType("dingospeed.app")
    module.__dict__["create_app"] = create_app
    sys.modules["dingospeed.app"] = module
    from dingospeed.serve import run

    run(load_settings(), read_again=load_settings)
