"""The nodes of a group on the dashboard, in a real browser."""

import pytest

from dingospeed.testing import Generated
from tests.browser import DESK, PHONE, browser_in
from tests.group import download, groups_in
from tests.redis_server import redis  # noqa: F401

pytestmark = pytest.mark.server

SIZE = 12 << 20


def test_nodes__one_takes_from_the_other_is_lost_and_redis_falls_silent__told_drawn_and_usable_by_all(
    hub,
    redis,  # noqa: F811
    tmp_path,
):
    hub.add_repo("models", "org/big").commit({"big.bin": Generated(SIZE, seed=3)})
    with groups_in(tmp_path, redis) as make, browser_in(tmp_path / "profile") as browser:
        group = make(hub, nodes=2, cluster={"zone": "hall-3"})
        first, second = group.nodes
        for node in group.nodes:
            download(node, "/org/big/resolve/main/big.bin")

        browser.open("about:blank")
        browser.complaints(), browser.hosts_asked()
        browser.log_in(first.url, (first.repos / "keys" / "admin").read_text().strip())

        browser.wait_for(lambda: "online" in browser.text("#node-n1"), "the other one is shown")
        for shown in (second.settings["cluster"]["address"], "hall-3"):
            assert shown in browser.text("#node-n1")
        assert "this one" in browser.text("#node-n0")
        browser.find("svg path.way")
        for name, size in (("desk", DESK), ("phone", PHONE)):
            browser.look(size=size)
            assert (name, browser.overflows(), browser.barriers()) == (name, False, [])
            browser.keep_screenshot(f"nodes-{name}")

        second.kill()

        # The page moves by itself.
        browser.wait_for(lambda: "lost" in browser.text("#node-n1"), "it is told that it is lost")
        assert "online" in browser.text("#node-n0")

        redis.pause()
        try:
            browser.wait_for(
                lambda: "does not answer" in browser.text("[aria-labelledby=group] .away"),
                "it is told of Redis",
            )
            assert browser.barriers() == []
        finally:
            redis.wake()
        browser.wait_for(lambda: browser.text("[aria-labelledby=group] .away") == "", "it is over")
        assert browser.complaints() == []
        assert browser.hosts_asked() == {first.url.removeprefix("http://")}
