"""Decisions: how long they hold, where they are kept, and how a refusal looks."""

import pytest

from dingospeed.errors import (
    Forbidden,
    GatedRepo,
    InvalidCredentials,
    LineFailed,
    NoLine,
    Offline,
    RepoNotFound,
)
from dingospeed.mirror.access import Access
from dingospeed.mirror.decisions import AccessTimes, Decisions
from dingospeed.mirror.metadata import Metadata
from dingospeed.mirror.questions import Questions
from dingospeed.mirror.rules import Globs, NodeToken, NodeTokenRule
from dingospeed.model import Caller, RepoRef
from tests.mirror.conftest import MOST_DENIALS

REPO = RepoRef.parse("models", "org/name")
ANN = Caller("hf_ann", "10.0.0.1")
NOBODY = Caller(None, "10.0.0.1")
INFO = r"/api/models/org/name$"
CHECK = r"/auth-check$"


@pytest.fixture
def make_access(parts, lines, documents, layout, absences, denials):
    def make(*, allowed_s=300, denied_s=60, grace_s=1000, rules=()):
        node_token = NodeToken([NodeTokenRule(Globs(repos), networks) for repos, networks in rules])
        asking = {**parts, "questions": Questions(lines=lines, node_token=node_token)}
        return Access(
            metadata=Metadata(**asking, absences=absences, ttl_s=3600),
            together=asking["together"],
            questions=asking["questions"],
            decisions=Decisions(
                documents=documents,
                layout=layout,
                denials=denials,
                salt=b"salt",
                times=AccessTimes(allowed_s, denied_s, grace_s),
            ),
            node_token=node_token,
        )

    return make


def tell(lines, *, private=False, gated=False):
    lines.answers(INFO, {"id": "org/name", "sha": "a" * 40, "private": private, "gated": gated})


def checks(lines):
    return len([path for path in lines.asked if path.endswith("/auth-check")])


def kept(layout):
    return [path for path in (layout.root / "access").rglob("*") if path.is_file()]


def test_files__of_a_public_repo__nobody_is_asked_about_the_caller(make_access, lines):
    tell(lines)
    access = make_access()

    for caller in (ANN, NOBODY):
        assert access.to_files(REPO, caller).is_public
    assert checks(lines) == 0


def test_yes__within_its_time__is_asked_once_and_known_to_other_workers(make_access, lines):
    tell(lines, gated="auto")
    lines.answers(CHECK, text="OK")

    for access in (make_access(), make_access()):
        access.to_files(REPO, ANN)
        access.to_files(REPO, ANN)

    assert checks(lines) == 1


def test_yes__on_disk__without_the_token(make_access, lines, layout):
    tell(lines, gated="auto")
    lines.answers(CHECK, text="OK")

    make_access().to_files(REPO, ANN)

    (document,) = kept(layout)
    assert "ann" not in f"{document.name} {document.read_text()}"


def test_yes__revoked__is_noticed_when_its_time_is_over_and_not_trusted_again(make_access, lines, layout):
    tell(lines, gated="auto")
    lines.answers(CHECK, text="OK")
    access = make_access(allowed_s=0)
    access.to_files(REPO, ANN)

    lines.answers(CHECK, status=403, headers={"X-Error-Code": "GatedRepo"})
    with pytest.raises(GatedRepo):
        access.to_files(REPO, ANN)
    lines.fails(CHECK, LineFailed("a", "is gone"))

    with pytest.raises(LineFailed):
        make_access(allowed_s=0, denied_s=0).to_files(REPO, ANN)
    assert kept(layout) == []


def test_yes__nobody_can_be_asked__holds_for_the_time_of_grace(make_access, lines):
    tell(lines, gated="auto")
    lines.answers(CHECK, text="OK")
    make_access().to_files(REPO, ANN)
    lines.fails(CHECK, LineFailed("a", "is gone"))

    make_access(allowed_s=0).to_files(REPO, ANN)

    with pytest.raises(LineFailed):
        make_access(allowed_s=0, grace_s=0).to_files(REPO, ANN)
    with pytest.raises(LineFailed):
        make_access(allowed_s=0).to_files(REPO, Caller("hf_bob"))


@pytest.mark.parametrize("is_private", [True, False])
def test_offline__never_let_in__is_refused_without_a_word_about_private_repos(make_access, lines, is_private):
    tell(lines, private=is_private, gated="auto")
    lines.fails(CHECK, Offline())

    with pytest.raises(Offline if is_private else Forbidden):
        make_access().to_files(REPO, ANN)


@pytest.mark.parametrize("status", [401, 403, 404])
def test_no__within_its_time__is_asked_once(make_access, lines, status):
    tell(lines, gated="auto")
    lines.answers(CHECK, status=status)
    access = make_access()

    for _ in range(3):
        with pytest.raises(GatedRepo):
            access.to_files(REPO, ANN)

    assert checks(lines) == 1


