"""A mirror that runs, and the command line in a process of its own."""

import json
import os
import subprocess
import sys

import pytest

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


@pytest.fixture(scope="module")
def hub():
    with FakeHub() as hub:
        yield hub


@pytest.fixture(scope="module")
def mirror(hub, tmp_path_factory):
    with mirrors_in(tmp_path_factory.mktemp("mirrors")) as make:
        yield make(hub)
