from __future__ import annotations

import logging
import time

import pytest

from dingospeed.errors import InvalidCredentials, LineFailed, NoLine, Offline, RateLimited
from dingospeed.upstream.health import Health
from dingospeed.upstream.lines import PROBE_PATH, Line, Lines

PATH = "/api/models/gpt2"


@pytest.fixture
def build(kit):
    """Lines named as told, each with a server of its own: ``(lines, servers)``."""
    made = []

    def build(*names, hubs=(), probe_s=1000.0, failures_to_down=2):
        servers = {name: kit.server() for name in names}
        lines = [
            Line(
                name,
                kit.client(servers[name].url, name=name, is_hub=name in hubs, read_s=1.0),
                Health(
                    clock=kit.clock,
                    probe_s=probe_s,
                    failures_to_down=failures_to_down,
                    jitter=lambda: 0.0,
                ),
                name in hubs,
            )
            for name in names
        ]
        made.append(Lines(lines=lines))
        return made[-1], servers

    yield build
    for lines in made:
        lines.close()


def names(candidates):
    return [line.name for line in candidates]


def bring_down(kit, lines, name):
    line = next(line for line in lines.candidates(token=False) if line.name == name)
    for _ in range(2):
        kit.clock.forward(2)
        lines.report(line, LineFailed(name, "broken"))
    return line


def wait_until(condition):
    end = time.monotonic() + 10
    while not condition() and time.monotonic() < end:
        time.sleep(0.01)
    assert condition()


# --- candidates ----------------------------------------------------------------


def test_candidates__all_healthy__configured_order(build):
    lines, _ = build("a", "b", "c")

    assert names(lines.candidates(token=False)) == ["a", "b", "c"]


@pytest.mark.parametrize(("start", "order"), [(1, "bca"), (2, "cab"), (3, "abc"), (4, "bca")])
def test_candidates__start__turns_the_order(build, start, order):
    lines, _ = build("a", "b", "c")

    assert names(lines.candidates(token=False, start=start)) == list(order)


def test_candidates__with_a_token__the_hub_comes_first(build):
    lines, _ = build("a", "hub", hubs=["hub"])

    assert names(lines.candidates(token=True)) == ["hub", "a"]
    assert names(lines.candidates(token=False)) == ["a", "hub"]


def test_candidates__one_failed_just_now__comes_last_for_a_while(kit, build):
    lines, _ = build("a", "b", probe_s=10.0)

    lines.report(lines.candidates(token=False)[0], LineFailed("a", "broken"))
    soon = names(lines.candidates(token=False))
    kit.clock.forward(11)

    assert soon == ["b", "a"]
    assert names(lines.candidates(token=False)) == ["a", "b"]


def test_candidates__one_down__is_left_out(kit, build):
    lines, _ = build("a", "b")

    bring_down(kit, lines, "a")

    assert names(lines.candidates(token=False)) == ["b"]


def test_candidates__one_limits_our_rate__is_left_out_until_its_time(kit, build):
    lines, _ = build("a", "b")

    lines.report(lines.candidates(token=False)[0], RateLimited("a", 30.0))
    meanwhile = names(lines.candidates(token=False))
    kit.clock.forward(30)

    assert meanwhile == ["b"]
    assert names(lines.candidates(token=False)) == ["a", "b"]


def test_candidates__offline__none():
    assert Lines(lines=[]).candidates(token=False, start=3) == []


# --- ask -----------------------------------------------------------------------


@pytest.mark.parametrize("status", [200, 206, 302, 307, 400, 401, 403, 404, 410, 416, 451])
def test_ask__an_answer__ends_the_question(kit, build, status):
    lines, servers = build("a", "b")
    servers["a"].on(PATH, kit.answer(status, b"{}"))

    line, answer = lines.ask("GET", PATH)

    assert (line.name, answer.status) == ("a", status)
    assert servers["b"].seen == []
    assert lines.snapshot()[0]["state"] == "healthy"


