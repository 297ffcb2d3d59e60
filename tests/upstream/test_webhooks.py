"""Webhooks: each kind in its own form, signed; the bad ones bounded, and no URL ever told."""

import base64
import hashlib
import hmac
import json
import logging
import time
from urllib.parse import parse_qs, urlsplit

import pytest

from dingospeed import log as logs
from dingospeed.upstream.notices import Notice, as_text
from dingospeed.upstream.webhooks import Webhook, WebhookFailed
from tests.hooks import hook_running

NOTICE = Notice("broken", "line_down", "hf-mirror.com", "no <connection>", 1_700_000_000.0)
PLACE = "/hook/0123-sesame"


@pytest.fixture
def hook():
    with hook_running() as hook:
        yield hook


def webhook(hook, kind="json", *, url=None, **options):
    return Webhook(label="the hook", kind=kind, url=url or hook.url + PLACE, node="node-1", **options)


def texts(kind, content):
    places = {
        "wecom": lambda: content["text"]["content"],
        "dingtalk": lambda: content["text"]["content"],
        "feishu": lambda: content["content"]["text"],
        "slack": lambda: content["text"],
    }
    return places[kind]()


@pytest.mark.parametrize("kind", ["wecom", "dingtalk", "feishu", "slack"])
def test_send__to_people__says_what_and_where_and_since_when(hook, kind):
    webhook(hook, kind).send([NOTICE])

    [taken] = hook.taken
    shown = "no &lt;connection&gt;" if kind == "slack" else "no <connection>"
    assert taken.path == PLACE
    assert texts(kind, taken.json) == (
        f"dingospeed on node-1\nBROKEN: line down (hf-mirror.com): {shown}, since 2023-11-14 22:13:20 UTC"
    )
    assert taken.json.get("msgtype", taken.json.get("msg_type", "text")) == "text"


def test_send__plain_json__has_all_and_is_signed(hook):
    webhook(hook, secret="sesame").send([NOTICE])

    [taken] = hook.taken
    told = taken.json
    assert told["alerts"] == [
        {
            "state": "broken",
            "alert": "line_down",
            "subject": "hf-mirror.com",
            "text": "no <connection>",
            "since": 1_700_000_000.0,
        }
    ]
    assert (told["program"], told["node"]) == ("dingospeed", "node-1")
    digest = hmac.new(b"sesame", taken.body, hashlib.sha256).hexdigest()
    assert taken.headers["X-Signature-256"] == f"sha256={digest}"


def test_send__dingtalk_with_a_secret__the_address_is_signed(hook):
    webhook(hook, "dingtalk", url=f"{hook.url}/robot?access_token=abc", secret="SEC").send([NOTICE])

    [taken] = hook.taken
    query = {name: values[0] for name, values in parse_qs(urlsplit(taken.path).query).items()}
    expected = hmac.new(b"SEC", f"{query['timestamp']}\nSEC".encode(), hashlib.sha256).digest()
    assert base64.b64decode(query["sign"]) == expected
    assert query["access_token"] == "abc"
    assert abs(int(query["timestamp"]) / 1000 - time.time()) < 600


def test_send__feishu_with_a_secret__the_body_is_signed(hook):
    webhook(hook, "feishu", secret="SEC").send([NOTICE])

    [taken] = hook.taken
    key = f"{taken.json['timestamp']}\nSEC".encode()
    assert base64.b64decode(taken.json["sign"]) == hmac.new(key, b"", hashlib.sha256).digest()


@pytest.mark.parametrize(
    ("kind", "answer"),
    [
        ("wecom", b'{"errcode": 93000, "errmsg": "invalid webhook url"}'),
        ("dingtalk", b'{"errcode": 310000, "errmsg": "sign not match"}'),
        ("feishu", b'{"code": 19021, "msg": "sign match fail"}'),
        ("feishu", b"[]"),
        ("wecom", b"<html>"),
    ],
)
def test_send__refused_with_a_good_status__is_a_failure_and_not_repeated(hook, kind, answer):
    hook.answer = answer

    with pytest.raises(WebhookFailed, match=r"refuses|not of this kind"):
        webhook(hook, kind).send([NOTICE])

    assert len(hook.taken) == 1


@pytest.mark.parametrize(("status", "times"), [(500, 3), (429, 3), (404, 1)])
def test_send__a_bad_status__is_repeated_where_that_may_help(hook, status, times):
    hook.status = status

    with pytest.raises(WebhookFailed, match=str(status)):
        webhook(hook).send([NOTICE])

    assert len(hook.taken) == times


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_send__led_elsewhere__does_not_go_there(hook, status):
    hook.status = status

    with pytest.raises(WebhookFailed, match=str(status)):
        webhook(hook).send([NOTICE])

    assert [taken.path for taken in hook.taken] == [PLACE]


def test_send__the_answer_never_ends__what_was_said_counts(hook, monkeypatch):
    monkeypatch.setattr("dingospeed.upstream.webhooks._ANSWER_S", 0.3)
    hook.behaviour = "dribble"

    webhook(hook).send([NOTICE])

    assert len(hook.taken) == 1


@pytest.mark.parametrize("behaviour", ["hang", "gone", "no host"])
def test_send__nobody_answers__fails_in_bounded_time_and_tells_no_address(
    hook, behaviour, monkeypatch, capsys
):
    monkeypatch.setattr("dingospeed.upstream.webhooks._TIMEOUT_S", (0.3, 0.3))
    hook.behaviour = behaviour
    urls = {"gone": f"http://127.0.0.1:9{PLACE}", "no host": f"http://[::1{PLACE}"}
    logs.setup("debug", "text")

    with pytest.raises(WebhookFailed) as caught:
        webhook(hook, url=urls.get(behaviour)).send([NOTICE])
    logging.getLogger("test").error("told", exc_info=caught.value)

    assert "0123-" not in capsys.readouterr().err
    assert "0123-" not in str(caught.value)


def test_send__all_well_at_debug_level__the_address_is_not_in_the_log(hook, capsys):
    logs.setup("debug", "text")
    logging.getLogger("test").debug("seen")

    webhook(hook).send([NOTICE])

    told = capsys.readouterr().err
    assert "seen" in told
    assert "0123-" not in told


def test_text__more_than_fits__says_how_many_are_left_out():
    notices = [Notice("healed", "line_down", f"line-{number}", "é" * 300, 0) for number in range(40)]

    text = as_text("node", notices)

    shown = text.count("HEALED")
    assert len(text.encode()) <= 2048
    assert text.endswith(f"... and {40 - shown} more")
    assert shown > 1


def test_text__a_token_and_a_line_break__are_not_in_it(hook):
    notice = Notice("broken", "job_failed", "1", "it said\nBearer hf_abcdefghijkl", 0)

    webhook(hook).send([notice])

    assert "hf_abc" not in as_text("node", [notice])
    assert len(as_text("node", [notice]).splitlines()) == 2
    assert "hf_abc" not in json.dumps(hook.taken[0].json)
