"""`dingospeed mount`, `unmount` and `mounts`."""

import pytest

from tests.harness import wait_until

pytestmark = pytest.mark.server


def test_mount__by_command__is_listed_and_goes_again(hub, mirror, run_command):
    at = ("--server", mirror.url, "--repos", str(mirror.repos))
    repo = hub.add_repo("datasets", "org/mounted")
    repo.commit({"a.txt": b"mounted"})
    folder = mirror.folder / "public" / "datasets--org--mounted"
    assert run_command("warmup", "datasets/org/mounted", *at).code == 0

    ran = run_command("mount", "datasets/org/mounted", *at)

    assert ran.code == 0, ran
    snapshot = folder / "snapshots" / repo.branches["main"]
    assert ran.out.splitlines() == [
        str(snapshot),
        f"export HF_HUB_CACHE={mirror.folder / 'public'} HF_HUB_OFFLINE=1",
    ]
    assert (snapshot / "a.txt").read_bytes() == b"mounted"
    assert "datasets/org/mounted" in run_command("mounts", *at).out
    assert run_command("mounts", "--json", *at).json["mounts"][0]["why"] == "command"
    assert run_command("unmount", "datasets/org/mounted", *at).code == 0
    wait_until(lambda: not folder.exists(), "it is gone")
    assert run_command("unmount", "datasets/org/mounted", *at).code == 5
