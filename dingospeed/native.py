"""Work that would stall the event loop, done in a native thread.

Under the gevent worker every thread is a greenlet, and whoever computes or waits for
the disk holds up all others. What runs here must not touch locks, queues or sockets
made by patched modules: plain file descriptors, bytes and hashes only.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


def run(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """What *function* returns or raises; other greenlets go on meanwhile.

    Without gevent the function is simply called.
    """
    if "gevent.monkey" not in sys.modules:
        return function(*args, **kwargs)
    from gevent import get_hub, monkey

    if not monkey.is_module_patched("threading"):
        return function(*args, **kwargs)
    result: T = get_hub().threadpool.apply(function, args, kwargs)
    return result
