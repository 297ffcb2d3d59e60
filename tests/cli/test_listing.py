"""`dingospeed ls` and `du`: what is there, and what it takes."""

import json
from functools import partial

import pytest

from dingospeed.cli.exits import Exit
from tests.cache import COMMIT, Cache, content

A, B, C, D = (content(100_000, seed) for seed in range(4))
HOUR = 3600


@pytest.fixture
def cache(tmp_path):
    """org/one of A and B, both here; org/two of B and C, with C half-filled; and D of no repo."""
    cache = Cache(tmp_path / "repos")
    cache.repo("org/one", {"a.bin": A, "folder/b.bin": B})
    cache.repo("org/two", {"b.bin": B, "c.bin": C}, type="datasets")
    for each in (A, B, D):
        cache.blob(each, unused=3 * HOUR)
    cache.half_filled(C, held=65_536)
    return cache


@pytest.fixture
def run(cache, invoke):
    return partial(invoke, cache)


def test_ls__all__tells_what_is_complete_and_when_it_was_used(run):
    ran = run("ls")

    assert ran.exit_code == Exit.OK
    one = next(line for line in ran.output.splitlines() if "models/org/one" in line)
    assert one.split() == [
        "models/org/one",
        COMMIT[:12],
        "main",
        "2/2",
        "200.0",
        "kB",
        "200.0",
        "kB",
        "3",
        "h",
    ]
    two = next(line for line in ran.output.splitlines() if "datasets/org/two" in line)
    assert "1/2" in two


def test_ls__json__has_every_commit(run):
    [one] = json.loads(run("ls", "org/one", "--json").stdout)

    assert one["repo"] == "models/org/one"
    [commit] = one["commits"]
    assert (commit["commit"], commit["revisions"], commit["is_complete"]) == (COMMIT, ["main"], True)
    assert commit["held_bytes"] == commit["size_bytes"] == 200_000


def test_ls__files__each_with_its_share(run):
    rows = json.loads(run("ls", "datasets/org/*", "--files", "--json").stdout)

    assert [(row["path"], row["held_bytes"]) for row in rows] == [("b.bin", 100_000), ("c.bin", 65_536)]
    shown = run("ls", "datasets/org/*", "--files").output
    assert "100 %" in shown
    assert "65 %" in shown


def test_ls__nothing_matches__code_1(run):
    assert run("ls", "org/none").exit_code == Exit.NOT_ALL_WELL


def test_du__shared_content__counts_for_both_and_is_of_neither(run):
    told = json.loads(run("du", "--json").stdout)

    one, two = (next(row for row in told["repos"] if row["repo"].endswith(name)) for name in ("one", "two"))
    blob = one["own_bytes"]
    assert one["disk_bytes"] == 2 * blob >= 200_000
    assert two["own_bytes"] == told["partial_bytes"] > 0
    assert told["orphan_bytes"] == blob
    assert told["cache_bytes"] == 3 * blob + told["partial_bytes"]


def test_du__for_people__the_largest_first_and_the_sum(run):
    lines = run("du").output.splitlines()

    assert "models/org/one" in lines[1]
    assert "datasets/org/two" in lines[2]
    assert any("of no repo" in line for line in lines)
    assert "are free" in lines[-1]


@pytest.mark.parametrize("command", ["ls", "du", "verify", "pins"])
def test_command__no_cache__code_3_and_none_is_made(run, tmp_path, command):
    ran = run(command, "--repos", str(tmp_path / "nowhere"))

    assert ran.exit_code == Exit.FAILED
    assert not (tmp_path / "nowhere").exists()


@pytest.mark.parametrize("arguments", [("ls",), ("ls", "--files"), ("du",), ("verify",), ("pins",)])
def test_command__only_looks__changes_nothing(cache, run, arguments):
    before = cache.files()

    run(*arguments)

    assert cache.files() == before
