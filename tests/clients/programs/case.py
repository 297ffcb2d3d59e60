"""What every program of the grid does: read its case, do one task, say how it went.

Runs in the environments of the clients, where nothing is installed but they. The last line it prints is
JSON: ``{}``, ``{"failed": "why"}`` or ``{"not_applicable": "why"}``.
"""

from __future__ import annotations

import hashlib
import json
import sys
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

REASON_LENGTH = 300


class NotApplicable(Exception):
    """This client has no such thing; the text says so in a sentence."""


class Repo:
    """A repo of the fake Hub, as the runner described it."""

    def __init__(self, told: Mapping[str, Any]) -> None:
        self.id: str = told["id"]
        self.type: str = told["type"]
        self.branches: dict[str, str] = told["branches"]
        self.tags: dict[str, str] = told["tags"]
        self._files: dict[str, dict[str, Any]] = told["files"]

    @property
    def sha(self) -> str:
        return self.branches["main"]

    @property
    def org(self) -> str:
        return self.id.partition("/")[0]

    def files(self, revision: str = "main") -> dict[str, str]:
        """{path: sha256}"""
        return {path: file["sha256"] for path, file in self._files[revision].items()}

    def size(self, path: str) -> int:
        return int(self._files["main"][path]["size"])

    def sizes(self) -> dict[str, int]:
        return {path: file["size"] for path, file in self._files["main"].items()}

    def xet_hashes(self) -> dict[str, str]:
        """{path: hash} of files that the Hub offers by Xet."""
        files = self._files["main"].items()
        return {path: file["xet_hash"] for path, file in files if file["xet_hash"] is not None}

    def etags(self) -> dict[str, str]:
        return {path: file["etag"] for path, file in self._files["main"].items()}


class Case:
    """Where the mirror is, what it mirrors, whose tokens there are, and an empty folder to work in."""

    def __init__(self, told: Mapping[str, Any]) -> None:
        self.endpoint: str = told["endpoint"]
        self.granted: str = told["tokens"]["granted"]
        self.other: str = told["tokens"]["other"]
        self.folder = Path(told["folder"])
        # For those who set something up at the mirror first.
        self.admin: str = told["admin"]
        self._repos = {name: Repo(repo) for name, repo in told["repos"].items()}

    def __getitem__(self, name: str) -> Repo:
        return self._repos[name]


def main(tasks: Mapping[str, Callable[[Case], None]]) -> None:
    """Do the task named first on the command line with the case that lies in the file named second."""
    name, path = sys.argv[1:]
    case = Case(json.loads(Path(path).read_text()))
    try:
        tasks[name](case)
    except NotApplicable as error:
        print(json.dumps({"not_applicable": str(error)}))
    except BaseException as error:  # noqa: BLE001 - whatever it is, it is the result
        traceback.print_exc()
        print(json.dumps({"failed": first_line(error)}))
        sys.exit(1)
    else:
        print("{}")


def first_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0] if lines else ''}"[:REASON_LENGTH]


def equal(found: object, expected: object, what: str) -> None:
    assert found == expected, f"{what}: expected {_short(expected)}, found {_short(found)}"


def same_files(folder: str | Path, expected: Mapping[str, str]) -> None:
    """Below *folder* lie exactly these files. Leaves out what clients keep there for themselves."""
    found = {
        path.relative_to(folder).as_posix(): sha256(path)
        for path in Path(folder).rglob("*")
        if path.is_file() and path.relative_to(folder).parts[0] not in (".cache", ".huggingface", ".git")
    }
    equal(sorted(found), sorted(expected), "files")
    wrong = [path for path in expected if found[path] != expected[path]]
    assert not wrong, f"wrong content in {wrong}"


def sha256(path: str | Path) -> str:
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


def raises(kind: type[BaseException] | tuple[type[BaseException], ...], call: Callable[[], object]) -> None:
    """*call* fails in exactly one of these ways; whatever else it raises goes on."""
    try:
        found = call()
    except kind:
        return
    names = kind if isinstance(kind, tuple) else (kind,)
    raise AssertionError(f"expected {' or '.join(k.__name__ for k in names)}, found {_short(found)}")


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 120 else text[:117] + "..."
