"""`dingospeed clean` and the pins, on a cache without a server."""

import json
import os
from functools import partial

import pytest

from dingospeed.cli.exits import Exit
from dingospeed.flight.leases import Leases
from tests.cache import COMMIT, Cache, content, etag_of

DAY = 86400
A, B, C, D = (content(100_000, seed) for seed in range(4))


@pytest.fixture
def cache(tmp_path):
    """Two repos: org/one of A and B, org/two of B and C. A is longest unused, C longest here."""
    cache = Cache(tmp_path / "repos")
    cache.repo("org/one", {"a.bin": A, "folder/b.bin": B})
    cache.repo("org/two", {"b.bin": B, "c.bin": C}, type="datasets")
    for age, each in ((3, A), (2, B), (1, C)):
        cache.blob(each, unused=age * DAY, age=(8 - age) * DAY)
    return cache


@pytest.fixture
def run(cache, invoke):
    return partial(invoke, cache)


def test_clean__limit__the_longest_unused_go(cache, run):
    ran = run("clean", "--limit", "210KB", "--yes")

    assert ran.exit_code == Exit.OK
    assert cache.blobs() == {etag_of(B), etag_of(C)}
    assert "models/org/one a.bin" in ran.output
    assert "3 d" in ran.output
    assert "for space" in ran.output


def test_clean__first_in_first_out__the_first_to_come_goes(cache, run):
    assert run("clean", "--strategy", "fifo", "--limit", "210KB", "--yes").exit_code == Exit.OK

    assert cache.blobs() == {etag_of(A), etag_of(B)}


def test_clean__dry_run__changes_nothing(cache, run):
    cache.leftover(f"{etag_of(D)}.damaged-1", unused=30 * DAY)
    before = cache.files()

    ran = run("clean", "--limit", "0", "--dry-run")

    assert ran.exit_code == Exit.OK
    assert "4 files" in ran.output
    assert cache.files() == before


def test_clean__asked__goes_on_with_yes_only(cache, run):
    no = run("clean", "--limit", "0", given="n\n")
    assert (no.exit_code, len(cache.blobs())) == (Exit.NOT_ALL_WELL, 3)

    yes = run("clean", "--limit", "0", given="y\n")

    assert (yes.exit_code, cache.blobs()) == (Exit.OK, set())
    assert "3 files deleted" in yes.output


def test_clean__share_of_the_disk_shall_be_free__all_goes_and_code_tells_that_it_is_too_little(cache, run):
    ran = run("clean", "--free", "100%", "--yes")

    assert ran.exit_code == Exit.NOT_ALL_WELL
    assert cache.blobs() == set()
    assert "too little" in ran.output


def test_clean__older_than__only_what_is(cache, run):
    assert run("clean", "--older-than", "36h", "--yes").exit_code == Exit.OK

    assert cache.blobs() == {etag_of(C)}


def test_clean__repo__goes_with_its_documents_and_without_what_others_have(cache, run):
    ran = run("clean", "--repo", "datasets/org/two", "--yes")

    assert ran.exit_code == Exit.OK
    assert cache.blobs() == {etag_of(A), etag_of(B)}


def test_clean__nothing_left_of_a_repo__its_documents_follow(cache, run):
    access = cache.root / "access" / "models" / "org" / "one"
    access.mkdir(parents=True)
    (access / "x.json").write_text("{}")

    assert run("clean", "--limit", "110KB", "--yes").exit_code == Exit.OK

    assert cache.blobs() == {etag_of(C)}
    assert not (cache.root / "api" / "models" / "org" / "one").exists()
    assert not access.exists()
    assert (cache.root / "api" / "datasets" / "org" / "two" / "trees" / f"{COMMIT}.json").exists()


def test_clean__repo_of_which_nothing_was_here__keeps_its_documents(cache, run):
    cache.repo("org/seen", {"d.bin": D})

    run("clean", "--limit", "0", "--yes")

    assert (cache.root / "api" / "models" / "org" / "seen" / "visibility.json").exists()


def test_clean__keep__stays(cache, run):
    assert run("clean", "--limit", "0", "--keep", "org/one", "--yes").exit_code == Exit.NOT_ALL_WELL

    assert cache.blobs() == {etag_of(A), etag_of(B)}


def test_clean__of_no_repo__goes_first(cache, run):
    cache.blob(D)

    assert run("clean", "--limit", "320KB", "--yes").exit_code == Exit.OK

    assert etag_of(D) not in cache.blobs()
    assert len(cache.blobs()) == 3


def test_clean__mounted__stays(cache, run, tmp_path):
    os.link(cache.layout.sealed(etag_of(A)), tmp_path / "mounted")

    assert run("clean", "--limit", "0", "--yes").exit_code == Exit.NOT_ALL_WELL

    assert cache.blobs() == {etag_of(A)}


