import http.client
import importlib
import os
import signal
import socket
import sys
import time
from pathlib import Path

import psutil
import pytest

from dingospeed.config import load_settings
from dingospeed.serve import gunicorn_options, prepare_metrics, reachable_host

ROOT = Path(__file__).parent.parent
MIB = 1024 * 1024
FOREVER = 8 * 1024 * MIB

server_test = pytest.mark.server


def by_gunicorn():
    """The other way to start: gunicorn's own command with our configuration file."""
    return [
        sys.executable,
        "-m",
        "gunicorn",
        "-c",
        str(ROOT / "conf/gunicorn.conf.py"),
        "stub_server:as_app()",
    ]


WAYS = pytest.mark.parametrize("program", [None, by_gunicorn()], ids=["serve", "gunicorn"])


def request_of(spec):
    return f"GET /body/{spec} HTTP/1.1\r\nHost: x\r\n\r\n"


def wait_until(true):
    deadline = time.monotonic() + 30
    while not true():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.02)


@server_test
@WAYS
def test_start__all_workers_up__two_lines_to_copy(start, program):
    server = start(program=program, DINGOSPEED_SERVER__WORKERS=2)

    assert server.greeting[0].startswith(
        f"dingospeed 0.1.0 ready on http://127.0.0.1:{server.port} (2 workers"
    )
    assert server.greeting[1] == f"export HF_ENDPOINT=http://127.0.0.1:{server.port}"
    assert len(server.workers()) == 2
    assert server.get("/body/b3")[2] == b"xxx"


@server_test
@WAYS
def test_term__download_runs__is_finished_first(start, program):
    server = start(program=program)
    with server.open(request_of("b100000,w3,f0-3000000"), receive_buffer=4096) as sock:
        answer = http.client.HTTPResponse(sock)
        answer.begin()
        answer.read(10)
        server.signal(signal.SIGTERM)
        body = answer.read()

    assert len(body) == 3100000 - 10
    assert server.wait() == 0


@server_test
def test_term__download_runs__new_clients_are_refused(start):
    server = start()
    with server.open(request_of(f"f0-{FOREVER}")) as sock:
        sock.recv(100)
        server.signal(signal.SIGTERM)

        wait_until(lambda: is_stopping(server))


@server_test
def test_term__client_has_only_just_come__its_request_is_answered(start):
    server = start(DINGOSPEED_SERVER__GRACEFUL_TIMEOUT_S=300)
    # "Ready" is said a moment before the worker takes connections: told to stop by then, it takes none.
    server.get("/body/b3")
    with server.open("") as sock:
        server.signal(signal.SIGTERM)
        # By then the worker has been told, and has looked at its connections once.
        wait_until(lambda: "Worker exiting" in server.log() or is_stopping(server))
        sock.sendall(request_of("b3").encode())
        answer = http.client.HTTPResponse(sock)
        answer.begin()
        assert answer.read() == b"xxx"

    assert server.wait() == 0


def is_stopping(server):
    """Whether nobody is let in any more."""
    try:
        socket.create_connection(("127.0.0.1", server.port), 1).close()
    except ConnectionRefusedError:
        return True
    return False


@server_test
def test_term__clients_keep_idle_connections__does_not_wait_for_them(start):
    server = start(DINGOSPEED_SERVER__KEEPALIVE_S=300, DINGOSPEED_SERVER__GRACEFUL_TIMEOUT_S=300)
    connection = server.connect()
    connection.request("GET", "/body/b3")
    connection.getresponse().read()

    server.signal(signal.SIGTERM)

    assert server.wait() == 0


@server_test
def test_term__download_outlasts_the_grace__is_cut(start):
    server = start(DINGOSPEED_SERVER__GRACEFUL_TIMEOUT_S=1)
    with server.open(request_of(f"f0-{FOREVER}")) as sock:
        sock.recv(100)

        server.signal(signal.SIGTERM)

        assert server.wait() == 0


@server_test
@WAYS
def test_second_term__download_runs__ends_at_once(start, program):
    server = start(program=program, DINGOSPEED_SERVER__GRACEFUL_TIMEOUT_S=300)
    with server.open(request_of(f"f0-{FOREVER}")) as sock:
        sock.recv(100)
        server.signal(signal.SIGTERM)
        wait_until(lambda: "term" in server.log())

        server.signal(signal.SIGTERM)

        assert server.wait() == 0


