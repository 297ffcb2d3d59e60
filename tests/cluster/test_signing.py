"""Requests of peers: of one node, for one node, for one thing, once, and not for long."""

import pytest

from dingospeed.cluster.signing import EXPIRES, FROM, NONCE, SIGNATURE, NoPeer, Signer
from dingospeed.store.nonces import Nonces

SECRET = "0123456789abcdef"
PATH, QUERY = "/-/peers/blobs/abc", {"start": "0", "stop": "10", "path": "a b\n/ü"}


class Clock:
    def __init__(self, now=1_000_000.0):
        self.now = now

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def make(clock, tmp_path):
    def make(id, secret=SECRET, now_s=clock):
        return Signer(secret=secret, id=id, now_s=now_s, is_new=Nonces(tmp_path / id).is_new)

    return make


@pytest.fixture
def signed(make):
    return make("a").headers("GET", PATH, QUERY, to="b")


def test_check__right__tells_who_asks(make, signed):
    assert make("b").check("GET", PATH, QUERY, signed) == "a"


def test_check__a_second_time__refused_by_every_worker_of_the_node(make, signed):
    make("b").check("GET", PATH, QUERY, signed)

    with pytest.raises(NoPeer, match="used before"):
        make("b").check("GET", PATH, QUERY, signed)


@pytest.mark.parametrize(
    ("node", "method", "path", "query"),
    [
        ("c", "GET", PATH, QUERY),
        ("b", "HEAD", PATH, QUERY),
        ("b", "GET", PATH + "d", QUERY),
        ("b", "GET", PATH, {**QUERY, "stop": "11"}),
        ("b", "GET", PATH, {**QUERY, "repo": "org/private"}),
        ("b", "GET", PATH, {}),
    ],
)
def test_check__of_something_else__refused(make, signed, node, method, path, query):
    with pytest.raises(NoPeer, match="not right"):
        make(node).check(method, path, query, signed)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        (FROM, "c"),
        (EXPIRES, "1000050"),
        (NONCE, "00"),
        (SIGNATURE, "0" * 64),
        (SIGNATURE, ""),
        (SIGNATURE, "ü"),
    ],
)
def test_check__a_header_was_changed__refused(make, signed, name, value):
    with pytest.raises(NoPeer, match="not right"):
        make("b").check("GET", PATH, QUERY, {**signed, name: value})


def test_check__signed_with_another_secret__refused(make):
    signed = make("a", secret="another secret").headers("GET", PATH, QUERY, to="b")

    with pytest.raises(NoPeer, match="not right"):
        make("b").check("GET", PATH, QUERY, signed)


@pytest.mark.parametrize("passed_s", [31, 3600, -3600])
def test_check__too_late_or_from_the_future__refused(make, signed, clock, passed_s):
    clock.now += passed_s

    with pytest.raises(NoPeer, match="run out"):
        make("b").check("GET", PATH, QUERY, signed)


def test_signer__that_does_not_know_the_time__neither_signs_nor_believes(make, signed):
    lost = make("b", now_s=lambda: None)

    with pytest.raises(NoPeer, match="time"):
        lost.headers("GET", PATH, QUERY, to="a")
    with pytest.raises(NoPeer, match="time"):
        lost.check("GET", PATH, QUERY, signed)


def test_signed__looked_at__no_secret_in_it(signed):
    assert SECRET not in "".join(signed.values())


def test_nonces__long_past__are_forgotten_and_those_that_count_are_not(tmp_path):
    nonces = Nonces(tmp_path)
    for moment in range(0, 3600, 30):
        assert nonces.is_new(f"n{moment}", moment)

    assert len(list(tmp_path.iterdir())) <= 5
    assert not nonces.is_new("n3570", 3570)
    assert not nonces.is_new("n3540", 3540)
