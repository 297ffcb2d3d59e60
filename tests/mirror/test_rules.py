import pytest

from dingospeed.mirror.rules import Globs, NodeToken, NodeTokenRule, NotServedHere, RepoRules
from dingospeed.model import Caller, RepoRef

MODEL = RepoRef.parse("models", "org/name")


@pytest.mark.parametrize(
    ("pattern", "matched", "others"),
    [
        ("*", "models/org/name models/gpt2 datasets/org/name", ""),
        ("org/*", "models/org/name datasets/org/x models/Org/Name", "models/organ/name models/gpt2"),
        ("models/org/*", "models/org/name", "datasets/org/name models/orgs/name"),
        ("datasets/**", "datasets/org/name datasets/squad", "models/org/name spaces/org/name"),
        ("datasets/*", "datasets/org/name datasets/squad", "models/org/name"),
        ("gpt2", "models/gpt2 datasets/gpt2", "models/gpt20 models/org/gpt2 models/gpt2/x"),
        ("org/n?me", "models/org/name", "models/org/nme models/org/naame"),
        ("*-gguf", "models/org/x-GGUF", "models/org/x-gguf2"),
        ("o.g/name", "models/o.g/name", "models/org/name"),
    ],
)
def test_globs__pattern__matches_these_repos_only(pattern, matched, others):
    def found(texts):
        repos = [RepoRef.parse(*text.split("/", 1)) for text in texts.split()]
        return [Globs([pattern]).match(repo) for repo in repos]

    assert all(found(matched))
    assert not any(found(others))


def test_globs__none__match_nothing():
    assert not Globs([]).match(MODEL)


def test_served__by_default__is_everything_and_kept():
    rules = RepoRules()

    rules.check_served(MODEL)
    assert rules.is_kept(MODEL)


@pytest.mark.parametrize(
    "lists", [{"deny": ["org/*"]}, {"allow": ["other/*"]}, {"allow": ["org/*"], "deny": ["*/name"]}]
)
def test_served__denied_or_not_allowed__is_refused(lists):
    with pytest.raises(NotServedHere, match=r"^This mirror does not serve this repo$"):
        RepoRules(**lists).check_served(MODEL)


def test_served__may_be_a_denied_repo__is_refused():
    with pytest.raises(NotServedHere):
        RepoRules(deny=["gpt2"]).check_served(
            RepoRef.parse("models", "gpt2/x"), RepoRef.parse("models", "gpt2")
        )


def test_kept__taken_out_or_not_named__is_not():
    assert not RepoRules(no_cache=["org/*"]).is_kept(MODEL)
    assert not RepoRules(cache=["other/*"]).is_kept(MODEL)


@pytest.mark.parametrize(
    ("address", "is_in"),
    [
        ("10.1.2.3", True),
        ("::ffff:10.1.2.3", True),
        ("fd00::7", True),
        ("11.0.0.1", False),
        ("fe80::1", False),
        ("", False),
        ("10.1.2.3, 8.8.8.8", False),
    ],
)
def test_node_token__caller_without_one__by_network(address, is_in):
    rule = NodeTokenRule(Globs(["org/*"]), ("10.0.0.0/8", "fd00::7"))

    assert NodeToken([rule]).stands_in(MODEL, Caller(None, address)) is is_in


def test_node_token__other_repo_own_token_or_no_rule__does_not_stand_in():
    here = Caller(None, "10.0.0.1")
    token = NodeToken([NodeTokenRule(Globs(["models/org/*"]), ("10.0.0.0/8",))])

    assert not token.stands_in(RepoRef.parse("datasets", "org/name"), here)
    assert not token.stands_in(MODEL, Caller("hf_mine", "10.0.0.1"))
    assert not NodeToken().stands_in(MODEL, here)
