"""The choosing functions among many nodes: few copies from outside, work that is spread, a silent Redis."""

import pytest

from tests.cluster.simulation import Simulation, World


@pytest.fixture(scope="module")
def calm():
    return Simulation(World(nodes=60, requests=4000, blobs=400, mtbf_s=1e12)).run()


@pytest.fixture(scope="module")
def stormy():
    return Simulation(World(nodes=60, requests=4000, blobs=400, mtbf_s=600, back_s=60)).run()


def test_calm__every_cell__comes_from_outside_once(calm):
    assert calm.outside == calm.distinct


def test_stormy__nodes_come_and_go__hardly_more_than_once(stormy):
    assert stormy.deaths > 100
    assert stormy.copies < 1.1


def test_work__fetching_and_giving__is_spread(calm):
    for counts in (calm.served, calm.fetched):
        mean = sum(counts) / len(counts)
        assert min(counts) > 0
        assert max(counts) < 6 * mean


def test_zones__a_near_holder__is_asked_first(calm):
    assert calm.far < 0.3 * calm.from_holders


def test_redis__cached__is_not_asked_and_else_a_few_times(calm):
    assert calm.held_here > 0
    assert calm.redis_commands_of_cached == 0
    assert calm.redis_commands < 12 * calm.requests
