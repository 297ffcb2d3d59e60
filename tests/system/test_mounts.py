"""Mounts through real workers: what clients find there without a mirror, and what never lies there."""

import subprocess

import pytest

from dingospeed.testing import FakeHub, Generated
from tests.harness import Client, expected, mirrors_in, wait_until
from tests.system.jobs import Admin

pytestmark = pytest.mark.server

FILES = {
    "config.json": b'{"model_type": "tiny"}',
    "empty.txt": b"",
    "nested/deeper/notes.md": b"# notes\n",
    "nested/données ünï +%#&.txt": "größer als ASCII".encode(),
    "model.safetensors": Generated(size=3_000_000, seed=71),
}
QUICK = {"metadata": {"ttl_s": 0.5}, "mounts": {"check_s": 1}}


@pytest.fixture(scope="module")
def hub():
    with FakeHub() as hub:
        for bucket in ("api", "resolvers"):
            hub.rate_limits.set(bucket, 1_000_000)
        yield hub


@pytest.fixture(scope="module")
def mirror(hub, tmp_path_factory):
    with mirrors_in(tmp_path_factory.mktemp("mounting")) as make:
        yield make(hub, **QUICK)


@pytest.fixture(scope="module")
def admin(mirror):
    return Admin(mirror)


@pytest.fixture
def offline(mirror, tmp_path):
    """The real client in a clean process, with the public directory for its cache and no way out."""
    return Client(
        tmp_path,
        "http://127.0.0.1:9",
        HF_HUB_CACHE=str(mirror.folder / "public"),
        HF_HUB_OFFLINE="1",
    )


def public(mirror, *names):
    return mirror.folder.joinpath("public", *names)


def mount(admin, repo, **wanted):
    status, told = admin.ask("POST", "/-/mounts", repo=repo, **wanted)
    assert status == 200, told
    return told


def the_mount(admin, repo, revision="main"):
    (found,) = [
        each
        for each in admin.ask("GET", "/-/mounts")[1]["mounts"]
        if (each["repo"], each["revision"]) == (repo, revision)
    ]
    return found


def wait_mounted(admin, repo, commit, revision="main"):
    wait_until(lambda: the_mount(admin, repo, revision)["commit"] == commit, f"{repo} is mounted")
    return the_mount(admin, repo, revision)


def test_mount__not_held_yet__is_fetched_and_appears_whole(hub, mirror, admin, offline):
    repo = hub.add_repo("models", "org/fetched")
    repo.commit(FILES)
    fault = hub.fault(where="cdn", kind="rate", bytes_per_s=1_000_000)

    mount(admin, "org/fetched")
    wait_until(lambda: list((mirror.repos / "blobs").glob("*/*.partial")), "it is being fetched")
    assert "fetches it" in the_mount(admin, "org/fetched")["note"]
    assert not public(mirror, "models--org--fetched").exists()
    fault.remove()
    found = wait_mounted(admin, "org/fetched", repo.branches["main"])

    assert found["copied_bytes"] == 0
    assert offline.snapshot("org/fetched") == expected(repo)
    config = offline.run('print(json.dumps(try_to_load_from_cache("org/fetched", "config.json")))')
    assert config == str(
        public(mirror, "models--org--fetched", "snapshots", repo.branches["main"], "config.json")
    )


def test_mount__held__costs_no_bytes_and_is_for_reading_only(hub, mirror, admin):
    repo = hub.add_repo("datasets", "org/cheap")
    repo.commit(FILES)
    admin.wait(admin.begin("org/cheap", type="datasets"), "done")

    mount(admin, "org/cheap", type="datasets")

    folder = public(mirror, "datasets--org--cheap")
    for blob in (folder / "blobs").iterdir():
        sealed = mirror.repos / "blobs" / blob.name[:2] / blob.name
        assert blob.samefile(sealed)
        assert blob.stat().st_mode & 0o777 == 0o444
    both = du(mirror.repos, folder)
    # Folders and one ref; the weights alone are three megabytes.
    assert both[str(folder)] < 100_000
    assert both[str(mirror.repos)] > 3_000_000
    for path in folder.rglob("*"):
        if path.is_dir():
            assert path.stat().st_mode & 0o777 == 0o755, path
        if path.is_symlink():
            assert not path.readlink().is_absolute()
    assert (folder / "refs" / "main").read_text() == repo.branches["main"]


