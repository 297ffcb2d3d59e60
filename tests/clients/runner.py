"""Runs cells: one task by one client, in a process and with a cache of its own, against one mirror."""

from __future__ import annotations

import json
import os
import queue
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Literal

from dingospeed.testing import Call, FakeHub
from tests.clients.environments import PROJECT, Builder, Environment, NoEnvironment, NotInstalled
from tests.clients.expectations import is_tolerated, why_not
from tests.clients.guard import HOOKS, Guard
from tests.clients.repos import TOKENS, Shown, add_repos
from tests.clients.roster import Client
from tests.clients.tasks import Task
from tests.harness import Mirror

Status = Literal["ok", "fails", "not applicable"]
SETTLE_S = 10
# A program that is not done by then hangs; on a slow machine most are long before.
LIMIT_S = 180
# To ask for the first byte is a way to learn how many there are.
PROBES_BYTES = 16
# Packages with which a client fetches by Xet what is offered so.
SPEAK_XET = {"hf_xet", "@huggingface/hub"}
MIRROR_AGENT = "dingospeed/"
# As the documentation recommends, so that clients keep quiet about other things than files.
# Xet stays on: the mirror has to keep clients from it by itself.
CLIENT_ENVIRON = {
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_HUB_DISABLE_UPDATE_CHECK": "1",
    "HF_UPDATE_DOWNLOAD_COUNTS": "0",
}
QUIET = {
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "PYTHONDONTWRITEBYTECODE": "1",
    "TRANSFORMERS_VERBOSITY": "error",
}


@dataclass(frozen=True, slots=True)
class Cell:
    """How a task went. *reason* is one line: why it failed, or why it does not apply."""

    client: str
    task: str
    title: str
    status: Status
    reason: str = ""
    seconds: float = 0.0

    @property
    def is_surprise(self) -> bool:
        return self.status == "fails" and why_not(self.client, self.task) is None


@dataclass
class ClientRun:
    """A client on its way through the grid."""

    client: Client
    shown: Shown
    versions: dict[str, str] = field(default_factory=dict)
    environment: Environment | None = None
    building: Future[Environment] | None = None
    cells: list[Cell] = field(default_factory=list)


class Outcome(Exception):
    """How a program ended that did not simply succeed."""

    def __init__(self, status: Status, reason: str) -> None:
        super().__init__(reason)
        self.status, self.reason = status, reason


