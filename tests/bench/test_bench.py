import subprocess
import sys

import psutil
import pytest

from tests.bench import crowd, downloads, tls
from tests.bench.case import ACCEL, NGINX, US, Case, Goal, run
from tests.bench.load import LoadFailed, Processes, ask, small_requests, streams
from tests.bench.stage import MIB, Stage


@pytest.fixture(scope="module")
def stage(tmp_path_factory):
    stage = Stage(tmp_path_factory.mktemp("bench"))
    yield stage
    stage.close()


@pytest.mark.server
def test_case__run__has_figures_of_each_system_for_each_round(stage, monkeypatch):
    monkeypatch.setattr(downloads, "GIB", 32 * MIB)
    told = []
    case = Case("hot", "a file", downloads.hot(2), quick_rounds=2)

    rounds = run(case, stage, is_quick=True, tell=lambda system, _: told.append(system))

    assert told == [NGINX, US, ACCEL] * 2
    assert {name: len(seen) for name, seen in rounds.items()} == {NGINX: 2, US: 2, ACCEL: 2}
    assert all(figures["GB/s"] > 0 for seen in rounds.values() for figures in seen)


@pytest.mark.server
def test_cleaning__of_a_crowd__all_of_it_is_planned_and_it_serves_on(stage, monkeypatch):
    monkeypatch.setattr(crowd, "QUICK_BLOBS", 512)
    monkeypatch.setattr(crowd, "QUICK_DOCUMENTS", 20)
    case = Case("cleaning", "a plan", crowd.cleaning, quick_rounds=1)

    rounds = run(case, stage, is_quick=True, tell=lambda *_: None)

    assert rounds[US][0]["plan s"] > 0
    assert rounds[US][0]["p50 ms"] > 0


@pytest.mark.server
def test_tls__small_files__come_over_few_connections(stage, monkeypatch):
    monkeypatch.setattr(tls, "FILES", 20)
    case = Case("tls", "files", tls.small, quick_rounds=1)

    [figures] = run(case, stage, is_quick=True, tell=lambda *_: None)[US]

    assert figures["requests"] == 20
    assert 0 < figures["connections"] <= 2 * tls.AT_ONCE


@pytest.mark.server
def test_small_requests__answered__are_counted_with_what_they_cost(stage):
    file = stage.add("bench/tiny", {"tiny.txt": b"tiny"})["tiny.txt"]
    with stage.mirror() as (_, server):
        ask(server.url + file.path)

        figures = small_requests(server, file.path, method="HEAD", connections=4, seconds=0.3)

    assert figures["requests/s"] > 0
    assert 0 < figures["p50 ms"] <= figures["p99 ms"]


@pytest.mark.server
def test_load__answers_are_not_those_there_should_be__is_no_figure(stage):
    server = stage.nginx.server

    with pytest.raises(LoadFailed, match="404"):
        streams(server, ["/nothing"])
    with pytest.raises(LoadFailed, match="404"):
        small_requests(server, "/nothing", seconds=0.1)
    with pytest.raises(LoadFailed, match="404"):
        ask(server.url + "/nothing")


def test_cpu__of_a_process_whose_child_has_ended__is_that_of_both():
    child = "for _ in range(3_000_000): pass"
    code = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}]); print(); input()"
    with subprocess.Popen(
        [sys.executable, "-u", "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as parent:
        assert parent.stdout is not None
        parent.stdout.readline()
        alone = psutil.Process(parent.pid).cpu_times()

        both = Processes((parent.pid,)).cpu_s()

        parent.communicate(b"\n")
    assert both > alone.user + alone.system


def test_goal__ratio_of_rounds__is_the_median_of_pairs():
    rounds = {US: [{"GB/s": 1.0}, {"GB/s": 9.0}, {"GB/s": 3.0}], NGINX: [{"GB/s": 2.0}] * 3}

    goal = Goal("GB/s", 1.5, against=NGINX)

    assert goal.measured(rounds) == 1.5
    assert goal.is_reached(rounds)
    assert Goal("GB/s", 1.5, against=NGINX, is_plus=True).measured(rounds) == 1.0
    assert Goal("GB/s", 1.5, against="nobody").is_reached(rounds) is None
