"""What only a real server shows: requests of odd forms, proxies in front, two workers asked at once."""

import socket

import pytest

from dingospeed.testing import Generated
from tests.harness import all_at_once

pytestmark = pytest.mark.server


@pytest.fixture
def repo(shared_hub, shared_mirror, request):
    shared_hub.clear_faults()
    repo = shared_hub.add_repo("models", f"org/{request.node.name[5:60]}".rstrip("_.-"))
    repo.commit({"a.txt": b"words", "big.bin": Generated(size=200_000, seed=9), "dir/b.txt": b"b"})
    shared_hub.reset_counters()
    return repo


def raw(mirror, request):
    """The whole answer to *request*, sent as it is."""
    with socket.create_connection(("127.0.0.1", mirror.port), timeout=60) as connection:
        connection.sendall(request)
        connection.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: connection.recv(65536), b""))


@pytest.mark.parametrize(
    "target",
    [
        b"http://[::1/org/name",
        b"http://evil.org/..%2f..%2fetc/passwd",
        b"http:///org/name/resolve/main/..",
        b"//evil.org/%2e%2e/x",
        b"*",
        b"/org/name/resolve/main/a\\..\\b",
        b"/org/name/resolve/main/a;b=%00",
        b"/\xff\xfe/resolve/main/a",
        b"/api/models/\xc3\xbc?x=\xff",
        b"/" + b"a/" * 4000,
    ],
)
@pytest.mark.parametrize("method", [b"GET", b"HEAD", b"OPTIONS"])
def test_target__of_any_form__a_client_error_and_no_surprise(shared_mirror, method, target):
    answer = raw(shared_mirror, method + b" " + target + b" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")

    status = int(answer.split(b" ", 2)[1])
    assert 400 <= status < 500 or (method, status) == (b"OPTIONS", 204), answer[:300]
    assert b"Traceback" not in answer
    assert "nobody foresaw" not in shared_mirror.log()
    assert "Traceback" not in shared_mirror.log()


def test_link__no_host_told__names_the_server_itself(shared_mirror, repo):
    path = f"/api/models/{repo.id}/tree/main?limit=1".encode()

    answer = raw(shared_mirror, b"GET " + path + b" HTTP/1.0\r\n\r\n")

    assert f"Link: <http://127.0.0.1:{shared_mirror.port}/api/models/{repo.id}/tree/main?".encode() in answer


def test_link__client_says_it_came_through_a_proxy__is_not_believed(shared_mirror, repo):
    forged = {"X-Forwarded-Proto": "https", "X-Forwarded-Host": "evil.org", "X-Forwarded-For": "1.2.3.4"}

    _, headers, _ = shared_mirror.get(f"/api/models/{repo.id}/tree/main?limit=1", headers=forged)

    assert headers["Link"].startswith(f"<http://127.0.0.1:{shared_mirror.port}/api/")


def test_link__behind_a_trusted_proxy_with_tls__is_what_the_client_used(hub, make_mirror):
    hub.add_repo("models", "org/name").commit({"a.txt": b"a", "b.txt": b"b"})
    mirror = make_mirror(hub, server={"trusted_proxies": ["127.0.0.1"]})
    sent = {"Host": "inner:1", "X-Forwarded-Proto": "https", "X-Forwarded-Host": "mirror.example"}

    _, headers, _ = mirror.get("/api/models/org/name/tree/main?limit=1", headers=sent)

    assert headers["Link"].startswith("<https://mirror.example/api/models/org/name/tree/main?")


def test_cold__many_ask_at_once__upstream_is_asked_each_question_once(shared_hub, shared_mirror, repo):
    paths = [f"/{repo.id}/resolve/main/{name}" for name in ("a.txt", "big.bin", "dir/b.txt")] * 8

    answers = all_at_once([lambda path=path: shared_mirror.get(path, method="HEAD")[0] for path in paths])

    assert answers == [200] * len(paths)
    assert shared_hub.count(kind="api", route="revision") == 1
    assert shared_hub.count(kind="api", route="tree") == 1


def test_outage__branch_was_asked_for__everything_goes_on(hub, make_mirror, make_client):
    repo = hub.add_repo("models", "org/name")
    repo.commit({"a.txt": b"words", "dir/b.txt": b"b"})
    mirror = make_mirror(hub, metadata={"ttl_s": 0})
    client = make_client(mirror)
    client.snapshot("org/name")
    hub.stop()

    found = make_client(mirror).run(
        """
        api = HfApi()
        print(json.dumps([
            sorted(api.list_repo_files("org/name")),
            api.model_info("org/name").sha,
            [ref.name for ref in api.list_repo_refs("org/name").branches],
            [entry.path for entry in api.get_paths_info("org/name", ["dir", "a.txt", "none"])],
            api.file_exists("org/name", "none.txt"),
            open(hf_hub_download("org/name", "a.txt")).read(),
        ]))
        """
    )

    assert found == [
        ["a.txt", "dir/b.txt"],
        repo.branches["main"],
        ["main"],
        ["dir", "a.txt"],
        False,
        "words",
    ]