@pytest.mark.parametrize("status", [407, 408, 429, 500, 502, 503, 504])
def test_ask__a_failing_status__moves_on(kit, build, status):
    lines, servers = build("a", "b")
    servers["a"].on(PATH, kit.answer(status))
    servers["b"].on(PATH, kit.answer(200, b"{}"))

    line, answer = lines.ask("GET", PATH)

    assert (line.name, answer.body) == ("b", b"{}")
    again = lines.candidates(token=False, cost=lambda client: client.budgets_of(PATH, token=None))
    assert names(again)[0] == "b"


@pytest.mark.parametrize("way", ["CUT", "RESET", "STALL"])
def test_ask__a_broken_line__moves_on(kit, build, way):
    lines, servers = build("a", "b")
    servers["a"].on(PATH, (getattr(kit, way),))
    servers["b"].on(PATH, kit.answer(200, b"{}"))

    line, _ = lines.ask("GET", PATH)

    assert line.name == "b"
    assert lines.snapshot()[0]["state"] == "suspect"


def test_ask__post_with_a_body__is_asked_whole_of_the_next(kit, build):
    lines, servers = build("a", "b")
    servers["a"].on(PATH, kit.answer(503))

    lines.ask("POST", PATH, body=b"paths=x", headers={"Content-Type": "a/b"})

    assert servers["b"].seen[0].body == b"paths=x"
    assert servers["b"].seen[0].headers["content-type"] == "a/b"


@pytest.mark.parametrize(
    "page",
    [
        {"body": b"<!doctype html>log in", "Content_Type": "text/html; charset=utf-8"},
        {"body": b"\n <html>", "Content_Type": "application/json"},
    ],
)
def test_ask__a_web_page_in_place_of_json__moves_on(kit, build, page):
    lines, servers = build("a", "b")
    servers["a"].on(PATH, kit.answer(200, **page))
    servers["b"].on(PATH, kit.answer(200, b"{}"))

    line, _ = lines.ask("GET", PATH, expect="json")

    assert line.name == "b"
    assert lines.snapshot()[0]["state"] == "suspect"


def test_ask__a_web_page_where_anything_goes__is_an_answer(kit, build):
    lines, servers = build("a")
    servers["a"].on(PATH, kit.answer(200, b"<html>", Content_Type="text/html"))

    assert lines.ask("GET", PATH)[1].body == b"<html>"


@pytest.mark.parametrize("status", [401, 403, 404])
def test_ask__refused_by_a_line_that_may_not_see_the_token__is_no_answer(kit, build, status):
    lines, servers = build("a", "hub", hubs=["hub"])
    servers["a"].on(PATH, kit.answer(status))
    servers["hub"].on(PATH, kit.answer(503))

    with pytest.raises(NoLine):
        lines.ask("GET", PATH, token="hf_a")

    assert "authorization" not in servers["a"].seen[0].headers
    assert servers["hub"].seen[0].headers["authorization"] == "Bearer hf_a"


def test_ask__refused_by_the_hub__is_the_answer(kit, build):
    lines, servers = build("hub", "a", hubs=["hub"])
    servers["hub"].on(PATH, kit.answer(404))

    line, answer = lines.ask("GET", PATH, token="hf_a")

    assert (line.name, answer.status) == ("hub", 404)
    assert servers["a"].seen == []


def test_ask__given_by_a_line_that_may_not_see_the_token__is_an_answer(kit, build):
    lines, servers = build("a", "hub", hubs=["hub"])
    servers["a"].on(PATH, kit.answer(200, b"{}"))
    servers["hub"].on(PATH, kit.answer(503))

    line, _ = lines.ask("GET", PATH, token="hf_a")

    assert line.name == "a"


