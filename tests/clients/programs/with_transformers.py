"""Tasks for the transformers library, without any framework to compute with."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import urllib.request
from typing import Any

from transformers import AutoConfig, AutoTokenizer  # type: ignore[import-not-found]

from tests.clients.programs.case import Case, Repo, equal, main

PATIENCE_S = 60


def config(case: Case) -> None:
    check_config(case["model"].id)


def tokenizer(case: Case) -> None:
    check_tokenizer(case["model"].id)


def mounted(case: Case) -> None:
    """In a clean process that has nothing but the public directory."""
    public = _mount(case, case["model"])
    model = case["model"].id
    code = f"from {__spec__.name} import *; check_config({model!r}); check_tokenizer({model!r})"
    kept = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
    environ = {**kept, "HF_HUB_OFFLINE": "1", "HF_HUB_CACHE": public, "HF_ENDPOINT": "http://127.0.0.1:9"}
    subprocess.run([sys.executable, "-c", code], env=environ, check=True)


def check_config(model: str) -> None:
    found = AutoConfig.from_pretrained(model)
    equal((found.model_type, found.vocab_size), ("bert", 3), "config")


def check_tokenizer(model: str) -> None:
    found = AutoTokenizer.from_pretrained(model)
    equal(found("Hello unknown world")["input_ids"], [1, 0, 2], "tokens")


def _mount(case: Case, repo: Repo) -> str:
    """Have *repo* mounted; the public directory, once it is there."""
    wanted = {"repo": repo.id}
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        told = _ask(case, wanted)
        if any(each["repo"] == repo.id and each["commit"] == repo.sha for each in told["mounts"]):
            return str(told["public"])
        time.sleep(0.2)
    raise AssertionError(f"never mounted: {told}")


def _ask(case: Case, wanted: dict[str, str]) -> dict[str, Any]:
    headers = {"Authorization": f"Bearer {case.admin}", "Content-Type": "application/json"}
    request = urllib.request.Request(
        f"{case.endpoint}/-/mounts", data=json.dumps(wanted).encode(), headers=headers
    )
    with urllib.request.urlopen(request, timeout=PATIENCE_S) as answer:
        told: dict[str, Any] = json.load(answer)
        return told


TASKS = (config, tokenizer, mounted)

if __name__ == "__main__":
    main({task.__name__: task for task in TASKS})
