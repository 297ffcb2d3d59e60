"""Tasks for programs that come with the system: curl, wget, aria2c, git."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from urllib.parse import quote

from tests.clients.programs.case import Case, Repo, equal, main, same_files, sha256

WEIGHTS = "model.safetensors"
ODD = "nested/with space + #1 100%.txt"
PART_BYTES = 5_000_001


def curl_whole(case: Case) -> None:
    model = case["model"]
    for path in model.files():
        target = case.folder / path.replace("/", "_")
        _run("curl", "-fsSL", "-o", target, _url(case, model, path))
        equal(sha256(target), model.files()[path], path)


def curl_resume(case: Case) -> None:
    target = _begun(case)
    _run("curl", "-fsSL", "-C", "-", "-o", target, _url(case, case["model"], WEIGHTS))
    _is_complete(case, target)


def curl_complete(case: Case) -> None:
    target = _begun(case, is_complete=True)
    # 416 is what the Hub says to that, too; curl takes it for done.
    _run("curl", "-sSL", "-C", "-", "-o", target, _url(case, case["model"], WEIGHTS))
    _is_complete(case, target)


def curl_gated(case: Case) -> None:
    gated, target = case["gated"], case.folder / "secret"
    url = _url(case, gated, "secret.bin")
    for token, status in ((None, "401"), (case.other, "403"), (case.granted, "200")):
        bearer = ["-H", f"Authorization: Bearer {token}"] if token else []
        told = _run("curl", "-sSL", *bearer, "-o", target, "-w", "%{http_code}", url)
        equal(told, status, f"status with token {token}")
    equal(sha256(target), gated.files()["secret.bin"], "the file with the right token")


def wget_resume(case: Case) -> None:
    target = _begun(case)
    _run("wget", "-nv", "-c", "-O", target, _url(case, case["model"], WEIGHTS))
    _is_complete(case, target)


def wget_complete(case: Case) -> None:
    target = _begun(case, is_complete=True)
    _run("wget", "-nv", "-c", "-O", target, _url(case, case["model"], WEIGHTS))
    _is_complete(case, target)


def aria2_parallel(case: Case) -> None:
    _aria2(case, WEIGHTS, "parallel")
    _is_complete(case, case.folder / "parallel")
    _aria2(case, ODD, "odd")
    equal(sha256(case.folder / "odd"), case["model"].files()[ODD], ODD)


def aria2_resume(case: Case) -> None:
    target = _begun(case)
    _aria2(case, WEIGHTS, target.name)
    _is_complete(case, target)


def _aria2(case: Case, path: str, name: str) -> None:
    command = ("aria2c", "-q", "-c", "-x4", "-s4", "-k1M", "--no-conf", "-d", case.folder, "-o", name)
    _run(*command, _url(case, case["model"], path))


def git_clone_model(case: Case) -> None:
    _clone(case, case["model"])


def git_clone_dataset(case: Case) -> None:
    _clone(case, case["dataset"])


def _clone(case: Case, repo: Repo) -> None:
    _run("git", "lfs", "install", "--skip-repo")
    target = case.folder / "clone"
    prefix = "" if repo.type == "models" else f"{repo.type}/"
    _run("git", "-c", "credential.helper=", "clone", "-q", f"{case.endpoint}/{prefix}{repo.id}", target)
    same_files(target, repo.files())
    head = _run("git", "-C", target, "rev-parse", "HEAD").strip()
    equal(head, repo.sha, "HEAD")


def _begun(case: Case, *, is_complete: bool = False) -> Path:
    """A download that was broken off, or was not."""
    whole, target = case.folder / "whole", case.folder / WEIGHTS
    _run("curl", "-fsS", "-o", whole, _url(case, case["model"], WEIGHTS))
    content = whole.read_bytes()
    target.write_bytes(content if is_complete else content[:PART_BYTES])
    return target


def _is_complete(case: Case, path: Path) -> None:
    equal(sha256(path), case["model"].files()[WEIGHTS], WEIGHTS)


def _url(case: Case, repo: Repo, path: str) -> str:
    prefix = "" if repo.type == "models" else f"{repo.type}/"
    return f"{case.endpoint}/{prefix}{repo.id}/resolve/main/{quote(path)}"


def _run(*command: str | Path) -> str:
    environ = {**os.environ, "GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C.UTF-8"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environ)
    sys.stderr.write(f"$ {' '.join(map(str, command))}\n{done.stdout}{done.stderr}")
    said = [line.strip() for line in (done.stderr or done.stdout).splitlines() if line.strip()]
    reason = said[-1] if said else "it said nothing"
    assert done.returncode == 0, f"{command[0]} ended with {done.returncode}: {reason}"
    return done.stdout


TASKS = (
    curl_whole,
    curl_resume,
    curl_complete,
    curl_gated,
    wget_resume,
    wget_complete,
    aria2_parallel,
    aria2_resume,
    git_clone_model,
    git_clone_dataset,
)

if __name__ == "__main__":
    main({task.__name__: task for task in TASKS})
