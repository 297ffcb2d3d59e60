"""No space left: the system's words for it, turned into ours."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager

from dingospeed.errors import StoreFull

NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@contextmanager
def full_disk_is_ours() -> Iterator[None]:
    """Raises StoreFull for what the system says when a disk or a quota is full."""
    try:
        yield
    except OSError as error:
        if error.errno in NO_SPACE:
            raise StoreFull(f"no space for the cache: {os.strerror(error.errno)}") from error
        raise