def du(*folders):
    """What each takes on the disk; what was counted before, by its inode, is not counted again."""
    lines = subprocess.run(
        ["du", "--block-size=1", "--summarize", *map(str, folders)],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()
    return {line.split("\t")[1]: int(line.split("\t")[0]) for line in lines}


def test_mount__branch_moves__the_new_snapshot_too_and_the_old_one_stays(hub, mirror, admin, offline):
    repo = hub.add_repo("models", "org/moving")
    old = repo.commit({"a.txt": b"old", "same.bin": Generated(size=200_000, seed=72)})
    mount(admin, "org/moving")
    wait_mounted(admin, "org/moving", old)

    new = repo.commit({"a.txt": b"new"})

    assert wait_mounted(admin, "org/moving", new)["snapshots"] == 2
    assert offline.snapshot("org/moving") == expected(repo)
    assert offline.snapshot("org/moving", revision=old) == expected(repo, old)


def test_mount__by_tag_and_by_commit__both_are_found(hub, mirror, admin, offline):
    repo = hub.add_repo("models", "org/tagged")
    old = repo.commit({"a.txt": b"old"})
    repo.tag("v1", old)
    new = repo.commit({"a.txt": b"new"})

    mount(admin, "org/tagged", revision="v1")
    mount(admin, "org/tagged", revision=new)
    wait_mounted(admin, "org/tagged", old, "v1")
    wait_mounted(admin, "org/tagged", new, new)

    assert offline.snapshot("org/tagged", revision="v1") == expected(repo, "v1")
    assert offline.snapshot("org/tagged", revision=new) == expected(repo, new)


def test_mount__private__only_where_somebody_says_so(hub, mirror, admin, offline):
    hub.add_user("mounter", token="hf_mounter")
    repo = hub.add_repo("models", "org/secret", private=True)
    repo.commit({"a.txt": b"secret"})
    repo.grant("mounter")
    admin.wait(admin.begin("org/secret", token="hf_mounter"), "done")

    status, refused = admin.ask("POST", "/-/mounts", repo="org/secret")
    assert status == 403
    assert "private or gated" in refused["error"]
    assert not public(mirror, "models--org--secret").exists()

    mount(admin, "org/secret", restricted=True)
    wait_mounted(admin, "org/secret", repo.branches["main"])
    assert offline.snapshot("org/secret") == expected(repo)


def test_mount__repo_becomes_private__is_taken_away(hub, mirror, admin):
    repo = hub.add_repo("models", "org/closing")
    repo.commit({"a.txt": b"open for now"})
    mount(admin, "org/closing")
    wait_mounted(admin, "org/closing", repo.branches["main"])

    repo.private = True

    wait_until(lambda: not public(mirror, "models--org--closing").exists(), "it is taken away")
    wait_until(lambda: "private or gated" in the_mount(admin, "org/closing")["note"], "it is told why")


def test_unmount__exactly_what_was_made_goes_and_the_cache_keeps_it(hub, mirror, admin):
    repo = hub.add_repo("models", "org/leaving")
    repo.commit({"dir/a.txt": b"a", "b.txt": b"b"})
    mount(admin, "org/leaving")
    wait_mounted(admin, "org/leaving", repo.branches["main"])
    folder = public(mirror, "models--org--leaving")
    strange = folder / "snapshots" / repo.branches["main"] / "dir" / "notes of somebody.txt"
    strange.write_text("mine")

    assert admin.ask("DELETE", "/-/mounts/models/org/leaving")[0] == 200

    assert [path for path in folder.rglob("*") if not path.is_dir()] == [strange]
    etag = repo.etag("b.txt")
    sealed = mirror.repos / "blobs" / etag[:2] / etag
    assert (sealed.read_bytes(), sealed.stat().st_mode & 0o777) == (b"b", 0o640)
    assert admin.ask("DELETE", "/-/mounts/models/org/leaving")[0] == 404


def test_mount__something_of_others_lies_there__is_left_alone(hub, mirror, admin):
    hub.add_repo("models", "org/foreign").commit({"a.txt": b"a"})
    theirs = public(mirror, "models--org--foreign", "snapshots", "x", "weights.bin")
    theirs.parent.mkdir(parents=True)
    theirs.write_bytes(b"theirs")

    mount(admin, "org/foreign")

    wait_until(lambda: "not ours" in the_mount(admin, "org/foreign")["note"], "it says why not")
    admin.ask("DELETE", "/-/mounts/models/org/foreign")
    assert theirs.read_bytes() == b"theirs"


@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/-/mounts"), ("POST", "/-/mounts"), ("DELETE", "/-/mounts/models/a/b")]
)
def test_mounts__without_the_admin_token__are_closed(mirror, method, path):
    assert mirror.get(path, method=method)[0] == 401


def test_mounts__of_the_settings_and_the_most_used__are_there_by_themselves(hub, tmp_path, make_client):
    named = hub.add_repo("models", "org/named")
    named.commit({"a.txt": b"named"})
    hot = hub.add_repo("models", "org/hot")
    hot.commit({"a.txt": b"hot"})
    gated = hub.add_repo("models", "org/hot-but-gated", gated="auto")
    gated.commit({"a.txt": b"gated"})
    hub.add_user("let-in", token="hf_let_in")
    gated.grant("let-in")
    hub.add_repo("models", "org/cold").commit({"a.txt": b"cold"})
    settings = {**QUICK, "mounts": {"check_s": 1, "hot": 1, "repos": ["org/named"]}}
    with mirrors_in(tmp_path) as make:
        mirror = make(hub, **settings, server={"trusted_proxies": ["127.0.0.1"]})
        admin = Admin(mirror)

        for user, repo in enumerate(["hot-but-gated"] * 5 + ["hot"] * 3 + ["cold"]):
            headers = {"X-Forwarded-For": f"10.0.0.{user}"}
            token = "hf_let_in" if "gated" in repo else None
            assert mirror.get(f"/org/{repo}/resolve/main/a.txt", headers=headers, token=token)[0] == 200

        wait_mounted(admin, "org/named", named.branches["main"])
        wait_until(
            lambda: public(mirror, "models--org--hot", "refs", "main").exists(), "the most used one is there"
        )
        assert sorted(path.name for path in public(mirror).iterdir()) == [
            "models--org--hot",
            "models--org--named",
        ]
        status, refused = admin.ask("DELETE", "/-/mounts/models/org/named")
        assert (status, "mounts.repos" in refused["error"]) == (409, True)
        assert admin.ask("DELETE", "/-/mounts/models/org/hot")[0] == 409

        # Somebody else's turn, after a restart: what was counted is not forgotten.
        mirror.restart()
        for user in range(10, 15):
            mirror.get("/org/cold/resolve/main/a.txt", headers={"X-Forwarded-For": f"10.0.0.{user}"})
        wait_until(lambda: not public(mirror, "models--org--hot").exists(), "it makes room")
        wait_until(lambda: public(mirror, "models--org--cold", "refs", "main").exists(), "for another")
