"""The fake is a believable Hub: the real client is content with it."""

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from dingospeed.testing import Generated

FILES: dict[str, bytes | Generated] = {
    "config.json": b"{}",
    "empty.txt": b"",
    "nested/a/deep.txt": b"deep",
    "grüße/with space + #1.txt": b"odd",
    "model.bin": Generated(5_000_000, seed=1),
    "nested/more.bin": Generated(1_500_000, seed=2),
}


@pytest.fixture
def client(hub, tmp_path):
    """Runs code with huggingface_hub in a process of its own; gives what it leaves in *result*."""

    def run(code, **environ):
        program = f"import json, huggingface_hub\nfrom huggingface_hub import *\n{textwrap.dedent(code)}\n"
        ours = {"HF_ENDPOINT": hub.url, "HF_HUB_DISABLE_XET": "1", "HF_HOME": str(tmp_path / "home")}
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
        done = subprocess.run(
            [sys.executable, "-c", program + "print(json.dumps(result))"],
            env={**inherited, **ours, "HF_HUB_DISABLE_TELEMETRY": "1", "NO_PROXY": "127.0.0.1", **environ},
            capture_output=True,
            text=True,
            check=False,
            timeout=100,
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout.splitlines()[-1])

    return run


def files_below(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("type", ["model", "dataset", "space"])
def test_snapshot_download__of_a_repo__brings_every_file(hub, client, tmp_path, type):
    repo = hub.add_repo(f"{type}s", "org/name")
    sha = repo.commit(FILES)

    result = client(f"result = snapshot_download('org/name', repo_type='{type}')")

    assert result.endswith(f"/snapshots/{sha}")
    assert files_below(Path(result)) == {path: bytes(content) for path, content in FILES.items()}
    assert hub.bytes_sent("cdn") == 6_500_000
    assert hub.leaks == []


def test_snapshot_download__many_pages_and_a_former_name__brings_every_file(hub, client, tmp_path):
    hub.add_repo("models", "org/name").commit({f"{number:02}.txt": b"%d" % number for number in range(30)})
    hub.move("models", "gpt2", "org/name")
    hub.content.page_size = 7

    client(f"result = snapshot_download('gpt2', local_dir={str(tmp_path / 'copy')!r})")

    assert len([path for path in files_below(tmp_path / "copy") if path.endswith(".txt")]) == 30


def test_snapshot_download__private_and_gated__brings_files_to_those_let_in(hub, client):
    for id, private, gated in (("org/private", True, False), ("org/gated", False, "manual")):
        repo = hub.add_repo("models", id, private=private, gated=gated)
        repo.commit(FILES)
        repo.grant("alice")

    code = """
        result = {}
        for id in ('org/private', 'org/gated'):
            try:
                snapshot_download(id)
                result[id] = 'brought'
            except Exception as error:
                result[id] = type(error).__name__
    """
    allowed, denied = (
        client(code, HF_TOKEN="hf_alice"),
        client(code, HF_TOKEN="hf_bob", HF_HOME=os.devnull + "x"),
    )

    assert allowed == {"org/private": "brought", "org/gated": "brought"}
    assert denied == {"org/private": "RepositoryNotFoundError", "org/gated": "GatedRepoError"}
    assert hub.leaks == []


def test_api__asked_by_the_client__is_understood(hub, client):
    repo = hub.add_repo("models", "org/name")
    sha = repo.commit(FILES, message="all of it")
    repo.tag("v1", sha)

    result = client(
        """
        api = HfApi()
        info = api.model_info('org/name', files_metadata=True)
        refs = api.list_repo_refs('org/name', include_pull_requests=True)
        result = {
            'sha': info.sha,
            'sizes': {sibling.rfilename: sibling.size for sibling in info.siblings},
            'sha256': {sibling.rfilename: sibling.lfs.sha256 for sibling in info.siblings if sibling.lfs},
            'tree': [entry.path for entry in api.list_repo_tree('org/name', recursive=True, expand=True)],
            'paths': [entry.path for entry in api.get_paths_info('org/name', ['nested', 'a', 'config.json'])],
            'tags': {tag.name: tag.target_commit for tag in refs.tags},
            'commits': [commit.title for commit in api.list_repo_commits('org/name')],
            'models': [model.id for model in api.list_models(author='org')],
            'whoami': api.whoami(token='hf_alice')['name'],
            'exists': [
                api.file_exists('org/name', 'config.json', token='hf_alice'),
                api.file_exists('org/name', 'nope', token='hf_alice'),
                api.repo_exists('org/nope', token='hf_alice'),
                api.revision_exists('org/name', 'nope', token='hf_alice'),
            ],
        }
        """
    )

    assert result == {
        "sha": sha,
        "sizes": {path: len(bytes(content)) for path, content in FILES.items()},
        "sha256": {path: repo.sha256(path) for path in ("model.bin", "nested/more.bin")},
        "tree": repo.at("main").listing("", recursive=True),
        "paths": ["nested", "config.json"],
        "tags": {"v1": sha},
        "commits": ["all of it"],
        "models": ["org/name"],
        "whoami": "alice",
        "exists": [True, False, False, False],
    }


def test_download__with_xet_on__fails_where_it_can_be_seen(hub, client):
    hub.add_repo("models", "org/name").commit(FILES)

    result = client(
        """
        try:
            hf_hub_download('org/name', 'model.bin')
            result = 'brought'
        except Exception as error:
            result = 'failed'
        """,
        HF_HUB_DISABLE_XET="0",
        HF_XET_CLIENT_RETRY_MAX_ATTEMPTS="1",
    )

    assert result == "failed"
    assert hub.count(route="xet-read-token") >= 1
    assert hub.bytes_sent("cdn") == 0
