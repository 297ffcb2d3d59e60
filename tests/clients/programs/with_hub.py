"""Tasks for huggingface_hub, of any version since 0.20."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import huggingface_hub
from huggingface_hub import HfApi, hf_hub_download, snapshot_download, utils

from tests.clients.programs.case import Case, NotApplicable, Repo, equal, main, raises, same_files, sha256

# Versions differ in what is where, and the newest is the only one that is told of types.
errors: Any = utils
BIN = Path(sys.executable).parent
NO_TREE = "This version has no list_repo_tree."
REPO_TYPES = {"models": "model", "datasets": "dataset"}


def snapshot_model(case: Case) -> None:
    same_files(snapshot_download(case["model"].id), case["model"].files())


def snapshot_dataset(case: Case) -> None:
    same_files(snapshot_download(case["dataset"].id, repo_type="dataset"), case["dataset"].files())


def snapshot_local_dir(case: Case) -> None:
    folder = case.folder / "here"
    snapshot_download(case["model"].id, local_dir=folder)
    same_files(folder, case["model"].files())


def snapshot_renamed(case: Case) -> None:
    same_files(snapshot_download(f"{case['model'].org}/old-name"), case["model"].files())


def single_files(case: Case) -> None:
    model = case["model"]
    asked = {"main": model.sha, "dev/next": model.branches["dev/next"], "v1": model.tags["v1"]}
    for revision, sha in asked.items():
        for name in (revision, sha):
            for path, expected in model.files(revision).items():
                found = hf_hub_download(model.id, path, revision=name)
                equal(sha256(found), expected, f"{path} at {name}")
                assert sha in Path(found).parts, f"{path} at {name}: not in the folder of {sha}: {found}"


def exists(case: Case) -> None:
    api, model = HfApi(), case["model"]
    missing = f"{model.org}/no-such-repo"
    equal(api.repo_exists(model.id), True, "repo_exists of a repo")
    equal(api.repo_exists(missing), False, "repo_exists of no repo")
    equal(api.repo_exists(case["private"].id, repo_type="dataset"), False, "repo_exists of a private repo")
    equal(api.file_exists(model.id, "config.json"), True, "file_exists of a file")
    equal(api.file_exists(model.id, "adapter_config.json"), False, "file_exists of no file")
    equal(api.file_exists(missing, "config.json"), False, "file_exists in no repo")
    equal(
        api.file_exists(model.id, "config.json", revision="no-such-revision"),
        False,
        "file_exists at no revision",
    )
    raises(errors.EntryNotFoundError, lambda: hf_hub_download(model.id, "adapter_config.json"))
    raises(errors.RepositoryNotFoundError, lambda: hf_hub_download(missing, "config.json"))
    raises(errors.RevisionNotFoundError, lambda: snapshot_download(model.id, revision="no-such-revision"))
    if hasattr(api, "revision_exists"):
        equal(api.revision_exists(model.id, "v1"), True, "revision_exists of a tag")
        equal(api.revision_exists(model.id, "no-such-revision"), False, "revision_exists of no revision")
        equal(api.revision_exists(missing, "main"), False, "revision_exists in no repo")


def gated_granted(case: Case) -> None:
    for repo in (case["gated"], case["private"]):
        folder = snapshot_download(repo.id, repo_type=REPO_TYPES[repo.type], token=case.granted)
        same_files(folder, repo.files())
        for path, expected in repo.files().items():
            file = hf_hub_download(
                repo.id, path, repo_type=REPO_TYPES[repo.type], token=case.granted, force_download=True
            )
            equal(sha256(file), expected, f"{path} of {repo.id}")


def gated_refused(case: Case) -> None:
    # A bool in place of a token: do not send one.
    _is_refused(case, False)
    _is_refused(case, case.other)


def _is_refused(case: Case, token: str | bool) -> None:
    gated, private = case["gated"], case["private"]
    raises(errors.GatedRepoError, lambda: hf_hub_download(gated.id, "secret.bin", token=token))
    raises(errors.GatedRepoError, lambda: hf_hub_download(gated.id, "README.md", token=token))
    raises(errors.GatedRepoError, lambda: snapshot_download(gated.id, token=token))
    equal(HfApi().model_info(gated.id, token=token).gated, "manual", "gated")
    for call in (
        lambda: hf_hub_download(private.id, "secret.bin", repo_type="dataset", token=token),
        lambda: snapshot_download(private.id, repo_type="dataset", token=token),
    ):
        try:
            raises(errors.RepositoryNotFoundError, call)
        except errors.GatedRepoError:
            # That is a RepositoryNotFoundError, too.
            raise AssertionError("a private repo is said to be gated") from None


def info(case: Case) -> None:
    api, model, dataset = HfApi(), case["model"], case["dataset"]
    found = api.model_info(model.id)
    equal((found.id, found.sha, found.private), (model.id, model.sha, False), "model_info")
    equal({sibling.rfilename for sibling in found.siblings or ()}, set(model.files()), "siblings")
    found = api.model_info(model.id, revision="v1", files_metadata=True)
    equal(found.sha, model.tags["v1"], "sha of v1")
    told: dict[str, Any] = {sibling.rfilename: sibling for sibling in found.siblings or ()}
    weights = told["model.safetensors"]
    hashes = weights.lfs["sha256"] if isinstance(weights.lfs, dict) else weights.lfs.sha256
    equal(hashes, model.files("v1")["model.safetensors"], "sha256 in siblings")
    equal(told["config.json"].blob_id, model.etags()["config.json"], "blob_id in siblings")
    equal(api.dataset_info(dataset.id).sha, dataset.sha, "sha of the dataset")
    if "expand" in (api.model_info.__kwdefaults__ or {}):
        equal(api.model_info(model.id, expand=["sha", "siblings"]).sha, model.sha, "expanded sha")


def list_files(case: Case) -> None:
    api: Any = HfApi()
    model, dataset = case["model"], case["dataset"]
    equal(sorted(api.list_repo_files(model.id)), sorted(model.files()), "list_repo_files")
    equal(
        sorted(api.list_repo_files(dataset.id, repo_type="dataset")), sorted(dataset.files()), "of a dataset"
    )
    equal(
        sorted(api.list_repo_files(model.id, revision="v1")),
        sorted(model.files("v1")),
        "list_repo_files at v1",
    )
    if not hasattr(api, "list_repo_tree"):
        return
    entries = list(api.list_repo_tree(model.id, recursive=True))
    sizes = {entry.path: entry.size for entry in entries if hasattr(entry, "size")}
    equal(sizes, model.sizes(), "list_repo_tree, sizes")
    oids = {
        entry.path: entry.lfs["sha256"] if isinstance(entry.lfs, dict) else entry.lfs.sha256
        for entry in entries
        if getattr(entry, "lfs", None)
    }
    equal(oids, {path: model.files()[path] for path in ("model.safetensors", "nested/more.bin")}, "LFS oids")
    below = [entry.path for entry in api.list_repo_tree(model.id, "nested/a", recursive=True)]
    equal(sorted(below), ["nested/a/b", "nested/a/b/deep.txt"], "list_repo_tree of a folder")
    raises(errors.EntryNotFoundError, lambda: list(api.list_repo_tree(model.id, "no-such-folder")))
    found = {entry.path for entry in api.get_paths_info(model.id, ["config.json", "nested", "missing"])}
    equal(found, {"config.json", "nested"}, "get_paths_info")


def list_expanded(case: Case) -> None:
    api: Any = HfApi()
    model = case["model"]
    if not hasattr(api, "list_repo_tree"):
        raise NotApplicable(NO_TREE)
    entries = {entry.path: entry for entry in api.list_repo_tree(model.id, expand=True)}
    equal((entries["README.md"].last_commit or {}).get("oid"), model.tags["v1"], "last commit in the tree")
    (entry,) = api.get_paths_info(model.id, ["config.json"], expand=True)
    equal((entry.last_commit or {}).get("oid"), model.tags["v1"], "last commit in get_paths_info")


def list_many(case: Case) -> None:
    api, many = HfApi(), case["many"]
    if not hasattr(api, "list_repo_tree"):
        raise NotApplicable(NO_TREE)
    entries = list(api.list_repo_tree(many.id, recursive=True))
    equal(sum(hasattr(entry, "size") for entry in entries), len(many.files()), "number of files")
    equal(sorted(api.list_repo_files(many.id)), sorted(many.files()), "list_repo_files")


def refs(case: Case) -> None:
    model, dataset = case["model"], case["dataset"]
    found = HfApi().list_repo_refs(model.id, include_pull_requests=True)
    equal({ref.name: ref.target_commit for ref in found.branches}, model.branches, "branches")
    equal({ref.name: ref.target_commit for ref in found.tags}, model.tags, "tags")
    equal([ref.ref for ref in found.pull_requests or ()], ["refs/pr/1"], "pull requests")
    converts = HfApi().list_repo_refs(dataset.id, repo_type="dataset").converts
    equal([ref.ref for ref in converts], ["refs/convert/parquet"], "converts")


def safetensors(case: Case) -> None:
    if not hasattr(HfApi, "get_safetensors_metadata"):
        raise NotApplicable("This version has no get_safetensors_metadata.")
    api = HfApi()
    found = api.get_safetensors_metadata(case["model"].id)
    equal(found.sharded, False, "sharded")
    equal(found.files_metadata["model.safetensors"].tensors["weight"].dtype, "U8", "dtype")
    equal(found.parameter_count, {"U8": 12_000_000}, "parameters")
    found = api.get_safetensors_metadata(case["sharded"].id)
    equal((found.sharded, found.parameter_count), (True, {"U8": 20_000}), "sharded parameters")
    equal(sorted(found.weight_map), ["weight0", "weight1"], "weight map")


def filesystem(case: Case) -> None:
    fs: Any = huggingface_hub.HfFileSystem()
    model = case["model"]
    root = model.id
    names = {name.removeprefix(root + "/") for name in fs.ls(root, detail=False)}
    equal(names, {path.partition("/")[0] for path in model.files()}, "ls")
    sizes = {item["name"].removeprefix(root + "/"): item["size"] for item in fs.ls(root) if item["size"]}
    equal(sizes["model.safetensors"], model.size("model.safetensors"), "size in ls")
    equal(fs.glob(f"{root}/**/deep.txt"), [f"{root}/nested/a/b/deep.txt"], "glob")
    dataset = f"datasets/{case['dataset'].id}"
    equal(fs.glob(f"{dataset}/data/*.jsonl"), [f"{dataset}/data/train.jsonl"], "glob of a dataset")
    equal(fs.exists(f"{root}/no-such-file"), False, "exists of no file")
    equal(fs.isdir(f"{root}/nested"), True, "isdir")
    _read_files(fs, model, case.folder)


def _read_files(fs: Any, model: Repo, folder: Path) -> None:
    weights = f"{model.id}/model.safetensors"
    local = folder / "local"
    fs.get_file(weights, str(local))
    equal(sha256(local), model.files()["model.safetensors"], "get_file")
    content = local.read_bytes()
    for path in ("config.json", "nested/with space + #1 100%.txt", "nested/grüße-世界.txt"):
        with fs.open(f"{model.id}/{path}", "rb") as file:
            equal(len(file.read()), model.size(path), f"open and read {path}")
    with fs.open(weights, "rb") as file:
        file.seek(7_000_000)
        assert file.read(1000) == content[7_000_000:7_001_000], "seek and read: wrong bytes"
        assert file.read(100) == content[7_001_000:7_001_100], "read on: wrong bytes"
    with fs.open(weights, "rb", block_size=0) as stream:
        assert stream.read(1_000_000) == content[:1_000_000], "stream: wrong bytes"
    assert fs.cat_file(weights, start=5, end=50) == content[5:50], "cat_file: wrong bytes"
    with fs.open(f"{model.id}@v1/README.md", "rb") as file:
        assert file.read(), "open at a tag: empty"


def search(case: Case) -> None:
    org = case["model"].org
    found = {model.id for model in HfApi().list_models(author=org)}
    equal(
        found, {case[name].id for name in ("model", "sharded", "many", "gated")}, "list_models of an author"
    )
    equal(
        [commit.commit_id for commit in HfApi().list_repo_commits(case["model"].id)],
        [case["model"].sha, case["model"].tags["v1"]],
        "list_repo_commits",
    )


def whoami(case: Case) -> None:
    equal(HfApi().whoami(token=case.granted)["name"], "granted", "whoami")
    raises(Exception, lambda: HfApi().whoami(token="hf_of_nobody"))


def command_line(case: Case) -> None:
    """The program that comes with the library: download, then let it check what it has."""
    model = case["model"]
    # 1.0 knows no other way to be kept from looking for a newer version of itself.
    Path(os.environ["HF_HOME"]).mkdir(exist_ok=True)
    Path(os.environ["HF_HOME"], ".check_for_update_done").touch()
    program = BIN / "hf" if (BIN / "hf").exists() else BIN / "huggingface-cli"
    _run(program, "download", model.id)
    _run(program, "download", case["dataset"].id, "--repo-type", "dataset")
    if _knows(program, "cache", "verify"):
        _run(program, "cache", "verify", model.id)
        _run(program, "cache", "verify", case["dataset"].id, "--repo-type", "dataset")
    elif _knows(program, "cache", "scan"):
        assert model.id in _run(program, "cache", "scan"), "cache scan does not know the repo"
    elif _knows(program, "cache", "ls"):
        assert model.id in _run(program, "cache", "ls"), "cache ls does not know the repo"
    else:
        assert model.id in _run(program, "scan-cache"), "scan-cache does not know the repo"


def poisoned_cache(case: Case) -> None:
    """A client that has been at the Hub itself keeps Xet hashes, and asks for what belongs to them."""
    if find_spec("huggingface_hub._tree_cache") is None:
        raise NotApplicable("This version keeps no listing of a commit.")
    if find_spec("hf_xet") is None:
        raise NotApplicable("Without hf_xet nobody asks for Xet.")
    model = case["model"]
    snapshot = Path(snapshot_download(model.id))
    kept = snapshot.parents[1]
    listing = kept / "trees" / f"{model.sha}.json"
    told = json.loads(listing.read_text())
    for path, hash in model.xet_hashes().items():
        told["files"][path]["xet_hash"] = hash
    listing.write_text(json.dumps(told))
    for folder in ("snapshots", "blobs"):
        shutil.rmtree(kept / folder)
    done = _snapshot_again(model, {})
    if done.returncode != 0:
        assert "HF_HUB_DISABLE_XET=1" in done.stderr, f"no help in: {done.stderr.strip().splitlines()[-1]}"
        done = _snapshot_again(model, {"HF_HUB_DISABLE_XET": "1"})
        equal(done.returncode, 0, "with HF_HUB_DISABLE_XET=1")
    same_files(snapshot, model.files())


def _snapshot_again(model: Repo, environ: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """In a process of its own: this one remembers the listing."""
    text = f"from huggingface_hub import snapshot_download; snapshot_download({model.id!r})"
    done = subprocess.run(
        [sys.executable, "-c", text],
        env={**os.environ, **environ},
        capture_output=True,
        text=True,
        check=False,
    )
    sys.stderr.write(done.stderr)
    return done


def _knows(*command: str | Path) -> bool:
    return subprocess.run([*command, "--help"], capture_output=True, check=False).returncode == 0


def _run(*command: str | Path) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    sys.stderr.write(f"$ {' '.join(map(str, command))}\n{done.stdout}{done.stderr}")
    if done.returncode != 0:
        words = " ".join(map(str, command[1:3]))
        said = [line.strip() for line in done.stderr.splitlines() if "Error" in line]
        raise AssertionError(f"{Path(command[0]).name} {words}: {said[-1] if said else 'failed'}")
    return done.stdout


TASKS = (
    snapshot_model,
    snapshot_dataset,
    snapshot_local_dir,
    snapshot_renamed,
    single_files,
    exists,
    gated_granted,
    gated_refused,
    info,
    list_files,
    list_expanded,
    list_many,
    refs,
    safetensors,
    filesystem,
    search,
    whoami,
    command_line,
    poisoned_cache,
)

if __name__ == "__main__":
    print(f"huggingface_hub {huggingface_hub.__version__}", file=sys.stderr)
    main({task.__name__: task for task in TASKS})