def test_ask__all_limit_our_rate__raises_the_shortest_wait(kit, build):
    lines, servers = build("a", "b")
    servers["a"].on(PATH, kit.answer(429, Retry_After="30"))
    servers["b"].on(PATH, kit.answer(429, Retry_After="20"))

    for waited_s, left_s in ((0, 20), (5, 15)):
        kit.clock.forward(waited_s)
        with pytest.raises(RateLimited) as caught:
            lines.ask("GET", PATH)
        assert (caught.value.line, caught.value.wait_s) == ("b", left_s)

    assert len(servers["a"].seen) == len(servers["b"].seen) == 1


def test_ask__one_limits_our_rate_and_one_failed__raises_no_line(kit, build):
    lines, servers = build("a", "b")
    servers["a"].on(PATH, kit.answer(429, Retry_After="30"))
    servers["b"].on(PATH, kit.answer(500))

    with pytest.raises(NoLine):
        lines.ask("GET", PATH)


def test_ask__one_limits_our_rate_and_one_is_down__raises_no_line(kit, build):
    lines, servers = build("a", "b")
    servers["a"].on(PATH, kit.answer(429, Retry_After="30"))
    bring_down(kit, lines, "b")

    with pytest.raises(NoLine):
        lines.ask("GET", PATH)


def test_ask__all_down__raises_at_once(kit, build):
    lines, servers = build("a")
    bring_down(kit, lines, "a")

    with pytest.raises(NoLine):
        lines.ask("GET", PATH)

    assert servers["a"].asked(PATH) == []


def test_ask__no_lines__is_offline():
    with pytest.raises(Offline):
        Lines(lines=[]).ask("GET", PATH)


def test_ask__callers_fault__is_no_failure_of_the_line(build):
    lines, _ = build("a")

    with pytest.raises(InvalidCredentials):
        lines.ask("GET", PATH, token="not a token")

    assert lines.snapshot()[0]["state"] == "healthy"


# --- report and probing --------------------------------------------------------


def test_report__goes_down_and_comes_back__is_logged_once_each(kit, build, caplog):
    caplog.set_level(logging.INFO)
    lines, _ = build("a", "b")

    line = bring_down(kit, lines, "a")
    lines.report(line, LineFailed("a", "broken"))
    lines.report(line, None)
    lines.report(line, None)

    assert [record.message for record in caplog.records] == [
        "line a down after 2 failures, next probe in 1000 s",
        "line a is back",
    ]


def test_probing__line_answers_again__is_back(kit, build):
    lines, servers = build("a", probe_s=1.0)
    servers["a"].on(PROBE_PATH, kit.answer(503), kit.answer(200, b"[]"))
    bring_down(kit, lines, "a")

    kit.clock.forward(1)
    wait_until(lambda: len(servers["a"].seen) == 1 and lines.snapshot()[0]["state"] == "down")
    pause_s = lines.snapshot()[0]["next_probe_s"]
    kit.clock.forward(2)
    wait_until(lambda: lines.snapshot()[0]["state"] == "healthy")

    assert pause_s == 2.0
    assert names(lines.candidates(token=False)) == ["a"]
    assert "authorization" not in servers["a"].seen[0].headers


@pytest.mark.parametrize("status", [200, 302, 401, 403, 404])
def test_probing__any_answer__is_life(kit, build, status):
    lines, servers = build("a", probe_s=1.0)
    servers["a"].on(PROBE_PATH, kit.answer(status))
    bring_down(kit, lines, "a")

    kit.clock.forward(1)

    wait_until(lambda: lines.snapshot()[0]["state"] == "healthy")


@pytest.mark.parametrize(
    "answer",
    [
        {"status": 500},
        {"status": 429, "Retry_After": "100"},
        {"status": 200, "body": b"<html>", "Content_Type": "text/html"},
    ],
)
def test_probing__no_good_answer__stays_down(kit, build, answer):
    lines, servers = build("a", probe_s=1.0)
    servers["a"].on(PROBE_PATH, kit.answer(**answer))
    bring_down(kit, lines, "a")

    kit.clock.forward(1)
    wait_until(lambda: lines.snapshot()[0]["next_probe_s"] == 2.0)

    assert names(lines.candidates(token=False)) == []


