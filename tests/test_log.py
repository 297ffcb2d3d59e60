import io
import json
import logging

import pytest

from dingospeed.log import Redaction, redact, setup


@pytest.fixture
def out():
    """What was logged by way of the root logger, set up by a test."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield io.StringIO()
    root.handlers[:], root.level = handlers, level


@pytest.fixture
def log():
    return logging.getLogger("dingospeed.some.module")


@pytest.mark.parametrize(
    ("text", "blotted"),
    [
        ("token hf_abcdefgh12345 here", "token hf_*** here"),
        ("Authorization: Bearer abc.def-g", "Authorization: ***"),
        ("authorization=Basic dXNlcjpwYXNz", "authorization=***"),
        (
            "{'Authorization': 'Bearer abc', 'Range': 'bytes=0-1'}",
            "{'Authorization': ***, 'Range': 'bytes=0-1'}",
        ),
        ('{"Proxy-Authorization": "Basic abc"}', '{"Proxy-Authorization": ***}'),
        ("sent Bearer abc.def", "sent Bearer ***"),
        (
            "https://s3/x?X-Amz-Signature=0a1b&X-Amz-Expires=60&X-Amz-Credential=AK%2Fus",
            "https://s3/x?X-Amz-Signature=***&X-Amz-Expires=60&X-Amz-Credential=***",
        ),
        ("/x?Policy=ab_&Signature=c~d&Key-Pair-Id=K2 end", "/x?Policy=***&Signature=***&Key-Pair-Id=*** end"),
        ("/x?a=1&sig=abc%3D", "/x?a=1&sig=***"),
        ("proxy socks5h://me:secret@host:1 down", "proxy socks5h://***@host:1 down"),
        ("redis://:secret@host/0", "redis://***@host/0"),
    ],
)
def test_redact__secret_in_text__is_blotted_out(text, blotted):
    assert redact(text) == blotted


@pytest.mark.parametrize(
    "text",
    [
        "GET /org/model/resolve/main/hf_xet.py",
        "line huggingface.co down after 3 failures, next probe in 5 s",
        "https://huggingface.co/a/b?revision=main&recursive=true",
        "https://host/@scope/file",
        "design=5 signature of the function",
    ],
)
def test_redact__nothing_secret__text_stays(text):
    assert redact(text) == text


def test_text__secret_in_an_argument__is_blotted_out(out, log):
    setup("info", "text", stream=out)

    log.info("asked with %s", {"Authorization": "Bearer hf_abcdefgh12345"})

    assert out.getvalue().endswith(" dingospeed.some.module: asked with {'Authorization': ***}\n")


@pytest.mark.parametrize("format", ["text", "json"])
def test_exception__secret_in_its_text__is_blotted_out(out, log, format):
    setup("info", format, stream=out)

    try:
        raise RuntimeError("GET https://s3/x?X-Amz-Signature=0a1b2c failed")
    except RuntimeError:
        log.exception("oh")

    assert "RuntimeError: GET https://s3/x?X-Amz-Signature=*** failed" in out.getvalue()
    assert "0a1b2c" not in out.getvalue()


def test_json__a_record__is_one_object_a_line(out, log):
    setup("info", "json", stream=out)

    log.warning("line %s\ndown", "a")

    [line] = out.getvalue().splitlines()
    record = json.loads(line)
    assert (record["level"], record["logger"], record["message"]) == (
        "warning",
        "dingospeed.some.module",
        "line a\ndown",
    )
    assert record["time"].endswith("+00:00")


def test_text__line_break_in_an_argument__does_not_start_a_line(out, log):
    setup("info", "text", stream=out)

    log.info("asked for %r and %s", "a\nb", "c\nERROR forged\x1b[31m")

    [line] = out.getvalue().splitlines()
    assert line.endswith(r"c\nERROR forged\x1b[31m")


def test_record__arguments_do_not_fit__is_still_logged():
    record = logging.makeLogRecord({"msg": "%d items", "args": ("many hf_abcdefgh12345",)})

    passes = Redaction().filter(record)

    assert passes
    assert record.getMessage() == "%d items (arguments do not fit: TypeError)"


def test_setup__level__leaves_off_what_is_below(out, log):
    setup("warning", "text", stream=out)

    log.info("chatter")
    log.warning("trouble")

    assert len(out.getvalue().splitlines()) == 1


def test_setup__twice__lines_come_once(out, log):
    setup("info", "text", stream=io.StringIO())
    setup("info", "text", stream=out)

    log.info("once")

    assert len(out.getvalue().splitlines()) == 1
