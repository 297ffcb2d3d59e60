"""The clients of the grid: what is installed for each, and which tasks it is given."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from tests.clients.tasks import (
    ARIA2_TASKS,
    CURL_TASKS,
    DATASETS_TASKS,
    GIT_TASKS,
    HUB_TASKS,
    JS_TASKS,
    TRANSFORMERS_TASKS,
    WGET_TASKS,
    Task,
)

Kind = Literal["python", "node", "tool"]


@dataclass(frozen=True, slots=True)
class Client:
    """A program to download with, as users have it.

    *requires* is given to the installer of its *kind*; *without* is removed again afterwards. A "tool"
    comes with the system: *requires* then names the Debian packages. *versions* are the packages the report
    tells of.
    """

    name: str
    kind: Kind
    tasks: tuple[Task, ...]
    requires: tuple[str, ...]
    without: tuple[str, ...] = ()
    versions: tuple[str, ...] = ()
    is_quick: bool = False

    @property
    def slug(self) -> str:
        """The name as part of a path, and of the ids of this client's repos."""
        return re.sub(r"[^a-z0-9.]+", "-", self.name.lower()).strip("-")

    @property
    def is_pinned(self) -> bool:
        """Whether tomorrow's environment is the same as today's."""
        return self.kind == "tool" or "==" in self.requires[0]


def _hub(name: str, *requires: str, without: tuple[str, ...] = (), is_quick: bool = False) -> Client:
    return Client(
        f"huggingface_hub {name}",
        "python",
        HUB_TASKS,
        requires,
        without=without,
        versions=("huggingface_hub", "hf_xet"),
        is_quick=is_quick,
    )


CLIENTS: tuple[Client, ...] = (
    _hub("0.20.3", "huggingface_hub==0.20.3", is_quick=True),
    _hub("0.26.5", "huggingface_hub==0.26.5", is_quick=True),
    _hub("0.33.5 + hf_xet", "huggingface_hub==0.33.5", "hf_xet==1.1.5", is_quick=True),
    _hub("0.36.2 + hf_xet", "huggingface_hub==0.36.2", "hf_xet==1.2.0", is_quick=True),
    # Its hf program needs click, and counts on another package to bring it.
    _hub("1.0.1", "huggingface_hub==1.0.1", "hf_xet==1.2.0", "click", is_quick=True),
    _hub("1.28.0 + hf_xet", "huggingface_hub==1.28.0", "hf_xet==1.5.2", is_quick=True),
    _hub("newest + hf_xet", "huggingface_hub", "hf_xet", is_quick=True),
    _hub("newest, no hf_xet", "huggingface_hub", without=("hf_xet",)),
    Client(
        "datasets 2.19",
        "python",
        DATASETS_TASKS,
        # What its own time had: later ones took away what it calls.
        ("datasets==2.19.2", "huggingface_hub==0.23.5", "pyarrow==15.0.2", "numpy<2", "pandas<3"),
        versions=("datasets", "huggingface_hub"),
    ),
    Client(
        "datasets newest",
        "python",
        DATASETS_TASKS,
        ("datasets", "hf_xet"),
        versions=("datasets", "huggingface_hub", "hf_xet"),
    ),
    Client(
        "transformers newest",
        "python",
        TRANSFORMERS_TASKS,
        ("transformers", "hf_xet"),
        versions=("transformers", "huggingface_hub", "hf_xet"),
    ),
    Client("@huggingface/hub", "node", JS_TASKS, ("@huggingface/hub",), versions=("@huggingface/hub",)),
    Client("curl", "tool", CURL_TASKS, ("curl",), is_quick=True),
    Client("wget", "tool", WGET_TASKS, ("wget",), is_quick=True),
    Client("aria2", "tool", ARIA2_TASKS, ("aria2",), is_quick=True),
    Client("git", "tool", GIT_TASKS, ("git", "git-lfs"), is_quick=True),
)

# Generations of hf_xet that ask in a way of their own, for runs in which all is offered by Xet.
XET_CLIENTS: tuple[Client, ...] = (
    _hub("0.30.2 + hf_xet 0.1.4", "huggingface_hub==0.30.2", "hf_xet==0.1.4"),
    _hub("0.32.6 + hf_xet 1.1.2", "huggingface_hub==0.32.6", "hf_xet==1.1.2"),
    _hub("0.35.3 + hf_xet 1.1.10", "huggingface_hub==0.35.3", "hf_xet==1.1.10"),
    _hub("1.10.2 + hf_xet 1.4.3", "huggingface_hub==1.10.2", "hf_xet==1.4.3"),
)
