"""JSON from upstream and from the disk, looked at before it is believed."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

from dingospeed.model import is_commit
from dingospeed.store.documents import Document, Documents

log = logging.getLogger(__name__)


def kept(documents: Documents, path: Path, is_right: Callable[[Any], bool]) -> Document | None:
    """The document at *path*; None when there is none, or none that *is_right*: it is to be had anew."""
    document = documents.read(path)
    if document is None or is_right(document.value):
        return document
    log.error("document %s is not what it should be, not used", path)
    return None


def is_info(value: Any) -> bool:
    """What the Hub tells of a repo at a commit."""
    return isinstance(value, dict) and isinstance(value.get("sha"), str) and is_commit(value["sha"])


def is_word(value: Any) -> bool:
    """Which commit a revision is."""
    return isinstance(value, dict) and isinstance(value.get("commit"), str) and is_commit(value["commit"])


def is_visibility(value: Any) -> bool:
    return (
        isinstance(value, dict)
        and isinstance(value.get("private"), bool)
        and isinstance(value.get("gated"), bool | str)
    )


def is_move(value: Any) -> bool:
    return isinstance(value, dict) and isinstance(value.get("to"), str)


def is_decision(value: Any) -> bool:
    return isinstance(value, dict) and isinstance(value.get("allowed"), bool)


def is_object(value: Any) -> bool:
    """The size of an object of LFS."""
    return isinstance(value, dict) and isinstance(value.get("size"), int)


def is_refs(value: Any) -> bool:
    """Branches and tags, as the Hub lists them."""
    return isinstance(value, dict) and isinstance(value.get("branches"), list)


def is_listing(value: Any) -> bool:
    """Entries of a tree, none of which would lead out of a folder it is downloaded to."""
    return isinstance(value, list) and all(map(_is_entry, value))


def _is_entry(value: Any) -> bool:
    if not isinstance(value, dict):
        return False
    lfs = value.get("lfs")
    if lfs and not (isinstance(lfs, dict) and isinstance(lfs.get("oid"), str)):
        return False
    path = value.get("path")
    if not isinstance(path, str) or not path or "\0" in path:
        return False
    between = f"/{path}/"
    return "//" not in between and "/./" not in between and "/../" not in between
