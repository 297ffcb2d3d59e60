"""What a fault can do, whichever it is: meet a request, or spoil a finished answer.

The fields of a kind are the arguments of the fault.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from dingospeed.testing.wire import Reply, Request

# Waits that many seconds, less when the fault is removed meanwhile.
Wait = Callable[[float], object]


@dataclass(frozen=True)
class FaultKind:
    """Does nothing. The two questions are asked first; only a yes counts as a hit."""

    def spoils_request(self, request: Request) -> bool:
        return False

    def on_request(self, request: Request, wait: Wait) -> Request | Reply:
        return request

    def spoils_reply(self, request: Request, reply: Reply) -> bool:
        return False

    def on_reply(self, reply: Reply, wait: Wait) -> None:
        return


class RequestKind(FaultKind):
    def spoils_request(self, request: Request) -> bool:
        return True


class ReplyKind(FaultKind):
    def spoils_reply(self, request: Request, reply: Reply) -> bool:
        return reply.has_body and reply.length > 0
