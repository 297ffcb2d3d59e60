"""An address of its own for administration: nothing of it is answered at the mirror's."""

import http.client
import json
import socket
from contextlib import closing

import pytest

from dingospeed.store.keys import read_key

pytestmark = pytest.mark.server


@pytest.fixture
def apart(hub, make_mirror):
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    mirror = make_mirror(hub, admin={"bind": f"127.0.0.1:{port}"})
    return mirror, port


def get(port, path, token=None):
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=60)) as connection:
        connection.request("GET", path, headers={"Authorization": f"Bearer {token}"} if token else {})
        answer = connection.getresponse()
        return answer.status, answer.read()


def test_admin_routes__asked_at_the_mirrors_address__are_not_there(apart):
    mirror, port = apart
    token = read_key(mirror.repos / "keys" / "admin")

    for path in ("/-/status", "/-/jobs", "/metrics", "/-/login", "/-/transfers"):
        assert get(mirror.port, path, token)[0] == 404, path
        assert get(port, path, token)[0] == 200, path
    assert get(port, "/-/status")[0] == 401
    for path in ("/-/healthz", "/-/readyz", "/"):
        assert get(mirror.port, path)[0] == 200, path


def test_front__asked_at_the_mirrors_address__offers_no_login(apart):
    mirror, port = apart

    _, _, here = mirror.get("/", headers={"Accept": "text/html"})
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=60)) as connection:
        connection.request("GET", "/", headers={"Accept": "text/html"})
        there = connection.getresponse().read()

    assert b"HF_ENDPOINT" in here
    assert b"/-/login" not in here
    assert b"/-/login" in there


def test_command__asks_the_running_mirror__finds_its_address(apart, tmp_path):
    import subprocess
    import sys

    mirror, _ = apart
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            "from dingospeed.cli import main; main()",
            "status",
            "--json",
            "--config",
            str(mirror.folder / "mirror.yaml"),
        ],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)