@server_test
def test_int__download_runs__ends_at_once(start):
    server = start(DINGOSPEED_SERVER__GRACEFUL_TIMEOUT_S=300)
    with server.open(request_of(f"f0-{FOREVER}")) as sock:
        sock.recv(100)

        server.signal(signal.SIGINT)

        assert server.wait() == 0


@server_test
def test_worker__killed__is_replaced_and_serves(start):
    server = start()
    [worker] = server.workers()

    os.kill(worker.pid, signal.SIGKILL)
    wait_until(lambda: [new.pid for new in server.workers() if new.pid != worker.pid])

    assert server.get("/body/b3")[2] == b"xxx"
    assert server.facts()["pid"] != worker.pid


@server_test
def test_worker__killed__its_live_gauges_go_with_it(start):
    server = start()
    [worker] = server.workers()
    metrics = Path(server.facts()["metrics"])
    gauge = metrics / f"gauge_livesum_{worker.pid}.db"
    gauge.write_bytes(b"")

    os.kill(worker.pid, signal.SIGKILL)

    wait_until(lambda: not gauge.exists())


@server_test
def test_metrics__while_running_and_after__are_off_the_caches_disk_and_gone(start, tmp_path):
    server = start(DINGOSPEED_CACHE__REPOS=tmp_path / "repos")
    metrics = Path(server.facts()["metrics"])

    assert metrics.is_dir()
    assert not metrics.is_relative_to(tmp_path)
    server.signal(signal.SIGTERM)
    server.wait()
    assert not metrics.exists()


@server_test
def test_metrics__of_a_former_start_in_a_named_directory__are_emptied(start, tmp_path):
    left_over = tmp_path / "metrics/counter_1.db"
    left_over.parent.mkdir(parents=True)
    left_over.write_bytes(b"old")

    start(PROMETHEUS_MULTIPROC_DIR=left_over.parent)

    assert not left_over.exists()


@server_test
@WAYS
def test_start__port_taken__one_line_and_exit_1(start, tmp_path, program):
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        process = start.process(
            tmp_path,
            program,
            DINGOSPEED_SERVER__PORT=port,
        )
        code = process.wait(30)

    assert code == 1
    assert (tmp_path / "stderr").read_text() == (
        f"dingospeed can not start: can not listen on 127.0.0.1:{port}: Address already in use\n"
    )


@server_test
def test_start__cache_can_not_be_written__one_line_and_exit_1(start, tmp_path):
    (tmp_path / "file").touch()

    process = start.process(
        tmp_path,
        DINGOSPEED_CACHE__REPOS=tmp_path / "file/repos",
    )

    assert process.wait(30) == 1
    [line] = (tmp_path / "stderr").read_text().splitlines()
    assert line.startswith(
        f"dingospeed can not start: the cache directory {tmp_path}/file/repos can not be written"
    )


@server_test
def test_start__a_setting_is_wrong__gunicorn_tells_so_in_our_words(start, tmp_path):
    process = start.process(tmp_path, by_gunicorn(), DINGOSPEED_SERVER__WORKERS="many")

    assert process.wait(30) == 2
    log = (tmp_path / "stderr").read_text()
    assert log.startswith("dingospeed can not start: ")
    assert "Traceback" not in log


@server_test
def test_start__former_connections_linger__port_is_not_taken_by_them(start):
    server = start()
    with server.open("GET /body/b3 HTTP/1.0\r\n\r\n") as sock:
        while sock.recv(1000):  # until the server closes: the port then lingers on its side
            pass
    server.signal(signal.SIGTERM)
    server.wait()

    again = start(DINGOSPEED_SERVER__PORT=server.port)

    assert again.port == server.port


@server_test
def test_worker__started__has_no_more_files_open_than_it_needs(start):
    server = start(DINGOSPEED_SERVER__WORKERS=2)
    server.get("/body/b3")

    opened = [file.path for worker in server.workers() for file in psutil.Process(worker.pid).open_files()]

    assert not [path for path in opened if "/repos/" in path]


def begun(server, spec):
    """A download of which the client has taken ten bytes."""
    sock = server.open(request_of(spec), receive_buffer=4096)
    answer = http.client.HTTPResponse(sock)
    answer.begin()
    assert len(answer.read(10)) == 10
    return answer


def pids(server):
    return {worker.pid for worker in server.workers()}


