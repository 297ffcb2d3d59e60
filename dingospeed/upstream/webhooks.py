"""Messages sent to webhooks: in bounded time, never led elsewhere, the URL never told."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence

import requests
from tenacity import Retrying, retry_if_exception, stop_after_attempt, wait_random_exponential

from dingospeed.errors import DingospeedError
from dingospeed.upstream.failures import why
from dingospeed.upstream.notices import Letter, Notice, letter, objection
from dingospeed.upstream.stream import BROKEN

_TIMEOUT_S = (3.05, 5.0)
_ATTEMPTS, _MAX_WAIT_S = 3, 4.0
# Of an answer. Whoever dribbles it is taken at his word so far.
_ANSWER_BYTES, _ANSWER_S = 16 << 10, 5.0


class WebhookFailed(DingospeedError):
    """The message was not taken. *is_lasting*: nor would it be if sent again."""

    def __init__(self, why: str, *, is_lasting: bool = False) -> None:
        self.is_lasting = is_lasting
        super().__init__(why)


class Webhook:
    """One who is told of alerts, in the name of *node*. *label* names it in the log, in place of its URL."""

    def __init__(
        self,
        *,
        label: str,
        kind: str,
        url: str,
        node: str,
        secret: str | None = None,
        proxy: str | None = None,
        ca_bundle: str | None = None,
    ) -> None:
        self.label = label
        # For what was told to it, also when its place in the settings changes.
        self.id = hashlib.sha256(f"{kind} {url}".encode()).hexdigest()[:16]
        self._kind = kind
        self._url = url
        self._node = node
        self._secret = secret
        self._session = requests.Session()
        self._session.trust_env = False
        self._session.verify = ca_bundle or True
        if proxy:
            self._session.proxies = {"http": proxy, "https": proxy}

    def send(self, notices: Sequence[Notice]) -> None:
        """One message with all *notices*. Raises WebhookFailed."""
        attempts = Retrying(
            retry=retry_if_exception(lambda error: isinstance(error, WebhookFailed) and not error.is_lasting),
            stop=stop_after_attempt(_ATTEMPTS),
            wait=wait_random_exponential(multiplier=0.5, max=_MAX_WAIT_S),
            sleep=time.sleep,
            reraise=True,
        )
        # Written anew each time: signatures are good for a moment only.
        attempts(lambda: self._post(letter(self._kind, self._url, self._secret, self._node, notices)))

    def _post(self, message: Letter) -> None:
        try:
            with self._session.post(
                message.url,
                data=message.body,
                headers=dict(message.headers),
                timeout=_TIMEOUT_S,
                # Where it leads to was chosen by the operator, not by whoever answers there.
                allow_redirects=False,
                stream=True,
            ) as response:
                status, answer = response.status_code, _beginning(response)
        except (requests.RequestException, *BROKEN, ValueError) as error:
            # Without the cause: the library's errors quote the URL.
            raise WebhookFailed(why(error)) from None
        if not 200 <= status < 300:
            raise WebhookFailed(f"it answered {status}", is_lasting=300 <= status < 500 and status != 429)
        against = objection(self._kind, answer)
        if against is not None:
            raise WebhookFailed(against, is_lasting=True)


def _beginning(response: requests.Response) -> bytes:
    until, answer = time.monotonic() + _ANSWER_S, b""
    # read1: what is there, and not what would fill a buffer.
    while piece := response.raw.read1(_ANSWER_BYTES, decode_content=True):
        answer += piece
        if len(answer) > _ANSWER_BYTES or time.monotonic() > until:
            break
    return answer
