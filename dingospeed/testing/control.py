"""The fake's switches over HTTP, for when it runs as a program: everything under ``/-/``.

These requests are not counted, and no fault meets them.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from dingospeed.testing.answers import send_json
from dingospeed.testing.wire import Reply, Request

if TYPE_CHECKING:
    from dingospeed.testing.fake import FakeHub
    from dingospeed.testing.faults import Fault

CONTROL_PREFIX = "/-/"

HELP = """\
switches, on the Hub's port:
  GET    /-/counters        calls and bytes so far
  GET    /-/calls           the calls one by one
  POST   /-/reset           forget the calls
  GET    /-/faults          the faults there are
  POST   /-/faults          {"where": "cdn", "kind": "cut", "after": 1000000, "times": 1, "path": "bin$"}
  DELETE /-/faults          behave again
  DELETE /-/faults/<number> take one fault away
"""


class Control:
    """Turns requests into verbs of a FakeHub."""

    def __init__(self, hub: FakeHub) -> None:
        self._hub = hub

    def answer(self, request: Request) -> Reply:
        name, _, number = request.path.removeprefix(CONTROL_PREFIX).partition("/")
        match request.method, name:
            case "GET", "counters":
                return send_json(self._counters())
            case "GET", "calls":
                return send_json([asdict(call) for call in self._hub.calls])
            case "POST", "reset":
                self._hub.reset_counters()
                return send_json({})
            case "GET", "faults":
                return send_json([_described(fault) for fault in self._hub.faults])
            case "POST", "faults":
                return self._set_fault(request)
            case "DELETE", "faults":
                return self._remove_faults(number)
        return send_json({"error": "no such switch", "help": HELP.splitlines()}, 404)

    def _counters(self) -> dict[str, Any]:
        calls = self._hub.calls
        return {
            "calls": len(calls),
            "by_kind": Counter(call.kind for call in calls),
            "by_status": Counter(str(call.status) for call in calls),
            "bytes_sent": {"hub": self._hub.bytes_sent("hub"), "cdn": self._hub.bytes_sent("cdn")},
            "leaks": len(self._hub.leaks),
        }

    def _set_fault(self, request: Request) -> Reply:
        try:
            given = json.loads(request.body)
            fault = self._hub.fault(**given)
        except (ValueError, TypeError) as error:
            return send_json({"error": str(error)}, 400)
        return send_json(_described(fault), 201)

    def _remove_faults(self, number: str) -> Reply:
        if not number:
            self._hub.clear_faults()
            return send_json({})
        chosen = [fault for fault in self._hub.faults if str(fault.number) == number]
        for fault in chosen:
            fault.remove()
        return send_json({}, 200 if chosen else 404)


def _described(fault: Fault) -> dict[str, Any]:
    names = ("number", "where", "path", "method", "times", "skip", "hits")
    described = {name: getattr(fault, name) for name in names}
    return {**described, "kind": fault.name, **asdict(fault.kind)}
