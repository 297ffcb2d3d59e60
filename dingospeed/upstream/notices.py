"""What webhooks are told, in the form that each kind takes.

WeCom: "Group robot configuration". DingTalk: "Custom robot access", with the "additional signature".
Feishu: "Custom bot usage guide", with "signature verification". Slack: "Incoming webhooks", which many
others take, too. All of them answer 200 to some of what they refuse, and say so in the body; Slack does not.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal
from urllib.parse import quote

from dingospeed.log import redact

# WeCom takes the least: 2048 bytes.
_TEXT_BYTES = 1800
_WORDS = {"broken": "BROKEN", "healed": "HEALED", "reminder": "STILL BROKEN", "test": "TEST"}


@dataclass(frozen=True, slots=True)
class Notice:
    """Something happened: *alert* is its kind (``line_down``), *subject* what it happened to.

    Without a subject it happened to the node. *since* is when it began, in Unix time.
    """

    state: Literal["broken", "healed", "reminder", "test"]
    alert: str
    subject: str
    text: str
    since: float


@dataclass(frozen=True, slots=True)
class Letter:
    """A request to be sent: POST *body* to *url*, which is a secret."""

    url: str = field(repr=False)
    body: bytes
    headers: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class _Kind:
    write: Callable[[str, Sequence[Notice]], dict[str, Any]]
    sign: Callable[[str, dict[str, Any], str, float], tuple[str, dict[str, Any], dict[str, str]]]
    # In an answer, the first of these that is there must be 0.
    codes: tuple[str, ...] = ()


def letter(kind: str, url: str, secret: str | None, node: str, notices: Sequence[Notice]) -> Letter:
    """*notices* of *node* for a webhook of this *kind*, signed when there is a *secret*."""
    form = _KINDS[kind]
    content = form.write(node, notices)
    headers: dict[str, str] = {}
    if secret is not None:
        url, content, headers = form.sign(url, content, secret, time.time())
    return Letter(url, _json(content), {"Content-Type": "application/json; charset=utf-8", **headers})


def objection(kind: str, answer: bytes) -> str | None:
    """What the body of an answer with a good status has against the message; None for nothing."""
    codes = _KINDS[kind].codes
    if not codes:
        return None
    try:
        told = json.loads(answer)
    except ValueError:
        told = None
    found = next((told[code] for code in codes if code in told), None) if isinstance(told, dict) else None
    if found == 0:
        return None
    return "its answer is not of this kind of webhook" if found is None else f"it refuses: code {found!r:.20}"


def as_text(node: str, notices: Sequence[Notice], *, most_bytes: int = _TEXT_BYTES) -> str:
    """For people: a line each, as many as fit."""
    lines, left = [f"dingospeed on {node}"], most_bytes - 200
    for count, notice in enumerate(notices):
        line = _line(notice)
        left -= len(line.encode()) + 1
        if left < 0:
            lines.append(f"... and {len(notices) - count} more")
            break
        lines.append(line)
    return "\n".join(lines)


def _line(notice: Notice) -> str:
    since = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(notice.since))
    what = notice.alert.replace("_", " ")
    about = f" ({notice.subject})" if notice.subject else ""
    text = " ".join(redact(notice.text).split())
    return f"{_WORDS[notice.state]}: {what}{about}: {text:.400}, since {since}"


def _plain(node: str, notices: Sequence[Notice]) -> dict[str, Any]:
    alerts = [{**asdict(notice), "text": redact(notice.text)} for notice in notices]
    return {"program": "dingospeed", "node": node, "at": time.time(), "alerts": alerts}


def _json(content: dict[str, Any]) -> bytes:
    return json.dumps(content, ensure_ascii=False).encode("utf-8", "replace")


def _slack(node: str, notices: Sequence[Notice]) -> dict[str, Any]:
    text = as_text(node, notices)
    return {"text": text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")}


def _text(node: str, notices: Sequence[Notice]) -> dict[str, Any]:
    return {"msgtype": "text", "text": {"content": as_text(node, notices)}}


def _feishu(node: str, notices: Sequence[Notice]) -> dict[str, Any]:
    return {"msg_type": "text", "content": {"text": as_text(node, notices)}}


def _hmac(key: str, text: bytes) -> str:
    return base64.b64encode(hmac.new(key.encode(), text, hashlib.sha256).digest()).decode()


def _sign_dingtalk(
    url: str, content: dict[str, Any], secret: str, now: float
) -> tuple[str, dict[str, Any], dict[str, str]]:
    at = round(now * 1000)
    signature = quote(_hmac(secret, f"{at}\n{secret}".encode()), safe="")
    joint = "&" if "?" in url else "?"
    return f"{url}{joint}timestamp={at}&sign={signature}", content, {}


def _sign_feishu(
    url: str, content: dict[str, Any], secret: str, now: float
) -> tuple[str, dict[str, Any], dict[str, str]]:
    # Here the secret is a part of the key, and the text is empty.
    at = str(int(now))
    return url, {"timestamp": at, "sign": _hmac(f"{at}\n{secret}", b""), **content}, {}


def _sign_json(
    url: str, content: dict[str, Any], secret: str, now: float
) -> tuple[str, dict[str, Any], dict[str, str]]:
    digest = hmac.new(secret.encode(), _json(content), hashlib.sha256).hexdigest()
    return url, content, {"X-Signature-256": f"sha256={digest}"}


def _sign_not(
    url: str, content: dict[str, Any], secret: str, now: float
) -> tuple[str, dict[str, Any], dict[str, str]]:
    return url, content, {}


_KINDS: dict[str, _Kind] = {
    "wecom": _Kind(_text, _sign_not, codes=("errcode",)),
    "dingtalk": _Kind(_text, _sign_dingtalk, codes=("errcode",)),
    "feishu": _Kind(_feishu, _sign_feishu, codes=("code", "StatusCode")),
    "slack": _Kind(_slack, _sign_not),
    "json": _Kind(_plain, _sign_json),
}