class Grid:
    """All clients against one *mirror* of one *hub*; as many at once as there are *guards*.

    What programs said is kept below *logs*, their caches are not.
    """

    def __init__(
        self,
        *,
        hub: FakeHub,
        mirror: Mirror,
        guards: Sequence[Guard],
        folder: Path,
        logs: Path,
        wants: Callable[[Task], bool],
        tell: Callable[[Cell], None],
    ) -> None:
        self._hub = hub
        self._mirror = mirror
        self._folder = folder
        self._logs = logs
        self._wants = wants
        self._tell = tell
        self._builder = Builder()
        self._count = len(guards)
        self._guards: queue.Queue[Guard] = queue.Queue()
        for guard in guards:
            self._guards.put(guard)

    def run(self, clients: Sequence[Client]) -> list[ClientRun]:
        """All their cells, those with the Hub away at the end. The Hub is stopped then."""
        runs = [
            ClientRun(client, add_repos(self._hub, client.slug, seed)) for seed, client in enumerate(clients)
        ]
        # Made while others already run: it is the network that is waited for.
        with ThreadPoolExecutor(self._count) as builders:
            for run in runs:
                run.building = builders.submit(self._builder.build, run.client)
            self._for_all(runs, self._run_there)
        self._hub.stop()
        self._for_all(runs, self._run_away)
        return runs

    def _for_all(self, runs: Iterable[ClientRun], act: Callable[[ClientRun, Guard], None]) -> None:
        def one(run: ClientRun) -> None:
            guard = self._guards.get()
            try:
                act(run, guard)
            finally:
                self._guards.put(guard)

        with ThreadPoolExecutor(self._count) as pool:
            list(pool.map(one, runs))

    def _run_there(self, run: ClientRun, guard: Guard) -> None:
        tasks = self._tasks(run.client, "there")
        assert run.building is not None
        try:
            run.environment = run.building.result()
        except NotInstalled as error:
            self._same_for(run, tasks, "not applicable", str(error))
            return
        except NoEnvironment as error:
            self._same_for(run, tasks, "fails", f"could not be installed: {error}")
            return
        run.versions = run.environment.versions
        for task in tasks:
            self._note(run, task, partial(self._there, run, task, guard))

    def _run_away(self, run: ClientRun, guard: Guard) -> None:
        for task in self._tasks(run.client, "away"):
            if run.environment is not None:
                self._note(run, task, partial(self._program, run, task, guard, "away"))

    def _tasks(self, client: Client, phase: str) -> list[Task]:
        return [task for task in client.tasks if task.phase == phase and self._wants(task)]

    def _same_for(self, run: ClientRun, tasks: Sequence[Task], status: Status, reason: str) -> None:
        for task in tasks:
            self._add(run, Cell(run.client.name, task.key, task.title, status, reason))

    def _note(self, run: ClientRun, task: Task, act: Callable[[], None]) -> None:
        began = time.monotonic()
        status: Status = "ok"
        reason = ""
        try:
            act()
        except Outcome as outcome:
            status, reason = outcome.status, _in_general(outcome.reason, run.shown.org)
        seconds = time.monotonic() - began
        self._add(run, Cell(run.client.name, task.key, task.title, status, reason, seconds))

    def _add(self, run: ClientRun, cell: Cell) -> None:
        run.cells.append(cell)
        self._tell(cell)

    # --- one cell --------------------------------------------------------------------

    def _there(self, run: ClientRun, task: Task, guard: Guard) -> None:
        """Once with what the mirror has so far, once when it has all."""
        self._program(run, task, guard, "first")
        begun = self._settled(run.shown)
        self._program(run, task, guard, "second")
        asked = [call for call in self._calls(run.shown)[begun:] if not _is_allowed(call, task)]
        if asked:
            first = f"{asked[0].method} {asked[0].path}{'?' if asked[0].query else ''}{asked[0].query}"
            more = f" and {len(asked) - 1} more" if asked[1:] else ""
            raise Outcome("fails", f"done again, it still asks the Hub: {first}{more}")

    def _program(self, run: ClientRun, task: Task, guard: Guard, which: str) -> None:
        """Raises Outcome unless the program succeeds and speaks to the mirror only."""
        assert run.environment is not None
        folder = self._folder / run.client.slug / f"{task.key}-{which}"
        (folder / "home").mkdir(parents=True)
        case = folder / "case.json"
        endpoint = f"http://{guard.address}:{self._mirror.port}"
        told = {
            "endpoint": endpoint,
            "tokens": TOKENS,
            "folder": str(folder),
            "repos": run.shown.described(),
            "admin": (self._mirror.repos / "keys" / "admin").read_text().strip(),
        }
        case.write_text(json.dumps(told))
        log = self._logs / run.client.slug / f"{task.key}-{which}.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        notes = folder / "egress"
        environ = {
            **_clean_environ(),
            **CLIENT_ENVIRON,
            **QUIET,
            **guard.environ(notes),
            "PATH": run.environment.path,
            "PYTHONPATH": f"{HOOKS}:{PROJECT}",
            "HF_ENDPOINT": endpoint,
            "HF_HOME": str(folder / "huggingface"),
            "HOME": str(folder / "home"),
            "GRID_MODULES": str(run.environment.modules),
        }
        command = _command(run, task, case)
        said = _finish(guard.command(command), environ, folder, log)
        went = [to for to in guard.take(notes) if not is_tolerated(run.client.name, to)]
        shutil.rmtree(folder, ignore_errors=True)
        if went:
            raise Outcome("fails", f"goes past the mirror, to {', '.join(went[:3])}")
        if "failed" in said:
            again = "" if which == "first" else {"second": "done again: ", "away": ""}[which]
            raise Outcome("fails", again + said["failed"])
        if "not_applicable" in said:
            raise Outcome("not applicable", said["not_applicable"])

    def _calls(self, shown: Shown) -> list[Call]:
        """What the Hub was asked about the repos of a client."""
        marks = (f"/{shown.org}/", *(repo.object_id for repo in shown.repos.values()))
        return [
            call
            for call in self._hub.calls
            if any(mark in call.path for mark in marks) or f"author={shown.org}" in call.query
        ]

    def _settled(self, shown: Shown) -> int:
        """The number of calls, when none is under way any more."""
        deadline = time.monotonic() + SETTLE_S
        while any(call.ended is None for call in self._calls(shown)) and time.monotonic() < deadline:
            time.sleep(0.05)
        return len(self._calls(shown))


