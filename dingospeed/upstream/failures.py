"""Foreign exceptions put in a few words of ours.

Their own texts hold whole URLs, signatures included, so none of them is passed on.
"""

from __future__ import annotations

import http.client
import ssl
from collections.abc import Iterator

from urllib3 import exceptions as urllib3

# The first kind found anywhere among an error's causes names it; the specific go first.
_WORDS: tuple[tuple[type[BaseException] | tuple[type[BaseException], ...], str], ...] = (
    (urllib3.ProxyError, "its proxy failed"),
    (ssl.SSLCertVerificationError, "its certificate is not trusted"),
    ((urllib3.SSLError, ssl.SSLError), "TLS failed"),
    (urllib3.NameResolutionError, "its name was not found"),
    (urllib3.NewConnectionError, "no connection"),
    (urllib3.ConnectTimeoutError, "no connection in time"),
    (urllib3.ReadTimeoutError, "nothing came in time"),
    ((urllib3.IncompleteRead, http.client.IncompleteRead), "the body ended early"),
    (http.client.RemoteDisconnected, "it hung up without an answer"),
    ((ConnectionResetError, BrokenPipeError), "the connection was reset"),
    (TimeoutError, "nothing came in time"),
    (urllib3.DecodeError, "the body could not be decoded"),
    ((urllib3.ProtocolError, http.client.HTTPException), "it broke the protocol"),
    (OSError, "the connection broke"),
)
_DROPPED = (http.client.RemoteDisconnected, ConnectionResetError, BrokenPipeError)


def why(error: BaseException) -> str:
    """What happened, without a word of the library's own message."""
    causes = list(_causes(error))
    for kind, words in _WORDS:
        if any(isinstance(cause, kind) for cause in causes):
            return words
    return type(error).__name__


def was_dropped(error: BaseException) -> bool:
    """Whether an established connection was gone, as kept ones are after a pause."""
    causes = list(_causes(error))
    return any(isinstance(cause, _DROPPED) for cause in causes) and not any(
        isinstance(cause, urllib3.NewConnectionError | urllib3.ProxyError) for cause in causes
    )


def _causes(error: BaseException) -> Iterator[BaseException]:
    """*error* and all it was raised from, however the library chained them."""
    seen: list[BaseException] = []
    waiting: list[object] = [error]
    while waiting:
        cause = waiting.pop(0)
        if isinstance(cause, BaseException) and cause not in seen:
            seen.append(cause)
            yield cause
            waiting += [cause.__cause__, cause.__context__, getattr(cause, "reason", None), *cause.args]
