import hashlib

import pytest

from dingospeed.testing import File, Generated
from dingospeed.testing.repos import Repo


@pytest.fixture
def repo():
    return Repo("models", "org/name")


def test_commit__same_files__has_the_sha_git_gives_it(repo):
    sha = repo.commit({"a": b"hello\n", "sub.txt": b"hello\n", "sub/x": b"hello\n"}, message="first words")

    assert repo.at(sha).trees[""] == "b41100e821a3279216d003921eeaeb9ae87f3fbf"
    assert sha == "de25964bd4bf881168ab30ce0411fd6c653ebdd2"


def test_commit__in_two_repos__has_two_shas(repo):
    other = Repo("models", "org/other")

    assert repo.commit({"a": b"x"}) != other.commit({"a": b"x"})


def test_commit__on_top_of_another__keeps_changes_and_deletes(repo):
    first = repo.commit({"kept": b"1", "changed": b"1", "gone": b"1"})

    second = repo.commit({"changed": b"2", "new": b"2"}, delete=["gone"])

    assert repo.files() == ["changed", "kept", "new"]
    assert repo.content("changed") == b"2"
    assert repo.content("changed", revision=first) == b"1"
    assert repo.at(second).changed == {"kept": first, "changed": second, "new": second}


def test_commit__delete_what_is_not_there__raises(repo):
    repo.commit({"a": b"1"})

    with pytest.raises(KeyError):
        repo.commit({}, delete=["b"])


def test_commit__on_another_branch__leaves_main_alone(repo):
    first = repo.commit({"a": b"1"})
    repo.branch("dev", first)

    repo.commit({"a": b"2"}, branch="dev")

    assert repo.content("a") == b"1"
    assert repo.content("a", revision="dev") == b"2"


@pytest.mark.parametrize(
    ("content", "is_lfs"),
    [
        (b"small", False),
        (b"x" * (1 << 20), False),
        (b"x" * ((1 << 20) + 1), True),
        (Generated(10), True),
        (File(b"small", lfs=True), True),
        (File(b"x" * 2_000_000, lfs=False), False),
    ],
)
def test_commit__content_by_size_and_wish__is_lfs_or_not(repo, content, is_lfs):
    repo.commit({"file": content})

    assert repo.entry("file").is_lfs == is_lfs


def test_commit__threshold_of_the_repo_lowered__small_files_are_lfs(repo):
    repo.lfs_threshold_bytes = 3

    repo.commit({"abc": b"abc", "abcd": b"abcd"})

    assert [repo.entry(path).is_lfs for path in repo.files()] == [False, True]


def test_etag__of_plain_and_lfs_file__is_git_sha1_and_sha256(repo):
    repo.commit({"plain": b"hello\n", "lfs": File(b"hello\n", lfs=True)})

    assert repo.etag("plain") == "ce013625030ba8dba906f756967f9e9ca394464a"
    assert repo.etag("lfs") == hashlib.sha256(b"hello\n").hexdigest() == repo.sha256("plain")


def test_find__every_form_of_revision__gives_the_commit(repo):
    sha = repo.commit({"a": b"1"})
    repo.tag("v1", sha)
    repo.branch("feature/x", sha)
    repo.pull_request(3, sha)
    repo.convert("parquet", sha)

    forms = [
        "main",
        "HEAD",
        "v1",
        "feature/x",
        "refs/pr/3",
        "refs/convert/parquet",
        "refs/heads/main",
        sha,
        sha[:7],
    ]

    assert [repo.at(form).sha for form in forms] == [sha] * len(forms)


@pytest.mark.parametrize("revision", ["nope", "", "0" * 40, "refs/pr/3"])
def test_find__unknown_revision__gives_none(repo, revision):
    repo.commit({"a": b"1"})

    assert repo.find(revision) is None


def test_find__too_few_digits_of_a_sha__gives_none(repo):
    sha = repo.commit({"a": b"1"})

    assert repo.find(sha[:6]) is None


def test_listing__recursive__has_directories_in_the_order_of_git(repo):
    sha = repo.commit({"b/c/x": b"", "b.txt": b"", "b/a": b"", "a": b""})

    assert repo.at(sha).listing("", recursive=True) == ["a", "b.txt", "b", "b/a", "b/c", "b/c/x"]
    assert repo.at(sha).listing("b", recursive=True) == ["b/a", "b/c", "b/c/x"]


def test_listing__of_one_folder__has_only_what_is_directly_in_it(repo):
    sha = repo.commit({"b/c/x": b"", "b/a": b"", "a": b""})

    assert repo.at(sha).listing("", recursive=False) == ["a", "b"]
    assert repo.at(sha).listing("b", recursive=False) == ["b/a", "b/c"]
    assert repo.at(sha).listing("nope", recursive=False) is None


@pytest.mark.parametrize("path", ["", "/a", "a/"])
def test_commit__path_of_no_file__is_refused(repo, path):
    with pytest.raises(ValueError, match="not the path"):
        repo.commit({path: b""})
