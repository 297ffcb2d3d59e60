import ast
import re
from pathlib import Path

import pytest

from tests.clients import expectations
from tests.clients.roster import CLIENTS

PROGRAMS = Path(__file__).with_name("programs")
TASKS = sorted({(task.program, task.name) for client in CLIENTS for task in client.tasks})


def functions_of(program):
    """The tasks a program knows, without running it: what it imports is not installed here."""
    path = PROGRAMS / f"{program}.py"
    if path.exists():
        return {node.name for node in ast.parse(path.read_text()).body if isinstance(node, ast.FunctionDef)}
    text = path.with_suffix(".mjs").read_text()
    return set(re.findall(r"^  async (\w+)\(\) \{", text, re.MULTILINE))


@pytest.mark.parametrize(("program", "name"), TASKS)
def test_task__any__is_a_function_of_its_program(program, name):
    assert name in functions_of(program)


def test_clients__all__have_repos_of_their_own():
    slugs = [client.slug for client in CLIENTS]

    assert len(set(slugs)) == len(slugs)
    assert not [slug for slug in slugs if re.search(r"[^a-z0-9.-]|--|\.\.|^[-.]|[-.]$", slug)]


def test_clients__in_the_quick_run__cover_every_generation():
    """What tells generations apart: how they find files, Xet, the library they speak HTTP with."""
    quick = {client.name for client in CLIENTS if client.is_quick}

    assert quick >= {
        "huggingface_hub 0.20.3",
        "huggingface_hub 0.26.5",
        "huggingface_hub 0.33.5 + hf_xet",
        "huggingface_hub 0.36.2 + hf_xet",
        "huggingface_hub 1.0.1",
        "huggingface_hub 1.28.0 + hf_xet",
        "huggingface_hub newest + hf_xet",
        "curl",
        "git",
    }


@pytest.mark.parametrize(("client", "task"), expectations.EXPECTED_FAILURES)
def test_expected_failure__any__is_of_a_cell_there_is(client, task):
    keys = {(one.name, its.key) for one in CLIENTS for its in one.tasks}

    assert any(expectations.why_not(*key) == expectations.EXPECTED_FAILURES[client, task] for key in keys)
