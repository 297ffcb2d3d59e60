"""What clients are asked to do. A task is a function of the same name in one of tests/clients/programs."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Literal

# Part of an address of what does not exist. Whether it still does not may be asked again.
MISSING_REVISION = "no-such-revision"
# git compares what it has with what there is each time.
GIT_QUESTIONS = ("/info/refs", "/git-upload-pack")


class Aspect(Enum):
    """What somebody wants of a client, in the words of the table in README.md."""

    DOWNLOADS = "downloads"
    LOOKS_UP = "lists, looks up"
    RIGHTS = "gated, private"
    PARTS = "parts, resume, streams"
    AWAY = "while the Hub is away"


@dataclass(frozen=True, slots=True)
class Task:
    """*name* is the function in *program*, *title* the line of the report, *aspect* the column in README.md.

    Each is done twice, with an empty client cache. The second time nothing may be asked of the Hub, except
    what has one of *may_ask* in its address.
    """

    program: str
    name: str
    title: str
    aspect: Aspect
    may_ask: tuple[str, ...] = ()
    is_quick: bool = True

    @property
    def phase(self) -> Literal["there", "away"]:
        """ "away": done once, at the end, when the Hub can not be reached."""
        return "away" if self.aspect is Aspect.AWAY else "there"

    @property
    def key(self) -> str:
        """What the task is called where it has to be told from all others of a client."""
        return self.name if self.phase == "there" else f"{self.name}_away"


def _hub(
    name: str, title: str, aspect: Aspect, *, may_ask: tuple[str, ...] = (), is_quick: bool = True
) -> Task:
    return Task("with_hub", name, title, aspect, may_ask=may_ask, is_quick=is_quick)


HUB_TASKS = (
    _hub("snapshot_model", "`snapshot_download` of a model", Aspect.DOWNLOADS),
    _hub("snapshot_dataset", "`snapshot_download` of a dataset", Aspect.DOWNLOADS),
    _hub("snapshot_local_dir", "`snapshot_download` to a `local_dir`", Aspect.DOWNLOADS, is_quick=False),
    _hub("snapshot_renamed", "`snapshot_download` by a former name", Aspect.DOWNLOADS, is_quick=False),
    _hub("single_files", "single files by branch, tag and sha", Aspect.DOWNLOADS),
    _hub(
        "exists",
        "`file_exists`, `repo_exists`, `revision_exists`",
        Aspect.LOOKS_UP,
        may_ask=(MISSING_REVISION,),
    ),
    _hub("gated_granted", "gated and private repos, with the right to them", Aspect.RIGHTS),
    _hub("gated_refused", "gated and private repos, without", Aspect.RIGHTS),
    _hub("info", "`model_info`, `dataset_info`", Aspect.LOOKS_UP, is_quick=False),
    _hub("list_files", "`list_repo_files`, `list_repo_tree`", Aspect.LOOKS_UP),
    _hub("list_expanded", "`list_repo_tree` with `expand`", Aspect.LOOKS_UP, is_quick=False),
    _hub("list_many", "`list_repo_tree` of 1,200 files", Aspect.LOOKS_UP, is_quick=False),
    _hub("refs", "`list_repo_refs`", Aspect.LOOKS_UP, is_quick=False),
    _hub("safetensors", "`get_safetensors_metadata`", Aspect.PARTS),
    _hub("filesystem", "`HfFileSystem`: `ls`, `glob`, `open`, `get_file`", Aspect.PARTS),
    _hub("search", "`list_models`, `list_repo_commits`", Aspect.LOOKS_UP, is_quick=False),
    # Who somebody is, is asked each time.
    _hub("whoami", "`whoami`", Aspect.LOOKS_UP, may_ask=("/api/whoami-v2",), is_quick=False),
    _hub("command_line", "`hf download`, then `hf cache verify`, or `scan` of old", Aspect.DOWNLOADS),
    _hub("poisoned_cache", "a cache that knows Xet hashes: works, or says what to do", Aspect.DOWNLOADS),
    Task("with_hub", "snapshot_model", "`snapshot_download` when the Hub is away", Aspect.AWAY),
)

DATASETS_TASKS = (
    Task("with_datasets", "parquet", "`load_dataset` of parquet", Aspect.DOWNLOADS),
    Task("with_datasets", "parquet_streaming", "`load_dataset` of parquet, streaming", Aspect.PARTS),
    Task("with_datasets", "json_lines", "`load_dataset` of JSON", Aspect.DOWNLOADS),
    Task("with_datasets", "json_lines_streaming", "`load_dataset` of JSON, streaming", Aspect.PARTS),
    Task("with_datasets", "parquet", "parquet when the Hub is away", Aspect.AWAY),
)

TRANSFORMERS_TASKS = (
    Task("with_transformers", "config", "`AutoConfig`", Aspect.DOWNLOADS),
    Task("with_transformers", "tokenizer", "`AutoTokenizer`", Aspect.DOWNLOADS),
    Task("with_transformers", "tokenizer", "`AutoTokenizer` when the Hub is away", Aspect.AWAY),
    Task("with_transformers", "mounted", "both from a mount, without a mirror", Aspect.DOWNLOADS),
)

JS_TASKS = (
    Task("with_hub_js", "listFiles", "`listFiles`", Aspect.LOOKS_UP),
    Task("with_hub_js", "downloadFile", "`downloadFile`", Aspect.DOWNLOADS),
    Task("with_hub_js", "emptyFile", "`downloadFile` of an empty file", Aspect.DOWNLOADS),
    Task("with_hub_js", "oddName", "`downloadFile` of `… + #1 100%.txt`", Aspect.DOWNLOADS),
    Task("with_hub_js", "snapshotDownload", "`snapshotDownload`", Aspect.DOWNLOADS),
    Task("with_hub_js", "fileExists", "`fileExists`", Aspect.LOOKS_UP),
    Task("with_hub_js", "modelInfo", "`modelInfo`, `datasetInfo`", Aspect.LOOKS_UP),
    Task("with_hub_js", "pathsInfo", "`pathsInfo`", Aspect.LOOKS_UP),
    Task("with_hub_js", "pathsInfoExpanded", "`pathsInfo` with `expand`", Aspect.LOOKS_UP),
    Task("with_hub_js", "gated", "gated, with the right to it and without", Aspect.RIGHTS),
    Task("with_hub_js", "downloadFile", "`downloadFile` when the Hub is away", Aspect.AWAY),
)

CURL_TASKS = (
    Task("with_tools", "curl_whole", "`curl -O`", Aspect.DOWNLOADS),
    Task("with_tools", "curl_resume", "`curl -C -`, part of the file there", Aspect.PARTS),
    Task("with_tools", "curl_complete", "`curl -C -`, all of the file there", Aspect.PARTS),
    Task("with_tools", "curl_gated", "gated, with the right to it and without", Aspect.RIGHTS),
    Task("with_tools", "curl_whole", "`curl -O` when the Hub is away", Aspect.AWAY),
)
WGET_TASKS = (
    Task("with_tools", "wget_resume", "`wget -c`, part of the file there", Aspect.PARTS),
    Task("with_tools", "wget_complete", "`wget -c`, all of the file there", Aspect.PARTS),
)
ARIA2_TASKS = (
    Task("with_tools", "aria2_parallel", "`aria2c -x4`", Aspect.PARTS),
    Task("with_tools", "aria2_resume", "`aria2c -c -x4`, part of the file there", Aspect.PARTS),
)
GIT_TASKS = (
    Task(
        "with_tools",
        "git_clone_model",
        "`git clone` of a model, with LFS",
        Aspect.DOWNLOADS,
        may_ask=GIT_QUESTIONS,
    ),
    Task(
        "with_tools",
        "git_clone_dataset",
        "`git clone` of a dataset, with LFS",
        Aspect.DOWNLOADS,
        may_ask=GIT_QUESTIONS,
    ),
)
