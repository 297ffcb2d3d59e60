"""A mirror that runs, and the command line in a process of its own."""

import json
import os
import subprocess
import sys

import pytest
from click.testing import CliRunner

from dingospeed.cli import main
from dingospeed.testing import FakeHub
from tests.harness import PATIENCE_S, PROGRAM, mirrors_in


class Ran:
    """A command that has ended."""

    def __init__(self, done):
        self.code = done.returncode
        self.out = done.stdout
        self.err = done.stderr

    @property
    def json(self):
        return json.loads(self.out)

    def __repr__(self):
        return f"<{self.code}\n{self.out}\n{self.err}>"


@pytest.fixture(scope="session")
def run_command():
    """``run_command("ls", "--repos", folder)``, in a process without any setting of ours."""

    def run(*arguments, given="", **environ):
        kept = {name: value for name, value in os.environ.items() if not name.startswith("DINGO")}
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM, *map(str, arguments)],
            env={**kept, **environ},
            input=given,
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )
        assert "Traceback" not in done.stderr, done.stderr
        return Ran(done)

    return run


@pytest.fixture
def invoke(monkeypatch, tmp_path):
    """``invoke(cache, "ls")``, in this process; without settings but for the cache's place."""
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith(("DINGO", "HF_"))]:
        monkeypatch.delenv(name)

    def invoke(cache, *arguments, given=None, **environ):
        env = {"DINGOSPEED_CACHE__REPOS": str(cache.root), **environ}
        return CliRunner().invoke(main, list(arguments), env=env, input=given, catch_exceptions=False)

    return invoke


@pytest.fixture(scope="module")
def hub():
    with FakeHub() as hub:
        yield hub


@pytest.fixture(scope="module")
def mirror(hub, tmp_path_factory):
    with mirrors_in(tmp_path_factory.mktemp("mirrors")) as make:
        yield make(hub)
