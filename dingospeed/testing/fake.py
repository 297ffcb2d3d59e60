"""A Hub to test against: its two servers, what was asked of them, and how they misbehave.

with FakeHub() as hub:
    repo = hub.add_repo("models", "org/name")
    repo.commit({"config.json": b"{}", "model.safetensors": Generated(200_000_000)})
    hub.fault("cdn", "cut", after=1_000_000, times=1)
    ...                                     # ask hub.url, as one would https://huggingface.co
    assert hub.bytes_sent(host="cdn") == 200_000_000
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType

from dingospeed.testing.access import name_of_caller
from dingospeed.testing.answers import (
    Moved,
    Refusal,
    send_redirect,
    send_refusal,
    send_text,
    too_many_requests,
    with_hub_headers,
)
from dingospeed.testing.api import Api
from dingospeed.testing.cdn import Cdn
from dingospeed.testing.content import Content, User
from dingospeed.testing.control import CONTROL_PREFIX, Control
from dingospeed.testing.counters import Call, Counters, Host
from dingospeed.testing.faultkinds import KINDS
from dingospeed.testing.faults import Fault, FaultBook, meet_reply, meet_request
from dingospeed.testing.files import Files
from dingospeed.testing.gitserver import GitServer
from dingospeed.testing.mischief import FaultKind
from dingospeed.testing.ratelimits import RateLimits
from dingospeed.testing.registry import Registry
from dingospeed.testing.repos import Gated, Repo
from dingospeed.testing.routes import git_route, kind_of
from dingospeed.testing.signing import Signer
from dingospeed.testing.wire import Listener, Reply, Request

INDEX = "This is a fake Hub, there is nothing to see. Its switches are under /-/.\n"


@dataclass(frozen=True, slots=True)
class Address:
    """Where to listen; port 0 takes a free one, and keeps it over stop() and start().

    *name* stands for *host* in the addresses that are given out.
    """

    host: str = "127.0.0.1"
    port: int = 0
    cdn_port: int = 0
    name: str | None = None


class FakeHub:
    """One line to the Hub. With the *content* of another it shows the same repos and users.

    Counters, faults, rate limits and signed addresses are each line's own.
    """

    def __init__(self, content: Content | None = None, *, address: Address = Address()) -> None:
        self.content = content if content is not None else Content()
        self.rate_limits = RateLimits()
        self._name = address.name or address.host
        self._counters = Counters()
        self._book = FaultBook()
        signer = Signer()
        self._api = Api(self.content, lambda: self.url)
        self._files = Files(self.content, signer, hub_url=lambda: self.url, cdn_url=lambda: self.cdn_url)
        self._git = GitServer(self.content, signer, cdn_url=lambda: self.cdn_url)
        self._registry = Registry(self.content, signer, cdn_url=lambda: self.cdn_url)
        self._cdn = Cdn(self.content, signer)
        self._control = Control(self)
        self._hub_listener = Listener(self._at_hub, host=address.host, port=address.port)
        self._cdn_listener = Listener(self._at_cdn, host=address.host, port=address.cdn_port)

    # --- running -----------------------------------------------------------------

    def start(self) -> FakeHub:
        """Listen. After stop(): on the ports of before."""
        try:
            self._hub_listener.start()
            self._cdn_listener.start()
        except OSError:
            self.stop()
            raise
        return self

    def stop(self) -> None:
        """Refuse connections, and break those there are."""
        self._hub_listener.stop()
        self._cdn_listener.stop()

    def __enter__(self) -> FakeHub:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self.clear_faults()
        self.stop()

    @property
    def url(self) -> str:
        """``http://host:port``; known from the first start() on."""
        return f"http://{self._name}:{self._hub_listener.port}"

    @property
    def cdn_url(self) -> str:
        return f"http://{self._name}:{self._cdn_listener.port}"

    # --- content -----------------------------------------------------------------

    def add_repo(self, type: str, id: str, *, private: bool = False, gated: Gated = False) -> Repo:
        """A repo of *type* models, datasets, spaces or kernels, without a commit yet."""
        return self.content.add_repo(type, id, private=private, gated=gated)

    def move(self, type: str, old: str, new: str) -> None:
        """From now on *old* is answered by a redirect to *new*."""
        self.content.move(type, old, new)

    def add_user(self, name: str, *, token: str) -> User:
        return self.content.add_user(name, token=token)

    # --- what was asked ------------------------------------------------------------

    @property
    def calls(self) -> list[Call]:
        """All calls since the last reset, in the order they came in."""
        return self._counters.calls

    def select(
        self,
        *,
        kind: str | None = None,
        route: str | None = None,
        method: str | None = None,
        host: Host | None = None,
        path_contains: str | None = None,
        status: int | None = None,
    ) -> list[Call]:
        """The calls for which everything given is true."""
        return [
            call
            for call in self.calls
            if kind in (None, call.kind)
            and route in (None, call.route)
            and method in (None, call.method)
            and host in (None, call.host)
            and status in (None, call.status)
            and (path_contains is None or path_contains in call.path)
        ]

    def count(
        self,
        kind: str | None = None,
        method: str | None = None,
        path_contains: str | None = None,
        route: str | None = None,
    ) -> int:
        return len(self.select(kind=kind, method=method, path_contains=path_contains, route=route))

    def bytes_sent(self, host: Host | None = "cdn", path_contains: str | None = None) -> int:
        """Bytes of body, as far as they were handed to the network; *host* None: of both servers."""
        return sum(call.bytes_sent for call in self.select(host=host, path_contains=path_contains))

    @property
    def leaks(self) -> list[Call]:
        """Calls that showed credentials to the CDN."""
        return [call for call in self.select(host="cdn") if call.authorization]

    def reset_counters(self) -> None:
        self._counters.reset()

    # --- misbehaviour ----------------------------------------------------------------

    def fault(
        self,
        where: str,
        kind: str,
        *,
        path: str | None = None,
        method: str | None = None,
        times: int | None = None,
        skip: int = 0,
        **arguments: object,
    ) -> Fault:
        """Misbehave from now on; *kind* and its *arguments* are those of faultkinds.KINDS.

        *where* is "any", "hub", "cdn", "api", "resolve", "resolve-cache", "registry" or "git". *path* is a
        regular expression to be found in the decoded path. Ends after *times* hits, begins after *skip*.

        Raises ValueError for a kind or place there is not, TypeError for arguments that do not fit.
        """
        if kind not in KINDS:
            raise ValueError(f"{kind!r} is none of {', '.join(KINDS)}")
        make: Callable[..., FaultKind] = KINDS[kind]
        fault = Fault(where, kind, make(**arguments), path=path, method=method, times=times, skip=skip)
        return self._book.add(fault)

    @property
    def faults(self) -> list[Fault]:
        """Those that can still be hit."""
        return self._book.faults

    def clear_faults(self) -> None:
        """Behave; whoever is being held up goes on."""
        self._book.clear()

    # --- answering -------------------------------------------------------------------

    def _at_hub(self, request: Request) -> Reply:
        if request.raw_path.startswith(CONTROL_PREFIX):
            return self._control.answer(request)
        kind = kind_of(request.raw_path)
        call = self._note(request, "hub", kind)
        if kind == "api":
            call.route = self._api.route_of(request)
        elif git := git_route(request.raw_path):
            call.route = git.name
        return self._answer(request, call, self._answer_as_hub)

    def _at_cdn(self, request: Request) -> Reply:
        call = self._note(request, "cdn", "cdn")
        return self._answer(request, call, lambda asked, _: self._cdn.answer(asked))

    def _note(self, request: Request, host: Host, kind: str) -> Call:
        call = Call(
            host=host,
            kind=kind,
            method=request.method,
            path=request.path,
            query=request.query,
            range=request.header("Range"),
            authorization=name_of_caller(self.content, request),
            user_agent=request.header("User-Agent"),
        )
        self._counters.add(call)
        return call

    def _answer(self, request: Request, call: Call, answer: Callable[[Request, Call], Reply]) -> Reply:
        faults = self._book.at(call.kind, request)
        outcome = meet_request(faults, request, call.faults)
        reply = outcome if isinstance(outcome, Reply) else answer(outcome, call)
        reply.has_body = request.method != "HEAD" and reply.status not in (204, 304)
        meet_reply(faults, request, reply, call.faults)

        def on_sent(count: int) -> None:
            call.bytes_sent += count

        def on_end() -> None:
            call.ended = time.time()

        reply.on_sent, reply.on_end = on_sent, on_end
        call.status = reply.status
        return reply

    def _answer_as_hub(self, request: Request, call: Call) -> Reply:
        bucket = {"api": "api", "resolve": "resolvers", "raw": "resolvers"}.get(call.kind)
        told, wait_s = self.rate_limits.take(bucket, call.authorization) if bucket else ({}, None)
        try:
            if wait_s is not None:
                raise too_many_requests(wait_s)
            if call.kind == "other":
                reply = send_text(INDEX, 200 if request.path == "/" else 404)
            elif call.kind == "git":
                reply = self._git.answer(request)
            elif call.kind == "registry":
                reply = self._registry.answer(request)
            else:
                reply = (self._api if call.kind == "api" else self._files).answer(request)
        except Refusal as refusal:
            reply = send_refusal(refusal, as_json=call.kind in ("api", "registry"))
        except Moved as moved:
            reply = send_redirect(307, moved.location)
        reply.headers.update(told)
        return with_hub_headers(reply, request)
