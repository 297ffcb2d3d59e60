"""The picture of a group, as it is handed to the template."""

import math
from itertools import combinations

from dingospeed.web.groupmap import DOT, HEIGHT, WIDTH, picture_of


def nodes(count):
    return [{"id": f"n{index:02}", "state": "online"} for index in range(count)]


def way(sender, receiver, bytes):
    return {"from": sender, "to": receiver, "bytes": bytes}


def test_picture__of_nodes__stand_apart_and_within_the_drawing():
    dots = picture_of(nodes(24), []).dots

    assert len(dots) == 24
    assert all(DOT <= dot.x <= WIDTH - DOT and DOT <= dot.y <= HEIGHT - DOT for dot in dots)
    assert all(math.hypot(one.x - other.x, one.y - other.y) > 2 * DOT for one, other in combinations(dots, 2))


def test_picture__of_traffic__the_most_is_thickest_and_there_and_back_are_two_ways():
    most, less = picture_of(nodes(2), [way("n00", "n01", 10), way("n01", "n00", 1000)]).ways

    assert (most.sender, most.receiver, most.bytes) == ("n01", "n00", 1000)
    assert most.width > less.width > 0
    assert most.path.split("Q")[1].split()[1] != less.path.split("Q")[1].split()[1]


def test_picture__of_traffic_with_unknown_nodes_or_none__is_not_drawn():
    picture = picture_of(nodes(2), [way("gone", "n01", 5), way("n00", "n00", 5), way("n00", "n01", 0)])

    assert picture.ways == ()


def test_picture__of_more_nodes_than_can_be_seen__has_those_with_traffic():
    picture = picture_of(nodes(40), [way("n38", "n39", 7)])

    assert {"n38", "n39"} < {dot.id for dot in picture.dots}
    assert picture.left_out == 40 - len(picture.dots) > 0
    assert len(picture.ways) == 1
