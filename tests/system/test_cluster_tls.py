"""A group whose Redis speaks TLS only, and knows its nodes by name and password."""

import logging
import shutil

import pytest

from dingospeed.cluster.link import Link
from dingospeed.errors import LinkDown
from dingospeed.testing import Generated
from tests.group import Group, alive, download, seen
from tests.harness import all_at_once, mirrors_in, wait_until
from tests.redis_server import free_port
from tests.tls_redis import TlsRedisServer, make_authority

SIZE = 8 << 20
PATH = "/org/big/resolve/main/big.bin"


@pytest.fixture(scope="module")
def tls_redis(tmp_path_factory):
    server = TlsRedisServer(tmp_path_factory.mktemp("tls")).start()
    yield server
    server.close()


@pytest.mark.server
def test_group__over_tls_as_a_user__who_trusts_another_authority_tells_it_and_joins_when_cured(
    hub, tls_redis, tmp_path
):
    repo = hub.add_repo("models", "org/big")
    repo.commit({name: Generated(size=SIZE, seed=seed) for seed, name in enumerate(("big.bin", "next.bin"))})
    etag, ca = repo.sha256("big.bin"), tmp_path / "ca.pem"
    make_authority(tmp_path, "another").rename(ca)
    with mirrors_in(tmp_path) as make:
        group = Group(tls_redis, make, [hub], {})
        good = group.add(cluster={"redis_url": tls_redis.url_for(tls_redis.ca)})
        bad = group.add(cluster={"redis_url": tls_redis.url_for(ca)})

        assert download(bad, PATH) == etag

        where = f"Redis at {tls_redis.host}:{tls_redis.port}"
        wait_until(lambda: where in bad.log(), "it tells what is wrong")
        [told] = [line for line in bad.log().splitlines() if where in line]
        assert "certificate is not trusted; expected" in told
        assert "?ssl_ca_certs= of cluster.redis_url" in told
        assert "pass" not in told
        assert "certificate is not trusted" in seen(bad)["trouble"]
        assert alive(good) == {"n0"}

        shutil.copy(tls_redis.ca, ca)

        group.together()
        assert seen(bad)["trouble"] == ""
        before = hub.bytes_sent(host="cdn")
        path = PATH.replace("big.bin", "next.bin")
        results = all_at_once([lambda node=node: download(node, path) for node in group.nodes])
        assert results == [repo.sha256("next.bin")] * 2
        assert hub.bytes_sent(host="cdn") == before + SIZE


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"password": "wrong-one"}, "it refuses the user or the password of cluster.redis_url"),
        ({"ca": "/nowhere/ca.pem"}, "a file named in cluster.redis_url can not be read"),
        ({"port": "closed"}, "nobody listens there"),
        ({"scheme": "redis"}, "the connection broke"),
    ],
)
def test_link__can_not_be_made__says_why_once_and_no_secret(tls_redis, caplog, change, words):
    url = tls_redis.url_for(change.get("ca", tls_redis.ca))
    if "password" in change:
        url = tls_redis.url_for(tls_redis.ca, password=change["password"])
    if "port" in change:
        url = url.replace(f":{tls_redis.port}/", f":{free_port()}/")
    if "scheme" in change:
        url = url.replace("rediss://", "redis://").partition("?")[0]
    link = Link(url, timeout_s=1)

    with caplog.at_level(logging.INFO):
        for _ in range(2):
            wait_until(lambda: link.is_up, "it is tried again")
            with pytest.raises(LinkDown):
                link.run([("GET", "dingospeed:x")])

    assert words in link.trouble
    assert [words in record.getMessage() for record in caplog.records] == [True]
    assert "word" not in caplog.text.replace("password of", "")
    link.close()


def test_link__user_may_not_touch_other_keys__says_so_and_goes_on_with_its_own(tls_redis):
    link = Link(tls_redis.url_for(tls_redis.ca), timeout_s=1)

    with pytest.raises(LinkDown):
        link.run([("GET", "another:x")])

    assert "does not let the user of cluster.redis_url" in link.trouble
    wait_until(lambda: link.is_up, "it is tried again")
    assert link.run([("SET", "dingospeed:x", 1), ("GET", "dingospeed:x")]) == [True, "1"]
    assert link.trouble == ""
    link.close()
