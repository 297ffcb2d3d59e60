"""Log lines on standard error, as text or JSON, with secrets blotted out.

Nothing logs a token on purpose. The blotting is for what slips in by way of foreign
libraries, of URLs and of errors that quote a request.
"""

from __future__ import annotations

import json
import logging
import re
import sys
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, Literal, TextIO

_BLOT = "***"
# Marks without one of which there is no secret, what a secret looks like, and what is put in its place. To
# look for the marks takes a twentieth of the time, and hardly a line has any.
_SECRETS: tuple[tuple[tuple[str, ...], re.Pattern[str], str], ...] = (
    (("hf_",), re.compile(r"\bhf_[A-Za-z0-9]{8,}"), f"hf_{_BLOT}"),
    # A header line, or the repr of a dict of headers.
    (
        ("auth",),
        re.compile(
            r"""((?:proxy-)?authorization\b["']?\s*[:=]\s*(?:b(?=["']))?)(?:"[^"\r\n]*"|'[^'\r\n]*'|[^\r\n"',}]+)""",
            re.I,
        ),
        rf"\1{_BLOT}",
    ),
    (("bear", "bas"), re.compile(r"\b(Bearer|Basic)\s+[A-Za-z0-9._~+/=-]+", re.I), rf"\1 {_BLOT}"),
    # What signs a URL of a content store (S3, CloudFront, Azure), and tokens in queries.
    (
        ("=",),
        re.compile(
            r"""([?&;](?:X-Amz-(?:Signature|Credential|Security-Token)|Signature|Policy|Key-Pair-Id|sig"""
            r"""|token|access_token)=)[^&;\s"'<>]+""",
            re.I,
        ),
        rf"\1{_BLOT}",
    ),
    # Credentials in a URL.
    (("://",), re.compile(r"(?<=://)[^/\s@\"'<>]+@"), f"{_BLOT}@"),
)
_CONTROL = re.compile(r"[\x00-\x1f\x7f\x85\u2028\u2029]")


def redact(text: str) -> str:
    """*text* with everything that looks like a token, a signature or a password blotted out."""
    folded = text.casefold()
    for marks, pattern, blotted in _SECRETS:
        for mark in marks:
            if mark in folded:
                text = pattern.sub(blotted, text)
                break
    return text


class Redaction(logging.Filter):
    """Blots secrets out of a record: message, arguments, exception and stack. Lets every record pass."""

    def filter(self, record: logging.LogRecord) -> bool:
        try:
            message = record.getMessage()
        except Exception as error:  # noqa: BLE001 - a record that can not be formatted must not stop the work
            message = f"{record.msg} (arguments do not fit: {type(error).__name__})"
        record.msg, record.args = redact(message), None
        if record.exc_info and not record.exc_text:
            record.exc_text = logging.Formatter().formatException(record.exc_info)
        if record.exc_text:
            record.exc_text = redact(record.exc_text)
        if record.stack_info:
            record.stack_info = redact(record.stack_info)
        return True


class _TextFormatter(logging.Formatter):
    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)-7s [%(process)d] %(name)s: %(message)s")

    def formatMessage(self, record: logging.LogRecord) -> str:
        # A message is one line, whatever a caller put in a path: nobody forges the next one.
        line = super().formatMessage(record)
        return line if line.isprintable() else _CONTROL.sub(lambda match: repr(match[0])[1:-1], line)


class _JsonFormatter(logging.Formatter):
    """One object a line: time (UTC), level, process, logger, message, the
    record's *fields* and, if there is one, exception."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, timezone.utc).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "process": record.process,
            "logger": record.name,
            "message": record.getMessage(),
        }
        # What an access line says, each under its name; it came from outside like the message.
        for name, value in getattr(record, "fields", {}).items():
            line[name] = redact(value) if isinstance(value, str) else value
        if record.exc_text:
            line["exception"] = record.exc_text
        if record.stack_info:
            line["stack"] = record.stack_info
        return json.dumps(line)


_FORMATTERS: dict[str, type[logging.Formatter]] = {"text": _TextFormatter, "json": _JsonFormatter}


if TYPE_CHECKING:
    _StreamHandler = logging.StreamHandler[TextIO]
else:
    _StreamHandler = logging.StreamHandler  # takes no type until Python 3.11


class _Handler(_StreamHandler):
    """Ours among the root logger's handlers."""


def setup(level: str, format: Literal["text", "json"], *, stream: TextIO | None = None) -> None:
    """Send the log of the whole process to *stream* (standard error), from *level* on.

    Called again it replaces what it set up before. Handlers of others stay.
    """
    handler = _Handler(stream if stream is not None else sys.stderr)
    handler.setFormatter(_FORMATTERS[format]())
    handler.addFilter(Redaction())
    root = logging.getLogger()
    for old in [old for old in root.handlers if isinstance(old, _Handler)]:
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(level.upper())
    # What no line of ours tells is not looked up for each ("Optimization", Python's Logging HOWTO).
    logging.logThreads = logging.logMultiprocessing = False
    logging._srcfile = None
    # Its debug lines quote whole paths, and in those of webhooks and signed URLs are secrets.
    logging.getLogger("urllib3").setLevel(max(logging.INFO, root.level))
