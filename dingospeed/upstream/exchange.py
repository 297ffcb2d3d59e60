"""Requests sent by way of the library, and answers read from it.

All that the library can raise becomes an error of ours here. No cookies, no netrc, no environment:
two callers' requests can not touch.
"""

from __future__ import annotations

from http.cookiejar import DefaultCookiePolicy

import requests
from requests.adapters import HTTPAdapter
from urllib3 import BaseHTTPResponse

from dingospeed.errors import BadRequest, LineFailed
from dingospeed.upstream.ask import Ask
from dingospeed.upstream.failures import was_dropped, why
from dingospeed.upstream.stream import BROKEN

_CHUNK_BYTES = 64 * 1024
_MAX_HOSTS = 16
_IDEMPOTENT = ("GET", "HEAD")


class _Session(requests.Session):
    def get_redirect_target(self, resp: requests.Response) -> str | None:
        """Always None: even when told not to follow, the library reads a redirect's body."""
        return None


class Exchange:
    """The connections of one *line*, opened when first needed, at most *max_connections* to a host kept."""

    def __init__(
        self,
        *,
        line: str,
        max_connections: int,
        connect_s: float,
        read_s: float,
        proxy: str | None,
        ca_bundle: str | None,
    ) -> None:
        self.timeout = (connect_s, read_s)
        self._line = line
        self._session = _session(max_connections, proxy=proxy, ca_bundle=ca_bundle)

    def send(self, ask: Ask) -> BaseHTTPResponse:
        """The head of the answer, as soon as it is there; its body is still to come.

        Raises BadRequest for what is no request, LineFailed when no answer comes.
        """
        request = requests.Request(ask.method, ask.url, headers=ask.sent_headers(), data=ask.body)
        try:
            prepared = self._session.prepare_request(request)
        except (requests.RequestException, ValueError) as error:
            if ask.is_own:
                raise BadRequest("No request can be made of this") from error
            raise LineFailed(self._line, "redirects to something that is no URL") from error
        try:
            return self._sent(prepared, ask.read_s)
        except (requests.RequestException, *BROKEN) as error:
            # A kept connection may have been closed by the other side while it was idle.
            if ask.method not in _IDEMPOTENT or not was_dropped(error):
                raise LineFailed(self._line, why(error)) from error
        try:
            return self._sent(prepared, ask.read_s)
        except (requests.RequestException, *BROKEN) as error:
            raise LineFailed(self._line, why(error)) from error

    def whole(self, raw: BaseHTTPResponse, max_bytes: int) -> bytes:
        """The whole body, decoded. Raises LineFailed when it breaks off, or is longer than *max_bytes*."""
        content = bytearray()
        try:
            while chunk := raw.read(_CHUNK_BYTES, decode_content=True):
                content += chunk
                if len(content) > max_bytes:
                    raise LineFailed(self._line, f"its answer is longer than {max_bytes} bytes")
        except BROKEN as error:
            raise LineFailed(self._line, why(error)) from error
        finally:
            raw.close()
        return bytes(content)

    def close(self) -> None:
        """Close the idle connections."""
        self._session.close()

    def _sent(self, prepared: requests.PreparedRequest, read_s: float | None) -> BaseHTTPResponse:
        timeout = (self.timeout[0], read_s or self.timeout[1])
        response = self._session.send(prepared, stream=True, timeout=timeout, allow_redirects=False)
        raw: BaseHTTPResponse = response.raw
        return raw


def _session(max_connections: int, *, proxy: str | None, ca_bundle: str | None) -> requests.Session:
    session = _Session()
    session.trust_env = False
    session.headers.clear()
    session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
    session.verify = ca_bundle or True
    if proxy:
        session.proxies = {"http": proxy, "https": proxy}
    adapter = HTTPAdapter(pool_connections=_MAX_HOSTS, pool_maxsize=max_connections, max_retries=0)
    session.mount("https://", adapter)
    session.mount("http://", adapter)
    return session
