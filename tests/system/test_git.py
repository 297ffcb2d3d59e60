"""The real git and the real git-lfs, through the mirror."""

import base64
import json
import os
import re
import subprocess
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from dingospeed.testing import Generated
from dingospeed.testing.git import lfs_attributes, lfs_pointer
from tests.harness import hashes, wait_until

pytestmark = pytest.mark.server

LET_IN, OTHER = "hf_letin000000", "hf_other000000"
BIG, OLD = Generated(3_000_000, seed=21), Generated(1_500_000, seed=22)
FILES = {
    ".gitattributes": lfs_attributes("*.bin"),
    "README.md": b"# A model\n",
    "data/big.bin": BIG,
}
_UPDATED = {"notes.txt": b"new\n" * 10}


class Git:
    """git with a home of its own, which nobody asks for a password."""

    def __init__(self, home):
        self.home = home
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("GIT_", "HF_"))}
        self.environ = {
            **kept,
            "HOME": str(home),
            "GIT_TERMINAL_PROMPT": "0",
            "GIT_CONFIG_NOSYSTEM": "1",
            # Whoever goes round the mirror runs into a closed door.
            "HTTPS_PROXY": "http://127.0.0.1:9",
            "NO_PROXY": "127.0.0.1,localhost",
            "LC_ALL": "C",
        }
        self("lfs", "install", "--skip-repo")
        self("config", "--global", "user.name", "Ann")
        self("config", "--global", "user.email", "ann@example.invalid")

    def try_to(self, *arguments, cwd=None, **environ):
        return subprocess.run(
            ["git", *arguments],
            cwd=cwd or self.home,
            env={**self.environ, **environ},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def __call__(self, *arguments, cwd=None, **environ):
        done = self.try_to(*arguments, cwd=cwd, **environ)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def clone(self, url, *options, **environ):
        """The folder of a new clone."""
        folder = self.home / f"clone{len(list(self.home.glob('clone*')))}"
        self("clone", *options, url, str(folder), **environ)
        return folder


@pytest.fixture
def make_git(tmp_path):
    made: list[Path] = []

    def make():
        home = tmp_path / f"home{len(made)}"
        home.mkdir()
        made.append(home)
        return Git(home)

    return make


@pytest.fixture
def git(make_git):
    return make_git()


@pytest.fixture
def hub(hub):
    hub.add_user("ann", token=LET_IN)
    hub.add_user("bob", token=OTHER)
    return hub


@pytest.fixture
def repo(hub):
    return make_repo(hub, "models", "org/model")


def make_repo(hub, type, id, **access):
    repo = hub.add_repo(type, id, **access)
    repo.commit({**FILES, "data/big.bin": OLD}, message="first")
    repo.commit({"data/big.bin": BIG}, message="second")
    repo.grant("ann")
    return repo


def with_credentials(url, token):
    return url.replace("://", f"://ann:{token}@")


def checked_out(folder):
    return {path: sha for path, sha in hashes(folder).items() if not path.startswith(".git/")}


def listed(repo, revision="main"):
    return {path: repo.sha256(path, revision) for path in repo.files(revision)}


def batch(mirror, repo, objects, *, token=None, **asked):
    """Status, headers and JSON of a batch answer."""
    body = json.dumps({"operation": "download", "transfers": ["basic"], "objects": objects, **asked})
    headers = {
        "Accept": "application/vnd.git-lfs+json",
        "Content-Type": "application/vnd.git-lfs+json",
        "Accept-Encoding": "gzip",
    }
    if token:
        headers["Authorization"] = "Basic " + base64.b64encode(f"ann:{token}".encode()).decode()
    path = f"{repo.address}.git/info/lfs/objects/batch"
    return mirror.json(path, method="POST", body=body, headers=headers)


def pointed_to(repo, path="data/big.bin", revision="main"):
    entry = repo.entry(path, revision)
    return {"oid": entry.sha256, "size": entry.size}


# --- clone -----------------------------------------------------------------------


@pytest.mark.parametrize("suffix", ["", ".git", "/"])
@pytest.mark.parametrize("type", ["models", "datasets"])
def test_clone__of_any_type__has_every_file_and_the_right_commit(hub, mirror, git, type, suffix):
    repo = make_repo(hub, type, "org/name")

    folder = git.clone(f"{mirror.url}{repo.address}{suffix}")

    assert checked_out(folder) == listed(repo)
    assert git("rev-parse", "HEAD", cwd=folder).strip() == repo.branches["main"]
    git("fsck", cwd=folder)
    assert hub.leaks == []


def test_clone__id_of_one_part__works(hub, mirror, git):
    repo = make_repo(hub, "models", "gpt2")

    assert checked_out(git.clone(f"{mirror.url}/gpt2")) == listed(repo)


def test_clone__second_one__takes_lfs_objects_from_the_cache(hub, mirror, make_git, repo):
    make_git().clone(f"{mirror.url}/org/model")
    once = hub.bytes_sent("cdn")
    hub.reset_counters()

    folder = make_git().clone(f"{mirror.url}/org/model")

    assert checked_out(folder) == listed(repo)
    # Of an object in no tree that is held, one byte is fetched to learn its size.
    assert BIG.size <= once <= BIG.size + 1
    assert hub.bytes_sent("cdn") == 0
    assert hub.count(route="info/lfs/objects/batch") == 0


def test_clone__after_a_snapshot__shares_its_blobs(hub, mirror, git, make_client, repo):
    make_client(mirror).snapshot("org/model")
    hub.reset_counters()

    assert checked_out(git.clone(f"{mirror.url}/org/model")) == listed(repo)
    assert hub.bytes_sent("cdn") == 0
    assert hub.count(route="info/lfs/objects/batch") == 0


def test_clone__shallow_and_single_branch__has_one_commit(mirror, git, repo):
    folder = git.clone(f"{mirror.url}/org/model", "--depth", "1")

    assert git("rev-list", "--count", "HEAD", cwd=folder).strip() == "1"
    assert checked_out(folder) == listed(repo)


def test_clone__without_blobs__fetches_them_when_needed(mirror, git, repo):
    folder = git.clone(f"{mirror.url}/org/model", "--filter=blob:none")

    assert checked_out(folder) == listed(repo)


@pytest.mark.parametrize("version", ["0", "1", "2"])
def test_clone__any_protocol_version__works(mirror, git, repo, version):
    folder = git.clone(f"{mirror.url}/org/model", "-c", f"protocol.version={version}")

    assert checked_out(folder) == listed(repo)


def test_fetch__new_commit__brings_it_and_its_objects(mirror, git, repo):
    folder = git.clone(f"{mirror.url}/org/model")
    repo.commit({"more.bin": Generated(1_200_000, seed=23), **_UPDATED})

    git("pull", cwd=folder)

    assert checked_out(folder) == listed(repo)


def test_fetch__a_thousand_commits_to_tell_of__body_is_packed_and_understood(hub, mirror, git):
    repo = hub.add_repo("models", "org/long")
    repo.commit({"a.txt": b"0"})
    for number in range(300):
        repo.commit({"a.txt": b"%d" % number})
    folder = git.clone(f"{mirror.url}/org/long")
    # Commits of our own: the more there are, the longer the list of what is there already.
    for number in range(40):
        git("commit", "--allow-empty", "-m", str(number), cwd=folder)
    repo.commit({"a.txt": b"new"})

    git("fetch", cwd=folder)

    assert git("rev-parse", "origin/main", cwd=folder).strip() == repo.branches["main"]


def test_checkout__commit_of_which_no_tree_is_held__its_object_is_found_by_the_hub(hub, mirror, git, repo):
    folder = git.clone(f"{mirror.url}/org/model")
    first = repo.at("main").parent.sha

    git("checkout", first, cwd=folder)

    assert checked_out(folder) == listed(repo, first)


def test_clone__renamed_repo__is_followed(hub, mirror, git, repo):
    hub.move("models", "org/old", "org/model")

    assert checked_out(git.clone(f"{mirror.url}/org/old")) == listed(repo)


# --- permission ------------------------------------------------------------------


@pytest.mark.parametrize("access", [{"private": True}, {"gated": "manual"}])
def test_clone__closed_repo__only_for_those_let_in_cold_and_cached(hub, mirror, git, access):
    repo = make_repo(hub, "models", "org/closed", **access)
    url = f"{mirror.url}/org/closed"

    for _ in range(2):
        for refused in (url, with_credentials(url, OTHER), with_credentials(url, "hf_nobody")):
            done = git.try_to("clone", refused, "refused")
            assert done.returncode != 0
            assert not (git.home / "refused").exists()
        assert checked_out(git.clone(with_credentials(url, LET_IN))) == listed(repo)

    assert hub.leaks == []
    assert hub.bytes_sent("cdn") <= BIG.size + 1


def test_private__asked_anonymously__git_is_told_to_ask_for_credentials(hub, mirror, git):
    make_repo(hub, "models", "org/closed", private=True)
    helper = f"!f() {{ echo username=ann; echo password={LET_IN}; }}; f"

    status, headers, body = mirror.get("/org/closed/info/refs?service=git-upload-pack")
    folder = git.clone(f"{mirror.url}/org/closed", "-c", f"credential.helper={helper}")

    assert (status, headers["WWW-Authenticate"].partition(" ")[0]) == (401, "Basic")
    assert body == b"Invalid username or password."
    assert (folder / "data/big.bin").stat().st_size == BIG.size


def test_private__lfs_object_held__is_given_only_to_those_let_in(hub, mirror, git):
    repo = make_repo(hub, "models", "org/closed", private=True)
    public = make_repo(hub, "models", "org/public")
    public.commit({"data/big.bin": Generated(1_100_000, seed=9)})
    git.clone(with_credentials(f"{mirror.url}/org/closed", LET_IN))
    wanted = pointed_to(repo)
    path = f"{repo.address}.git/info/lfs/objects/{wanted['oid']}?size={wanted['size']}"

    assert mirror.get(path)[0] == 401
    assert mirror.get(path, token=OTHER)[0] == 404
    assert mirror.get(path, token=LET_IN)[0] == 200
    assert batch(mirror, repo, [wanted])[0] == 401
    assert batch(mirror, repo, [wanted], token=OTHER)[0] == 404
    # Not by the name of another repo either, though its history has an object of that name no more.
    other = hub.add_repo("models", "org/other")
    other.commit({"a.txt": b"a"})
    assert mirror.get(f"{other.address}.git/info/lfs/objects/{wanted['oid']}?size={wanted['size']}")[0] == 404


def test_token__anywhere__is_told_to_the_hub_only_and_logged_by_nobody(
    hub, second_hub, make_mirror, make_git
):
    make_repo(hub, "models", "org/closed", private=True)
    make_repo(hub, "models", "org/public")
    mirror = make_mirror(hub, second_hub)
    for name in ("closed", "public"):
        make_git().clone(with_credentials(f"{mirror.url}/org/{name}", LET_IN))
    hub.fault("hub", "status", code=503)
    make_git().try_to("clone", with_credentials(f"{mirror.url}/org/public", LET_IN), "x")
    mirror.stop()

    told = base64.b64encode(f"user:{LET_IN}".encode()).decode()
    assert second_hub.calls
    assert not any(call.authorization for call in second_hub.calls)
    assert hub.leaks == second_hub.leaks == []
    for secret in (LET_IN, told, base64.b64encode(f"ann:{LET_IN}".encode()).decode()):
        assert secret not in mirror.log()
        for path in mirror.repos.rglob("*"):
            assert secret not in path.name
            assert path.is_dir() or secret.encode() not in path.read_bytes()


# --- the batch answer ------------------------------------------------------------


def test_batch__of_an_xet_repo__basic_on_the_mirror_and_nothing_of_upstream(hub, mirror, repo):
    wanted = pointed_to(repo)

    status, headers, answer = batch(
        mirror, repo, [wanted, {"oid": "0" * 64, "size": 5}], transfers=["xet", "basic"]
    )

    assert status == 200
    assert headers["Content-Type"] == "application/vnd.git-lfs+json"
    assert (answer["transfer"], answer["hash_algo"]) == ("basic", "sha256")
    found, missing = answer["objects"]
    assert {name: found[name] for name in ("oid", "size")} == wanted
    assert found["actions"]["download"].keys() == {"href"}
    assert found["actions"]["download"]["href"].startswith(f"{mirror.url}/org/model.git/info/lfs/objects/")
    assert missing["error"]["code"] == 404
    text = json.dumps(answer) + str(headers)
    for address in (hub.url, hub.cdn_url, "only-for-this-href", "huggingface.co", "xet"):
        assert urlsplit(address).netloc or address
        assert (urlsplit(address).netloc or address) not in text


def test_object__ranges_and_conditions__as_on_resolve(mirror, repo):
    wanted = pointed_to(repo)
    _, _, answer = batch(mirror, repo, [wanted])
    path = answer["objects"][0]["actions"]["download"]["href"].removeprefix(mirror.url)
    content = repo.content("data/big.bin")

    status, headers, body = mirror.get(path)
    assert (status, body, headers["X-Cache"]) == (200, content, "MISS")
    assert headers["ETag"] == f'"{wanted["oid"]}"'
    assert "X-Repo-Commit" not in headers
    status, headers, body = mirror.get(path, headers={"Range": "bytes=2000000-"})
    assert (status, body, headers["X-Cache"]) == (206, content[2_000_000:], "HIT")
    assert headers["Content-Range"] == f"bytes 2000000-{len(content) - 1}/{len(content)}"
    assert mirror.get(path, headers={"If-None-Match": f'"{wanted["oid"]}"'})[0] == 304
    assert mirror.get(path, headers={"Range": f"bytes={len(content)}-"})[0] == 416
    assert mirror.get(path, method="HEAD")[1]["Content-Length"] == str(len(content))


def test_object__asked_with_a_wrong_size__is_refused_and_does_no_harm(hub, mirror, repo):
    wanted = pointed_to(repo)
    wrong = {**wanted, "size": 77}
    path = f"/org/model.git/info/lfs/objects/{wanted['oid']}"

    # The Hub does not look at the size.
    assert "actions" in batch(mirror, repo, [wrong])[2]["objects"][0]
    assert mirror.get(f"{path}?size=77")[0] == 404
    assert mirror.get(path)[0] == 404
    assert mirror.get(f"{path}?size={wanted['size']}")[2] == repo.content("data/big.bin")
    assert batch(mirror, repo, [wrong])[2]["objects"][0]["error"]["code"] == 422
    assert mirror.get(f"{path}?size=77")[2] == repo.content("data/big.bin")
    assert not list(mirror.repos.rglob("*damaged*"))


@pytest.mark.parametrize("size", ["x", "-1", "0" * 5000, "99999999999999999999", ""])
def test_object__senseless_size__is_not_found(mirror, repo, size):
    assert mirror.get(f"/org/model.git/info/lfs/objects/{'1' * 64}?size={size}")[0] == 404


@pytest.mark.parametrize(
    "body",
    [
        "",
        "[]",
        "{}",
        '{"operation":"download"}',
        '{"operation":"download","objects":[1]}',
        '{"operation":"download","objects":[{"oid":"../x","size":1}]}',
        '{"operation":"download","objects":[{"oid":"%s","size":true}]}' % ("1" * 64),
        '{"operation":"download","objects":[{"oid":"%s","size":-1}]}' % ("1" * 64),
        '{"operation":"download","hash_algo":"sha512","objects":[]}',
    ],
)
def test_batch__senseless__is_refused_in_the_shape_of_git_lfs(mirror, repo, body):
    status, headers, answer = mirror.json("/org/model.git/info/lfs/objects/batch", method="POST", body=body)

    assert status in (400, 403)
    assert headers["Content-Type"] == "application/vnd.git-lfs+json"
    assert answer["message"]


def test_locks_and_uploads__are_refused_in_the_shape_of_git_lfs(mirror, repo):
    for method, path, expected in (
        ("GET", "locks", 404),
        ("POST", "locks/verify", 404),
        ("POST", "locks", 403),
        ("POST", "locks/1/unlock", 403),
        ("PUT", f"objects/{'1' * 64}", 403),
    ):
        status, headers, answer = mirror.json(f"/org/model.git/info/lfs/{path}", method=method, body="{}")
        assert (status, headers["Content-Type"]) == (expected, "application/vnd.git-lfs+json"), path
        assert answer["message"]
    status, _, answer = batch(mirror, repo, [pointed_to(repo)], operation="upload")
    assert status == 403
    assert "read-only" in answer["message"]


# --- pushing ---------------------------------------------------------------------


def test_push__is_refused_with_a_reason(hub, mirror, git, repo):
    folder = git.clone(f"{mirror.url}/org/model")
    (folder / "new.txt").write_text("new")
    git("add", "new.txt", cwd=folder)
    git("commit", "-m", "new", cwd=folder)

    done = git.try_to("push", with_credentials(f"{mirror.url}/org/model", LET_IN), "main", cwd=folder)

    assert done.returncode != 0
    assert "read-only" in done.stderr
    assert mirror.get("/org/model/git-receive-pack", method="POST", body=b"0000")[0] == 403
    assert mirror.get("/org/model/info/refs")[0] == 403
    assert hub.count(path_contains="receive-pack") == 0


# --- upstream away, broken, or slow ----------------------------------------------


def test_upstream_gone__git_is_told_so_and_held_objects_are_still_served(hub, mirror, git, repo):
    folder = git.clone(f"{mirror.url}/org/model")
    git("config", "lfs.transfer.maxretries", "1", cwd=folder)
    hub.stop()

    done = git.try_to("clone", f"{mirror.url}/org/model", "again")
    (folder / "data/big.bin").unlink()
    for path in (folder / ".git/lfs/objects").rglob("*"):
        if path.is_file():
            path.unlink()
    git("lfs", "pull", cwd=folder)

    assert done.returncode != 0
    assert "503" in done.stderr
    assert "can not reach" in done.stderr
    assert hub.url not in done.stderr
    assert checked_out(folder) == listed(repo)


def test_offline__held_objects_are_served_and_others_are_not(hub, mirror, repo):
    old, new = pointed_to(repo, revision=repo.at("main").parent.sha), pointed_to(repo)
    href = batch(mirror, repo, [new])[2]["objects"][0]["actions"]["download"]["href"]
    path = href.removeprefix(mirror.url)
    assert mirror.get(path)[0] == 200
    # Known to be there, and not held.
    mirror.json("/api/models/org/model/tree/main?recursive=true")
    mirror.json(f"/api/models/org/model/tree/{repo.at('main').parent.sha}?recursive=true")
    mirror.restart("--offline")

    _, _, answer = batch(mirror, repo, [new, old, {"oid": "0" * 64, "size": 5}])

    assert [one.get("error", {}).get("code") for one in answer["objects"]] == [None, 503, 503]
    assert mirror.get(path)[2] == repo.content("data/big.bin")
    status, headers, body = mirror.get("/org/model/info/refs?service=git-upload-pack")
    assert (status, headers["Content-Type"].partition(";")[0]) == (503, "text/plain")
    assert b"offline" in body


def test_first_line_fails_before_the_first_byte__the_second_answers(hub, second_hub, make_mirror, git, repo):
    mirror = make_mirror(hub, second_hub)
    hub.fault("git", "status", code=503)

    assert checked_out(git.clone(f"{mirror.url}/org/model")) == listed(repo)
    assert second_hub.count(route="git-upload-pack")


def test_pack__cut_by_upstream__git_notices(hub, mirror, git):
    repo = hub.add_repo("models", "org/cut")
    repo.commit({"a.txt": os.urandom(400_000)})
    hub.fault("git", "cut", after=200_000, path="git-upload-pack$")

    done = git.try_to("clone", f"{mirror.url}/org/cut", "cut")

    assert done.returncode != 0
    hub.clear_faults()
    assert checked_out(git.clone(f"{mirror.url}/org/cut")) == listed(repo)


def test_pack__large_and_long_in_the_making__passes_through_in_little_memory(hub, mirror, git):
    hub.fault("git", "latency", seconds=4, path="git-upload-pack$", skip=1, times=1)
    repo = hub.add_repo("models", "org/large")
    repo.lfs_threshold_bytes = 1 << 30
    repo.commit({f"{number}.dat": os.urandom(5_000_000) for number in range(6)})
    before = max(worker.memory_info().rss for worker in mirror.workers())

    folder = git.clone(f"{mirror.url}/org/large")

    assert checked_out(folder) == listed(repo)
    assert max(worker.memory_info().rss for worker in mirror.workers()) < before + 15_000_000


def test_lfs_pull__workers_killed_midway__resumes_where_it_stopped(hub, mirror, git):
    size = 30_000_000
    repo = hub.add_repo("models", "org/resumed")
    repo.commit({**FILES, "data/big.bin": Generated(size, seed=24)})
    folder = git.clone(f"{mirror.url}/org/resumed", GIT_LFS_SKIP_SMUDGE="1")
    assert (folder / "data/big.bin").read_bytes() == lfs_pointer(repo.sha256("data/big.bin"), size)
    hub.fault("cdn", "rate", bytes_per_s=2_000_000)
    pulling = subprocess.Popen(
        ["git", "lfs", "pull"], cwd=folder, env=git.environ, stderr=subprocess.PIPE, text=True
    )
    incomplete = folder / ".git/lfs/incomplete"
    wait_until(lambda: any(path.stat().st_size > 4_000_000 for path in incomplete.glob("*")), "the begin")

    for worker in mirror.workers():
        worker.kill()

    _, said = pulling.communicate(timeout=60)
    assert pulling.returncode == 0, said
    assert checked_out(folder) == listed(repo)
    resumed = [int(count) for count in re.findall(r" 206 \w+ (\d+) bytes in .* complete", mirror.log())]
    assert len(resumed) == 1
    assert resumed[0] < size - 3_000_000
    # What was on its way when the workers died comes again.
    assert hub.bytes_sent("cdn") < size * 1.3
