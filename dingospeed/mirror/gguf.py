"""The GGUF file that a tag means, chosen from a repo's tree.

A tag names a quantisation, as a part of file names: ``Q4_K_M``, ``q8_0``. What the Hub chooses
counts; this stands in for it where the Hub has no manifest, or nobody can be asked.
"""

from __future__ import annotations

import re
from typing import Any

from dingospeed.mirror.tree import Entry, Tree

MANIFEST_TYPE = "application/vnd.docker.distribution.manifest.v2+json"
_MODEL_TYPE = "application/vnd.ollama.image.model"
_LATEST = "latest"
# What "latest" means, best first; a repo that has none of them means its first file.
_PREFERRED = ("Q4_K_M", "Q4_0")
_LATER_PART = re.compile(r"-(?!00001)\d{5}-of-\d{5}\.gguf\Z")


def choose(paths: list[str], tag: str) -> str | None:
    """The path that *tag* means, the first one of a model in parts; None when there is none."""
    models = sorted(path for path in paths if _is_model(path))
    if tag.lower() != _LATEST:
        return next((path for path in models if _names(path, tag)), None)
    preferred = (path for name in _PREFERRED for path in models if _names(path, name))
    return next(preferred, models[0] if models else None)


def manifest_of(tree: Tree, tag: str) -> dict[str, Any] | None:
    """A manifest with what llama.cpp reads of one, None when no file of *tree* fits *tag*.

    For Ollama it would not do: the template and parameters it needs are made by the Hub.
    """
    files = {entry["path"]: entry for entry in tree.files() if entry.get("lfs")}
    path = choose(list(files), tag)
    if path is None:
        return None
    lfs = files[path]["lfs"]
    manifest = {
        "schemaVersion": 2,
        "mediaType": MANIFEST_TYPE,
        "layers": [{"digest": f"sha256:{lfs['oid']}", "mediaType": _MODEL_TYPE, "size": lfs["size"]}],
        "ggufFile": _file(files[path]),
    }
    projector = next((path for path in sorted(files) if _is_gguf(path) and _is_projector(path)), None)
    if projector is not None:
        manifest["mmprojFile"] = _file(files[projector])
    return manifest


def _file(entry: Entry) -> dict[str, Any]:
    lfs = entry["lfs"]
    return {
        "rfilename": entry["path"],
        "blobId": f"sha256:{lfs['oid']}",
        "size": lfs["size"],
        "lfs": {"sha256": lfs["oid"], "size": lfs["size"], "pointerSize": lfs.get("pointerSize")},
    }


def _is_model(path: str) -> bool:
    return _is_gguf(path) and not _is_projector(path) and not _LATER_PART.search(path.lower())


def _is_gguf(path: str) -> bool:
    return path.lower().endswith(".gguf")


def _is_projector(path: str) -> bool:
    return "mmproj" in path.rpartition("/")[2].lower()


def _names(path: str, tag: str) -> bool:
    """Whether *tag* stands in *path* as a word: ``Q4_K`` does not in ``model-Q4_K_M.gguf``."""
    return re.search(rf"(?<![a-z0-9_]){re.escape(tag)}(?![a-z0-9_])", path, re.IGNORECASE) is not None