def test_no__time_is_over__is_asked_again_and_may_be_a_yes(make_access, lines):
    tell(lines, gated="auto")
    lines.answers(CHECK, status=403)
    access = make_access(denied_s=0)
    with pytest.raises(GatedRepo):
        access.to_files(REPO, ANN)

    lines.answers(CHECK, text="OK")

    access.to_files(REPO, ANN)


def test_no__to_any_number_of_tokens__only_the_latest_are_kept(make_access, lines, layout):
    tell(lines, gated="auto")
    lines.answers(CHECK, status=401, headers={"X-Error-Message": "Invalid credentials in x"})
    access = make_access()

    for number in [*range(2 * MOST_DENIALS), 2 * MOST_DENIALS - 1]:
        with pytest.raises(InvalidCredentials):
            access.to_files(REPO, Caller(f"hf_made_up_{number}"))

    assert checks(lines) == 2 * MOST_DENIALS
    assert kept(layout) == []
    denials = layout.shelf("denials", "0" * 64).parents[1]
    assert 0 < len(list(denials.rglob("*.json"))) <= MOST_DENIALS


def test_no__to_one_worker__is_known_to_the_others(make_access, lines):
    tell(lines, gated="auto")
    lines.answers(CHECK, status=403)

    for _ in range(2):
        with pytest.raises(GatedRepo):
            make_access().to_files(REPO, ANN)

    assert checks(lines) == 1


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ({"status": 401}, RepoNotFound),
        ({"status": 404}, RepoNotFound),
        ({"status": 403, "headers": {"X-Error-Code": "GatedRepo"}}, RepoNotFound),
        ({"status": 401, "headers": {"X-Error-Message": "Invalid credentials in Au"}}, InvalidCredentials),
    ],
)
def test_refusal__of_a_private_repo__looks_as_if_it_were_not_there(make_access, lines, told, expected):
    tell(lines, private=True)
    lines.answers(CHECK, **told)
    access = make_access()

    for _ in range(2):
        with pytest.raises(expected) as caught:
            access.to_listing(REPO, ANN)
        assert caught.value.status == (401 if expected is InvalidCredentials else 404)


def test_refusal__of_the_anonymous_at_a_gate__is_401_and_nobody_is_asked(make_access, lines):
    tell(lines, gated="auto")

    with pytest.raises(GatedRepo) as caught:
        make_access(rules=[(["org/*"], ("192.168.0.0/16",))]).to_files(REPO, NOBODY)

    assert caught.value.status == 401
    assert checks(lines) == 0


@pytest.fixture
def held_private(make_access, lines):
    """A private repo that is held here, because somebody was let in."""
    tell(lines, private=True)
    lines.answers(CHECK, text="OK")
    make_access().to_listing(REPO, ANN)
    lines.asked.clear()
    return REPO


def test_private__asked_for_by_the_anonymous__hub_says_no_once_for_all_workers(
    make_access, lines, held_private
):
    lines.answers(INFO, status=401)

    for _ in range(2):
        with pytest.raises(RepoNotFound) as caught:
            make_access().to_files(held_private, NOBODY)
        assert caught.value.status == 401

    assert lines.asked == ["/api/models/org/name"]


def test_private__asked_for_by_the_anonymous_while_nobody_answers__as_if_it_were_not_held(
    make_access, lines, held_private
):
    lines.fails(r"/api/models/org/", NoLine())

    for repo in (held_private, RepoRef.parse("models", "org/none")):
        with pytest.raises(NoLine):
            make_access().to_files(repo, NOBODY)


def test_private__is_public_by_now__is_given_to_the_anonymous_at_once(make_access, lines, held_private):
    tell(lines)

    make_access().to_files(held_private, NOBODY)


def test_node_token__stands_in__decision_is_the_hubs_and_holds_like_others(make_access, lines, layout):
    tell(lines, private=True)
    lines.answers(CHECK, text="OK")
    rules = [(["org/*"], ("10.0.0.0/8",))]
    make_access(rules=rules).to_files(REPO, NOBODY)
    lines.fails(CHECK, NoLine())
    lines.answers(INFO, status=401)

    make_access(rules=rules, allowed_s=0).to_files(REPO, NOBODY)

    assert len(kept(layout)) == 1
    for access, caller in (
        (make_access(), NOBODY),
        (make_access(rules=rules), Caller(None, "11.0.0.1")),
    ):
        with pytest.raises(RepoNotFound) as caught:
            access.to_files(REPO, caller)
        assert caught.value.status == 401


def test_node_token__has_no_right_either__anonymous_callers_are_told_as_anonymous(make_access, lines):
    tell(lines, gated="auto")
    lines.answers(CHECK, status=403, headers={"X-Error-Code": "GatedRepo"})
    access = make_access(rules=[(["*"], ("0.0.0.0/0",))])

    for _ in range(2):
        with pytest.raises(GatedRepo) as caught:
            access.to_files(REPO, NOBODY)
        assert caught.value.status == 401
    assert checks(lines) == 1
