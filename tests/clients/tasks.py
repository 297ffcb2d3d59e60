"""What clients are asked to do. A task is a function of the same name in one of tests/clients/programs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

# Parts of addresses of things that do not exist. Whether they still do not may be asked again.
MISSING_REPO = "no-such-repo"
MISSING_REVISION = "no-such-revision"
# To a stranger it is as if it were not there.
HIDDEN_REPO = "/private"
# git compares what it has with what there is each time.
GIT_QUESTIONS = ("/info/refs", "/git-upload-pack")


@dataclass(frozen=True, slots=True)
class Task:
    """*name* is the function in *program*, *title* the line of the report.

    Each is done twice, with an empty client cache. The second time nothing may be asked of the Hub, except
    what has one of *may_ask* in its address.
    """

    program: str
    name: str
    title: str
    limit_s: float = 60
    may_ask: tuple[str, ...] = ()
    is_quick: bool = True
    # "away": done once, at the end, when the Hub can not be reached.
    phase: Literal["there", "away"] = "there"

    @property
    def key(self) -> str:
        """What the task is called where it has to be told from all others of a client."""
        return self.name if self.phase == "there" else f"{self.name}_away"


def _hub(name: str, title: str, *, may_ask: tuple[str, ...] = (), is_quick: bool = True) -> Task:
    return Task("with_hub", name, title, may_ask=may_ask, is_quick=is_quick)


HUB_TASKS = (
    _hub("snapshot_model", "`snapshot_download` of a model"),
    _hub("snapshot_dataset", "`snapshot_download` of a dataset"),
    _hub("snapshot_local_dir", "`snapshot_download` to a `local_dir`", is_quick=False),
    _hub("snapshot_renamed", "`snapshot_download` by a former name", is_quick=False),
    _hub("single_files", "single files by branch, tag and sha"),
    _hub(
        "exists",
        "`file_exists`, `repo_exists`, `revision_exists`",
        may_ask=(MISSING_REPO, MISSING_REVISION, HIDDEN_REPO),
    ),
    _hub("gated_granted", "gated and private repos, with the right to them"),
    _hub("gated_refused", "gated and private repos, without"),
    _hub("info", "`model_info`, `dataset_info`", is_quick=False),
    _hub("list_files", "`list_repo_files`, `list_repo_tree`"),
    _hub("list_expanded", "`list_repo_tree` with `expand`", is_quick=False),
    _hub("list_many", "`list_repo_tree` of 1,200 files", is_quick=False),
    _hub("refs", "`list_repo_refs`", is_quick=False),
    _hub("safetensors", "`get_safetensors_metadata`"),
    _hub("filesystem", "`HfFileSystem`: `ls`, `glob`, `open`, `get_file`"),
    _hub("search", "`list_models`, `list_repo_commits`", is_quick=False),
    # Who somebody is, is asked each time.
    _hub("whoami", "`whoami`", may_ask=("/api/whoami-v2",), is_quick=False),
    _hub("command_line", "`hf download`, then `hf cache verify`, or `scan` of old"),
    _hub("poisoned_cache", "a cache that knows Xet hashes: works, or says what to do"),
    Task("with_hub", "snapshot_model", "`snapshot_download` when the Hub is away", phase="away"),
)

DATASETS_TASKS = (
    Task("with_datasets", "parquet", "`load_dataset` of parquet", limit_s=120),
    Task("with_datasets", "parquet_streaming", "`load_dataset` of parquet, streaming", limit_s=120),
    Task("with_datasets", "json_lines", "`load_dataset` of JSON", limit_s=120),
    Task("with_datasets", "json_lines_streaming", "`load_dataset` of JSON, streaming", limit_s=120),
    Task("with_datasets", "parquet", "parquet when the Hub is away", limit_s=120, phase="away"),
)

TRANSFORMERS_TASKS = (
    Task("with_transformers", "config", "`AutoConfig`", limit_s=120),
    Task("with_transformers", "tokenizer", "`AutoTokenizer`", limit_s=120),
    Task("with_transformers", "tokenizer", "`AutoTokenizer` when the Hub is away", limit_s=120, phase="away"),
)

JS_TASKS = (
    Task("with_hub_js", "listFiles", "`listFiles`"),
    Task("with_hub_js", "downloadFile", "`downloadFile`"),
    Task("with_hub_js", "emptyFile", "`downloadFile` of an empty file"),
    Task("with_hub_js", "oddName", "`downloadFile` of `… + #1 100%.txt`"),
    Task("with_hub_js", "snapshotDownload", "`snapshotDownload`"),
    Task("with_hub_js", "fileExists", "`fileExists`"),
    Task("with_hub_js", "modelInfo", "`modelInfo`, `datasetInfo`"),
    Task("with_hub_js", "pathsInfo", "`pathsInfo`"),
    Task("with_hub_js", "pathsInfoExpanded", "`pathsInfo` with `expand`"),
    Task("with_hub_js", "gated", "gated, with the right to it and without"),
    Task("with_hub_js", "downloadFile", "`downloadFile` when the Hub is away", phase="away"),
)

CURL_TASKS = (
    Task("with_tools", "curl_whole", "`curl -O`"),
    Task("with_tools", "curl_resume", "`curl -C -`, part of the file there"),
    Task("with_tools", "curl_complete", "`curl -C -`, all of the file there"),
    Task("with_tools", "curl_gated", "gated, with the right to it and without"),
    Task("with_tools", "curl_whole", "`curl -O` when the Hub is away", phase="away"),
)
WGET_TASKS = (
    Task("with_tools", "wget_resume", "`wget -c`, part of the file there"),
    Task("with_tools", "wget_complete", "`wget -c`, all of the file there"),
)
ARIA2_TASKS = (
    Task("with_tools", "aria2_parallel", "`aria2c -x4`"),
    Task("with_tools", "aria2_resume", "`aria2c -c -x4`, part of the file there"),
)
GIT_TASKS = (
    Task("with_tools", "git_clone_model", "`git clone` of a model, with LFS", may_ask=GIT_QUESTIONS),
    Task("with_tools", "git_clone_dataset", "`git clone` of a dataset, with LFS", may_ask=GIT_QUESTIONS),
)