def test_probing__one_is_back_and_another_goes_down_later__is_probed_too(kit, build):
    lines, servers = build("a", "b", probe_s=1.0)
    for name in ("a", "b"):
        servers[name].on(PROBE_PATH, kit.answer(200, b"[]"))

    for name in ("a", "b"):
        bring_down(kit, lines, name)
        kit.clock.forward(1)
        wait_until(lambda: names(lines.candidates(token=False)) == ["a", "b"])

    assert len(servers["a"].seen) == len(servers["b"].seen) == 1


def test_snapshot__after_some_use__tells_it_all(kit, build):
    lines, servers = build("a", "hub", hubs=["hub"])
    servers["a"].on(PATH, kit.answer(200, b"{}", RateLimit='"api";r=3;t=5'), kit.answer(502))
    servers["hub"].on(PATH, kit.answer(429, Retry_After="30"))

    lines.ask("GET", PATH)
    with pytest.raises(NoLine):
        lines.ask("GET", PATH)

    budget = {"remaining": 3, "reset_s": 5, "quota": None, "window_s": None, "seen_at": kit.clock()}
    rest = {"failures": 0, "last_error": "", "next_probe_s": None, "aside_s": 0.0, "budgets": {}}
    first = {"name": "a", "is_hub": False, "state": "suspect", "failures": 1, "last_error": "answered 502"}
    second = {"name": "hub", "is_hub": True, "state": "healthy", "aside_s": 30.0}
    seen = lines.snapshot()
    assert [line.pop("answered_at") > 0 for line in seen] == [True, False]
    assert seen == [
        rest | first | {"budgets": {"api": budget}},
        rest | second | {"last_error": "rate limited for 30 s"},
    ]


def test_candidates__one_budget_used_up__others_of_the_line_are_not(build):
    lines, _ = build("a")
    [line] = lines.candidates(token=False)
    [api, _] = line.client.budgets_of("/api/models/x", token=None)
    lines.report(line, RateLimited("a", 30.0, api))

    def candidates(path, token=None):
        return lines.candidates(token=False, cost=lambda client: client.budgets_of(path, token=token))

    assert names(candidates("/api/datasets/y")) == []
    assert names(candidates("/x/resolve/main/file")) == ["a"]


def test_candidates__one_account_used_up__another_token_is_not(build):
    lines, _ = build("hub", hubs=["hub"])
    [line] = lines.candidates(token=True)
    [his, _] = line.client.budgets_of("/api/models/x", token="hf_his")
    [hers, _] = line.client.budgets_of("/api/models/x", token="hf_hers")
    lines.report(line, RateLimited("hub", 30.0, his))

    assert names(lines.candidates(token=True, cost=lambda client: [his])) == []
    assert names(lines.candidates(token=True, cost=lambda client: [hers])) == ["hub"]
    assert "hf_his" not in his


# --- first ---------------------------------------------------------------------


def test_first__lines_that_fail_or_give_none__the_next_is_asked(build):
    lines, _ = build("a", "b", "c")
    asked = []

    def call(line):
        asked.append(line.name)
        if line.name == "a":
            raise LineFailed("a", "broken")
        return None if line.name == "b" else "found"

    assert lines.first(call, has_token=False) == "found"
    assert asked == ["a", "b", "c"]
    assert [line["failures"] for line in lines.snapshot()] == [1, 0, 0]


def test_first__restricted__only_the_hub_is_asked(build):
    lines, _ = build("a", "hub", hubs=["hub"])

    assert lines.first(lambda line: line.name, has_token=False, is_restricted=True) == "hub"


def test_first__nobody_answers__no_line(build):
    lines, _ = build("a")

    with pytest.raises(NoLine):
        lines.first(lambda line: None, has_token=False)


def test_first__no_lines__offline():
    lines = Lines(lines=[])

    assert lines.is_offline
    with pytest.raises(Offline):
        lines.first(lambda line: line, has_token=False)