@server_test
def test_hup__settings_changed__new_workers_have_them_and_no_stream_is_dropped(start, tmp_path):
    config = tmp_path / "my.yaml"
    config.write_text("server: {workers: 1}")
    server = start(
        DINGOSPEED_CONFIG=config, DINGOSPEED_SERVER__WORKERS="", DINGOSPEED_SERVER__GRACEFUL_TIMEOUT_S=0.1
    )
    answer = begun(server, "f0-30000000")
    [old] = pids(server)

    config.write_text("server: {workers: 2}")
    server.signal(signal.SIGHUP)
    wait_until(lambda: len(pids(server) - {old}) == 2)
    wait_until(lambda: all(server.facts()["pid"] != old for _ in range(5)))

    assert old in pids(server)
    assert len(answer.read()) == 30000000 - 10
    answer.close()
    wait_until(lambda: old not in pids(server))


@server_test
def test_hup__settings_wrong__the_old_ones_stay_and_a_line_says_why(start, tmp_path):
    config = tmp_path / "my.yaml"
    config.write_text("server: {keepalive_s: 5}")
    server = start(DINGOSPEED_CONFIG=config)
    [old] = pids(server)

    config.write_text("server: {keepalive_s: never}")
    server.signal(signal.SIGHUP)
    wait_until(lambda: "settings not reloaded" in server.log())

    assert "server.keepalive_s: expected seconds" in server.log()
    wait_until(lambda: pids(server) and old not in pids(server))
    assert server.get("/body/b3")[2] == b"xxx"


@server_test
def test_usr2__another_takes_over__no_stream_is_dropped_and_no_client_refused(start):
    server = start(DINGOSPEED_SERVER__GRACEFUL_TIMEOUT_S=300)
    [old] = pids(server)
    answer = begun(server, "f0-30000000")

    server.signal(signal.SIGUSR2)
    assert "ready on" in server.process.stdout.readline()
    server.signal(signal.SIGTERM)
    # The old master closes its sockets at once; what comes then is the new one's.
    wait_until(lambda: all(server.facts()["pid"] != old for _ in range(5)))

    assert len(answer.read()) == 30000000 - 10
    answer.close()
    assert server.wait() == 0
    assert server.get("/body/b3")[2] == b"xxx"


@pytest.mark.parametrize("is_upgrade", [False, True])
def test_metrics__folder_named__is_emptied_unless_others_still_count_there(monkeypatch, tmp_path, is_upgrade):
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(tmp_path))
    if is_upgrade:
        monkeypatch.setenv("GUNICORN_PID", "1")
    files = [tmp_path / "counter_7.db", tmp_path / "worker-7.json"]
    for file in files:
        file.touch()

    assert prepare_metrics() is None

    assert [file.exists() for file in files] == [is_upgrade] * 2


def test_admin_bind__given__is_a_second_address():
    settings = load_settings(None, {"DINGOSPEED_ADMIN__BIND": "127.0.0.1:8092"})

    assert gunicorn_options(settings)["bind"] == ["0.0.0.0:8090", "127.0.0.1:8092"]


def test_options__settings_given__are_gunicorns():
    settings = load_settings(
        None,
        {
            "DINGOSPEED_SERVER__HOST": "::1",
            "DINGOSPEED_SERVER__PORT": "81",
            "DINGOSPEED_SERVER__KEEPALIVE_S": "0.5",
            "DINGOSPEED_SERVER__TRUSTED_PROXIES": '["10.0.0.5", "10.1.0.0/16"]',
        },
    )

    options = gunicorn_options(settings)

    assert options["bind"] == ["[::1]:81"]
    assert options["keepalive"] == 1  # rounded up: 0 would turn it off
    assert options["forwarded_allow_ips"] == "10.0.0.5,10.1.0.0/16"
    assert not options["preload_app"]


@pytest.mark.parametrize(("host", "called"), [("127.0.0.1", "127.0.0.1"), ("mirror.lan", "mirror.lan")])
def test_reachable_host__one_address__is_itself(host, called):
    assert reachable_host(host) == called


@pytest.mark.parametrize("host", ["0.0.0.0", "::"])
def test_reachable_host__all_addresses__is_one_of_them(host):
    assert reachable_host(host) not in ("0.0.0.0", "::")


def test_wsgi__imported__only_builds_the_app(monkeypatch, tmp_path):
    monkeypatch.setenv("DINGOSPEED_CACHE__REPOS", str(tmp_path / "repos"))
    monkeypatch.setenv("DINGOSPEED_CACHE__PUBLIC", str(tmp_path / "public"))
    environ = dict(os.environ)
    monkeypatch.delitem(sys.modules, "dingospeed.wsgi", raising=False)

    module = importlib.import_module("dingospeed.wsgi")

    assert callable(module.app)
    assert os.environ == environ
