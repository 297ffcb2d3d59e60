"""The first promise: a real client downloads, cold, warm, and with the upstream away."""

import hashlib
import subprocess
import sys
from pathlib import Path

import pytest

from dingospeed.testing import Generated
from tests.harness import expected, hashes, sha256_file

pytestmark = pytest.mark.server

FILES = {
    "config.json": b'{"model_type": "tiny"}',
    "empty.txt": b"",
    "nested/deeper/notes.md": b"# notes\n",
    "nested/données ünï +%#&.txt": "größer als ASCII".encode(),
    "small.bin": bytes(range(256)) * 100,
    "model.safetensors": Generated(size=5_000_000, seed=1),
    "nested/block-sized.bin": Generated(size=65536 * 8, seed=2),
}


@pytest.fixture
def model(hub):
    repo = hub.add_repo("models", "org/model")
    repo.commit(FILES)
    return repo


def test_snapshot__cold__right_files_and_each_byte_once(hub, model, mirror, make_client):
    found = make_client(mirror).snapshot("org/model")

    assert found == expected(model)
    assert hub.bytes_sent(host="cdn") == sum(
        file.size for file in FILES.values() if isinstance(file, Generated)
    )
    assert hub.leaks == []


def test_snapshot__warm__not_one_call_upstream(hub, model, mirror, make_client):
    make_client(mirror).snapshot("org/model")
    hub.reset_counters()

    found = make_client(mirror).snapshot("org/model")

    assert found == expected(model)
    assert hub.calls == []


def test_snapshot__upstream_gone_and_mirror_restarted__still_right(hub, model, mirror, make_client):
    make_client(mirror).snapshot("org/model")
    sha = model.branches["main"]
    hub.stop()
    mirror.restart()

    assert make_client(mirror).snapshot("org/model") == expected(model)
    assert make_client(mirror).snapshot("org/model", revision=sha) == expected(model)


def test_snapshot__restarted_offline__still_right(model, mirror, make_client):
    make_client(mirror).snapshot("org/model")
    mirror.restart("--offline")

    assert make_client(mirror).snapshot("org/model") == expected(model)


def test_snapshot__dataset__by_tag_and_by_sha(hub, mirror, make_client):
    repo = hub.add_repo("datasets", "org/data")
    old = repo.commit({"data/a.parquet": Generated(size=300_000, seed=3), "README.md": b"one"})
    repo.tag("v1", old)
    repo.commit({"README.md": b"two"})

    assert make_client(mirror).snapshot("org/data", repo_type="dataset") == expected(repo)
    assert make_client(mirror).snapshot("org/data", repo_type="dataset", revision="v1") == expected(
        repo, "v1"
    )
    assert make_client(mirror).snapshot("org/data", repo_type="dataset", revision=old) == expected(repo, old)


def test_file__by_tag_sha_and_pull_request__right_bytes(hub, mirror, make_client):
    repo = hub.add_repo("models", "gpt2")
    first = repo.commit({"a.txt": b"first"})
    repo.tag("v1", first)
    second = repo.commit({"a.txt": b"second"}, branch="dev")
    repo.pull_request(1, second)
    client = make_client(mirror)

    found = client.run(
        f"""
        revisions = ["v1", {first!r}, "main", "dev", "refs/pr/1", {second!r}]
        print(json.dumps([open(hf_hub_download("gpt2", "a.txt", revision=r)).read() for r in revisions]))
        """
    )

    assert found == ["first", "first", "first", "second", "second", "second"]


def test_command_line__space__downloads_by_name(hub, mirror, make_client, tmp_path):
    repo = hub.add_repo("spaces", "org/space")
    repo.commit({"app.py": b"print('hello')", "weights.bin": Generated(size=700_000, seed=5)})
    client = make_client(mirror)
    target = tmp_path / "here"

    subprocess.run(
        [
            str(Path(sys.executable).with_name("hf")),
            "download",
            "--repo-type",
            "space",
            "org/space",
            "--local-dir",
            str(target),
        ],
        env=client.environ(),
        check=True,
        capture_output=True,
    )

    assert {path: hash for path, hash in hashes(target).items() if not path.startswith(".cache")} == expected(
        repo
    )


def test_repo__renamed__is_found_under_its_old_name(hub, model, mirror, make_client):
    hub.move("models", "old/name", "org/model")

    status, headers, _ = mirror.get("/old/name/resolve/main/config.json", method="HEAD")
    found = make_client(mirror).snapshot("old/name")

    assert (status, headers["Location"]) == (307, "/org/model/resolve/main/config.json")
    assert found == expected(model)


def test_sealed__after_download__plain_files_named_by_their_hash(model, mirror, make_client):
    make_client(mirror).snapshot("org/model")

    digest = hashlib.sha256(b"".join([model.content("model.safetensors")])).hexdigest()
    assert digest in mirror.sealed()
    assert sha256_file(mirror.repos / "blobs" / digest[:2] / digest) == digest