def _in_general(reason: str, org: str) -> str:
    """Without what is different in the next run or for the next client, and would make two reasons of one."""
    for expression, general in (
        (r"http://[\d.]+:\d+", ""),
        (rf"(?<=[/=]){re.escape(org)}\b", "org"),
        (r"\b[0-9a-f]{40}\b", "<sha>"),
        (r"\b[0-9a-f]{64}\b", "<hash>"),
        (r"\.? Request ID: .*", ""),
        (r"\b\d+(\.\d+){3}\b", "<mirror>"),
    ):
        reason = re.sub(expression, general, reason)
    return reason


def _is_allowed(call: Call, task: Task) -> bool:
    return any(part in call.path for part in task.may_ask)


def _command(run: ClientRun, task: Task, case: Path) -> list[str]:
    assert run.environment is not None
    if run.client.kind == "node":
        return ["node", str(PROJECT / f"tests/clients/programs/{task.program}.mjs"), task.name, str(case)]
    return [
        str(run.environment.python),
        "-m",
        f"tests.clients.programs.{task.program}",
        task.name,
        str(case),
    ]


def _finish(command: list[str], environ: dict[str, str], folder: Path, log: Path) -> dict[str, str]:
    """What the program said in its last line. All it said goes to *log*."""
    with log.open("wb") as file:
        process = subprocess.Popen(
            command,
            env=environ,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=file,
            start_new_session=True,
        )
        try:
            out, _ = process.communicate(timeout=LIMIT_S)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
            return {"failed": f"not done within {LIMIT_S} s"}
        file.write(out)
    lines = out.decode(errors="replace").strip().splitlines()
    try:
        said = json.loads(lines[-1])
    except (IndexError, ValueError):
        said = None
    if not isinstance(said, dict):
        return {"failed": f"ended with {process.returncode} and without a word"}
    return {str(name): str(value) for name, value in said.items()}


def _clean_environ() -> dict[str, str]:
    """Ours, without what would speak to the clients."""
    spoken = ("HF_", "HUGGING", "DINGO", "PYTHON", "PIP_", "GIT_", "NODE_", "NPM_", "VIRTUAL_ENV", "UV_")
    return {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(spoken) and not name.lower().endswith("_proxy")
    }


def what_the_hub_saw(hub: FakeHub, log: str, runs: Sequence[ClientRun]) -> list[Cell]:
    """What must be true of the whole run, whoever the clients were."""
    sent_twice = [
        f"{path} of {repo.id}"
        for run in runs
        for repo in run.shown.repos.values()
        for path, entry in repo.at("main").entries.items()
        if entry.is_lfs and hub.bytes_sent("cdn", entry.xet_hash) > entry.size + PROBES_BYTES
    ]
    strangers = {call.user_agent or "nobody" for call in hub.calls} - {
        call.user_agent for call in hub.calls if (call.user_agent or "").startswith(MIRROR_AGENT)
    }
    chatter = [call.path for call in hub.calls if call.route in ("agent-harnesses", "telemetry")]
    traces = log.count("Traceback (most recent call last)")
    claims = (
        ("one_copy", "each LFS file was fetched once from outside", sent_twice),
        ("no_stranger", "nobody but the mirror spoke to the Hub", sorted(strangers)),
        ("no_leak", "no token was shown to the CDN", [call.path for call in hub.leaks]),
        ("no_chatter", "telemetry and the like stayed inside", chatter),
        ("no_trace", "the mirror's log has no stack trace", [f"{traces} of them"] if traces else []),
    )
    return [
        Cell("all of them", name, title, "fails" if found else "ok", _some(found))
        for name, title, found in claims
    ]


def who_spoke_xet(log: str, runs: Sequence[ClientRun]) -> Iterator[Cell]:
    """Of each client that knows Xet, to whom all is offered by Xet, that it fetched so."""
    for run in runs:
        if set(run.versions) & SPEAK_XET:
            etag = run.shown.repos["model"].sha256("model.safetensors")
            has_spoken = f"/-/xet/blocks/{etag}/" in log
            status: Status = "ok" if has_spoken else "fails"
            yield Cell(
                run.client.name, "by_xet", "fetched by Xet", status, "" if has_spoken else "not by Xet"
            )


def _some(found: Sequence[str]) -> str:
    return ", ".join(found[:3]) + (f" and {len(found) - 3} more" if len(found) > 3 else "")
