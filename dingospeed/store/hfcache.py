"""The cache folder of the Hub's own clients, made of our blobs at no extra cost.

    <public>/models--org--name/refs/<revision>             the commit
    <public>/models--org--name/snapshots/<commit>/<path>   relative links to …
    <public>/models--org--name/blobs/<etag>                … hard links to sealed blobs

A snapshot appears by a rename, so it is whole or not there; a ref follows once it is. Everything here
is plain system calls, for a native thread.
"""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from dingospeed.model import RepoRef

_FICLONE = 0x40049409  # linux/fs.h
# What a file system says that can not link here: another one, too many links, or none at all.
_NO_LINK = (errno.EXDEV, errno.EMLINK, errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS)
# For everybody to read and nobody to write. Cache and mount share the file, and so its mode.
_MOUNTED, _SEALED, _FOLDER = 0o444, 0o640, 0o755
_STAGING = ".staging"

# Where the sealed blob of an etag lies.
SealedAt = Callable[[str], Path]


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A *commit* and the etag of every file in it, by path."""

    commit: str
    files: Mapping[str, str]


def folder_name(repo: RepoRef) -> str:
    """As huggingface_hub names it."""
    return "--".join([repo.type, *repo.id.split("/")])


def publish(folder: Path, snapshot: Snapshot, sealed_at: SealedAt) -> int:
    """Put *snapshot* into *folder*, unless it is there; the bytes that had to be copied for it.

    Raises OSError; what was made before is taken away by `withdraw`.
    """
    target = folder / "snapshots" / snapshot.commit
    if target.is_dir():
        return 0
    for made in (folder.parent, folder, folder / "blobs", folder / "snapshots", folder / "refs"):
        _make_folder(made)
    staging = folder / _STAGING
    shutil.rmtree(staging, ignore_errors=True)
    _make_folder(staging)
    try:
        copied = sum(
            _bring(sealed_at(etag), folder / "blobs" / etag, staging / etag)
            for etag in set(snapshot.files.values())
        )
        whole = staging / "snapshot"
        _make_folder(whole)
        for path, etag in snapshot.files.items():
            link = whole / path
            for parent in reversed(link.relative_to(whole).parents[:-1]):
                _make_folder(whole / parent)
            link.symlink_to(Path(*[".."] * (path.count("/") + 2), "blobs", etag))
        whole.rename(target)
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    return copied


def mend(folder: Path, etags: Iterable[str], sealed_at: SealedAt) -> int:
    """Bring anew what is lost, or older than the cache's own blob, which was repaired then; how many.

    Raises OSError.
    """
    mended = 0
    for etag in etags:
        sealed, target = sealed_at(etag), folder / "blobs" / etag
        try:
            ours = sealed.stat()
        except FileNotFoundError:
            continue
        with suppress(FileNotFoundError):
            theirs = target.stat()
            # A copy is younger than what it was made of.
            if theirs.st_mtime_ns >= ours.st_mtime_ns:
                continue
            target.unlink()
        _bring(sealed, target, folder / f"{_STAGING}-{etag}")
        mended += 1
    return mended


def point(folder: Path, revision: str, commit: str) -> None:
    """Let the ref *revision* say *commit*."""
    ref = folder / "refs" / revision
    for parent in reversed(ref.relative_to(folder).parents[:-1]):
        _make_folder(folder / parent)
    # Not beside it: every file there is taken for a ref.
    beside = folder / f"{_STAGING}-ref"
    beside.write_text(commit)
    beside.chmod(_MOUNTED)
    beside.replace(ref)


def drop_refs(folder: Path, revisions: Mapping[str, str]) -> None:
    """Take refs away; those that say something else than we had them say stay."""
    for revision, commit in revisions.items():
        ref = folder / "refs" / revision
        with suppress(OSError):
            if ref.read_text() == commit:
                ref.unlink()
        _drop_empty(ref.parent, above=folder)


def withdraw(folder: Path, snapshots: Mapping[str, Mapping[str, str]], sealed_at: SealedAt) -> None:
    """Take away what `publish` made of these *snapshots*, and folders that are empty then; nothing else."""
    for commit, files in snapshots.items():
        root = folder / "snapshots" / commit
        for path, etag in files.items():
            link = root / path
            with suppress(OSError):
                if os.path.basename(os.readlink(link)) == etag:  # noqa: PTH115, PTH119
                    link.unlink()
            _drop_empty(link.parent, above=folder)
    shutil.rmtree(folder / _STAGING, ignore_errors=True)
    for etag in {etag for files in snapshots.values() for etag in files.values()}:
        (folder / "blobs" / etag).unlink(missing_ok=True)
        with suppress(OSError):
            if (sealed := sealed_at(etag)).stat().st_nlink == 1:
                sealed.chmod(_SEALED)
    for name in ("blobs", "snapshots", "refs"):
        _drop_empty(folder / name, above=folder.parent)


def is_there(folder: Path, revision: str, commit: str) -> bool:
    """Whether the snapshot and its ref are as we made them."""
    ref = folder / "refs" / revision
    return (folder / "snapshots" / commit).is_dir() and (
        revision == commit or (ref.is_file() and ref.read_text() == commit)
    )


def is_foreign(folder: Path) -> bool:
    """Whether something lies there; asked of where we have put nothing."""
    return folder.is_symlink() or (folder.exists() and (not folder.is_dir() or any(folder.iterdir())))


def _bring(sealed: Path, target: Path, beside: Path) -> int:
    """Let *target* be the content of *sealed*, for nothing where that can be; the bytes it cost."""
    if target.exists():
        return 0
    try:
        os.link(sealed, target)
    except OSError as error:
        if error.errno not in _NO_LINK:
            raise
    else:
        target.chmod(_MOUNTED)
        return 0
    with sealed.open("rb") as source, beside.open("wb") as copy:
        size = os.fstat(source.fileno()).st_size
        try:
            fcntl.ioctl(copy.fileno(), _FICLONE, source.fileno())
            size = 0  # Shared until one of them is written, which never happens.
        except OSError:
            shutil.copyfileobj(source, copy, 1 << 20)
    beside.chmod(_MOUNTED)
    beside.replace(target)
    return size


def _make_folder(path: Path) -> None:
    """For everybody to look into, whatever the process's umask."""
    if not path.is_dir():
        path.mkdir(parents=True)
        path.chmod(_FOLDER)


def _drop_empty(path: Path, *, above: Path) -> None:
    """Remove *path* and the folders around it, up to *above* and without it, as far as they are empty."""
    while path != above and path.is_relative_to(above):
        try:
            path.rmdir()
        except FileNotFoundError:
            pass
        except OSError:
            return
        path = path.parent