def test_clean__leftovers__go_by_age_and_foreign_files_never(cache, run):
    old = [
        cache.leftover(f"{etag_of(D)}.partial", unused=8 * DAY),
        cache.leftover(f"{etag_of(D)}.damaged-1700000000", unused=8 * DAY),
        cache.leftover(f"{etag_of(D)}.partial.17-99.new", unused=8 * DAY),
    ]
    kept = [
        cache.leftover(f"{etag_of(C)}.partial", unused=6 * DAY),
        cache.leftover(f"{etag_of(C)}.partial.damaged-1", unused=6 * DAY),
        cache.leftover("README", unused=99 * DAY),
    ]

    assert run("clean", "--older-than", "90d", "--yes").exit_code == Exit.OK

    assert not any(path.exists() for path in old)
    assert all(path.exists() for path in kept)


def test_clean__settings_say__down_to_their_low_mark(cache, run):
    marks = {"DINGOSPEED_CLEANING__HIGH_WATER": "90%", "DINGOSPEED_CLEANING__LOW_WATER": "80%"}
    sizes = {"DINGOSPEED_CLEANING__HIGH_WATER": "500GB", "DINGOSPEED_CLEANING__LOW_WATER": "110KB"}

    assert run("clean", "--yes", **marks).exit_code in (Exit.OK, Exit.NOT_ALL_WELL)
    ran = run("clean", "--yes", "--json", **sizes)

    assert ran.exit_code == Exit.OK
    assert cache.blobs() <= {etag_of(C)}


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        ((), "--limit, --free, --older-than or --repo"),
        (("--limit", "1GB", "--free", "1GB"), "choose one"),
        (("--limit", "much"), "a share of the disk"),
        (("--free", "200%"), "a share of the disk"),
        (("--older-than", "soon"), 'such as "30d"'),
        (("--repo", "a b"), '"org/name"'),
        (("--strategy", "RANDOM"), "large_first"),
        (("--limit", "0", "--json"), "--yes or --dry-run"),
    ],
)
def test_clean__options_make_no_sense__code_2_and_nothing_is_done(cache, run, arguments, why):
    ran = run("clean", *arguments)

    assert ran.exit_code == Exit.WRONG_USE
    assert why in ran.output
    assert len(cache.blobs()) == 3


def test_clean__json__tells_all_of_it(cache, run):
    told = json.loads(run("clean", "--limit", "210KB", "--json", "--dry-run").stdout)

    [planned] = told["planned"]
    assert (planned["repo"], planned["path"], planned["why"]) == ("models/org/one", "a.bin", "for space")
    assert planned["name"] == etag_of(A)
    assert told["freed_bytes"] == planned["disk_bytes"] >= 100_000
    assert told["dry_run"] is True


def test_clean__no_cache_there__code_3_and_none_is_made(run, tmp_path):
    ran = run("clean", "--limit", "0", "--yes", "--repos", str(tmp_path / "nowhere"))

    assert ran.exit_code == Exit.FAILED
    assert "there is no cache at" in ran.output
    assert not (tmp_path / "nowhere").exists()


def test_clean__another_at_work__leaves_it_to_that_one(cache, run):
    lease = Leases(path_of=cache.layout.lease).try_acquire("cleaning")

    assert lease is not None
    with lease:
        ran = run("clean", "--limit", "0", "--yes")

    assert ran.exit_code == Exit.FAILED
    assert "another cleaning" in ran.output
    assert len(cache.blobs()) == 3


def test_pin__repo__stays_until_unpinned(cache, run):
    assert run("pin", "org/one").exit_code == Exit.OK
    assert run("clean", "--limit", "0", "--yes").exit_code == Exit.NOT_ALL_WELL
    assert cache.blobs() == {etag_of(A), etag_of(B)}

    assert run("unpin", "org/one").exit_code == Exit.OK
    assert run("clean", "--limit", "0", "--yes").exit_code == Exit.OK
    assert cache.blobs() == set()


def test_pin__revision__only_its_files_stay(cache, run):
    cache.repo("org/one", {"d.bin": D}, commit="2" * 40, revision="old")
    cache.blob(D, unused=9 * DAY)

    run("pin", "models/org/*", "--revision", "old")
    run("clean", "--limit", "0", "--yes")

    assert cache.blobs() == {etag_of(D)}


def test_pins__some__are_listed(run):
    run("pin", "org/one", "datasets/**")
    run("pin", "org/one", "--revision", "refs/pr/1")

    assert json.loads(run("pins", "--json").stdout) == [
        {"repos": "datasets/**", "revision": None},
        {"repos": "org/one", "revision": None},
        {"repos": "org/one", "revision": "refs/pr/1"},
    ]
    assert "refs/pr/1" in run("pins").output


def test_unpin__not_pinned__code_1(run):
    ran = run("unpin", "org/one")

    assert ran.exit_code == Exit.NOT_ALL_WELL
    assert "org/one is not pinned" in ran.output


def test_pin__no_pattern_of_repos__code_2(run):
    assert run("pin", "../../etc").exit_code == Exit.WRONG_USE


def test_clean__a_pin_is_damaged__nothing_goes(cache, run):
    run("pin", "org/one")
    [path] = (cache.root / "pins").iterdir()
    path.write_text("{")

    ran = run("clean", "--limit", "0", "--yes")

    assert ran.exit_code == Exit.FAILED
    assert "can not be read" in ran.output
    assert len(cache.blobs()) == 3
