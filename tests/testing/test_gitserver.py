import base64
import gzip
import json
import os
import subprocess

import pytest

from dingospeed.testing import Generated
from dingospeed.testing.git import lfs_attributes
from tests.testing.conftest import BIG

UNKNOWN = "0" * 64


@pytest.fixture
def git(tmp_path):
    """git and git-lfs as they come, with a home of their own."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    environ = {**kept, "HOME": str(tmp_path), "GIT_TERMINAL_PROMPT": "0", "GIT_CONFIG_NOSYSTEM": "1"}

    def git(*arguments, cwd=tmp_path):
        done = subprocess.run(
            ["git", *arguments], cwd=cwd, env=environ, capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    git("lfs", "install", "--skip-repo")
    return git


def basic(token):
    return {"Authorization": "Basic " + base64.b64encode(f"anybody:{token}".encode()).decode()}


def batch(ask, objects, *, id="org/name", operation="download", transfers=("basic",), **options):
    asked = {"operation": operation, "transfers": list(transfers), "objects": objects}
    return ask(f"/{id}.git/info/lfs/objects/batch", method="POST", data=json.dumps(asked), **options)


def wanted(repo, path="nested/big.bin"):
    entry = repo.entry(path)
    return {"oid": entry.sha256, "size": entry.size}


@pytest.mark.parametrize("suffix", ["", ".git"])
@pytest.mark.parametrize(("type", "id"), [("models", "org/m"), ("models", "gpt2"), ("datasets", "org/d")])
def test_clone__real_git_and_lfs__has_the_ids_and_files_that_are_listed(hub, git, tmp_path, type, id, suffix):
    repo = hub.add_repo(type, id)
    repo.commit({".gitattributes": lfs_attributes("*.bin"), "a/b/c.txt": b"c", "a-b": b"x", "a.txt": b"y"})
    repo.commit({"a/big.bin": BIG, "empty": b""})
    repo.tag("v1", repo.at("main").parent.sha)

    git("clone", f"{hub.url}{repo.address}{suffix}", "clone")

    clone = tmp_path / "clone"
    git("fsck", "--full", cwd=clone)
    assert git("rev-parse", "HEAD", "v1", cwd=clone).split() == [repo.branches["main"], repo.tags["v1"]]
    for path in repo.files():
        assert (clone / path).read_bytes() == repo.content(path)


def test_fetch__after_another_commit__brings_it(hub, git, tmp_path, repo):
    git("clone", f"{hub.url}/org/name", "clone")
    repo.commit({"config.json": b"{}"})

    git("pull", cwd=tmp_path / "clone")

    assert (tmp_path / "clone/config.json").read_bytes() == b"{}"
    assert {call.route for call in hub.select(kind="git")} >= {"info/refs", "git-upload-pack"}


def test_upload_pack__packed_body__is_unpacked(hub, ask, repo):
    asked = b"0014command=ls-refs\n00010000"
    headers = {"Git-Protocol": "version=2"}

    plain = ask("/org/name/git-upload-pack", method="POST", data=asked, headers=headers)
    packed = ask(
        "/org/name/git-upload-pack",
        method="POST",
        data=gzip.compress(asked),
        headers={**headers, "Content-Encoding": "gzip"},
    )

    assert plain.content == packed.content
    assert repo.branches["main"].encode() in plain.content
    assert plain.headers["Content-Type"] == "application/x-git-upload-pack-result"


def test_info_refs__private__asks_for_a_password_and_takes_the_token(hub, ask):
    repo = hub.add_repo("models", "org/private", private=True)
    repo.commit({"a": b"a"})
    repo.grant("alice")
    path = "/org/private/info/refs?service=git-upload-pack"

    anonymous = ask(path)

    assert anonymous.status_code == 401
    assert anonymous.headers["WWW-Authenticate"].startswith("Basic ")
    assert ask(path, headers=basic("hf_alice")).status_code == 200
    assert ask(path, token="hf_alice").status_code == 401
    assert ask(path, headers=basic("hf_bob")).status_code == 404
    assert ask(path, headers=basic("hf_nobody")).status_code == 401
    assert [call.authorization for call in hub.select(kind="git")] == [None, "alice", "alice", "bob", "?"]


def test_gated__caller_not_let_in__is_refused(hub, ask):
    repo = hub.add_repo("models", "org/gated", gated="manual")
    repo.commit({"big.bin": BIG})
    path = "/org/gated/info/refs?service=git-upload-pack"

    assert ask(path).status_code == 401
    assert ask(path, headers=basic("hf_bob")).status_code == 403
    assert batch(ask, [wanted(repo, "big.bin")], id="org/gated").status_code == 401


def test_info_refs__renamed__is_a_redirect_with_the_query(hub, ask, repo):
    hub.move("models", "org/old", "org/name")

    answer = ask("/org/old.git/info/refs?service=git-upload-pack")

    assert answer.status_code == 307
    assert answer.headers["Location"] == "/org/name/info/refs?service=git-upload-pack"


def test_push__is_refused(ask, repo):
    assert ask("/org/name/info/refs?service=git-receive-pack").status_code == 403
    assert ask("/org/name/git-receive-pack", method="POST", data=b"0000").status_code == 403


def test_batch__basic__gives_a_signed_address_of_the_content(hub, ask, repo, content):
    answer = batch(ask, [wanted(repo), {"oid": UNKNOWN, "size": 1}])

    found, missing = answer.json()["objects"]
    href = found["actions"]["download"]["href"]
    assert answer.headers["Content-Type"].startswith("application/vnd.git-lfs+json")
    assert answer.json()["transfer"] == "basic"
    assert href.startswith(hub.cdn_url)
    assert ask(href).content == content
    assert missing["error"]["code"] == 404


def test_batch__of_an_older_commit__is_still_known(ask, repo):
    old = wanted(repo)
    repo.commit({"nested/big.bin": Generated(2_000_000, seed=77)})

    assert "actions" in batch(ask, [old]).json()["objects"][0]


def test_batch__client_that_knows_xet__is_sent_there(hub, ask, repo):
    answer = batch(ask, [wanted(repo)], transfers=["xet", "basic"]).json()

    assert answer["transfer"] == "xet"
    assert answer["objects"][0]["actions"]["download"]["href"].startswith(hub.content.cas_url)


def test_batch__upload_or_nonsense__is_refused(ask, repo):
    assert batch(ask, [wanted(repo)], operation="upload").status_code == 403
    assert ask("/org/name.git/info/lfs/objects/batch", method="POST", data="x").status_code == 422


def test_fault__at_git__meets_git_only(hub, ask, repo):
    hub.fault("git", "status", code=503)

    assert ask("/org/name/info/refs?service=git-upload-pack").status_code == 503
    assert ask("/api/models/org/name").status_code == 200
