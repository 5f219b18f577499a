"""One POST over HTTP, with limits.

By `urllib` in a thread: it is loaded anyhow (65 ms and 8 MB, where httpx takes 280 ms and 18 MB), and there is one
request at a time and channel, so that connection pools and event loops gain nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from http.client import HTTPException
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener

from peerscope import __version__
from peerscope.errors import DeliveryError
from peerscope.mesh.detection.checks import printable

ANSWER_BYTES_MAX = 64 * 1024
AGAIN = (408, 425, 429)
"""Client errors that pass by themselves; all others say that we are wrong, and would be told again."""


class _Stay(HTTPRedirectHandler):
    """A redirect would carry a signed message, or a token, to somewhere nobody configured."""

    def redirect_request(self, *_: Any) -> None:
        return None


def post(url: str, body: bytes, headers: Mapping[str, str], *, timeout_s: float) -> bytes:
    """The beginning of the answer to a request that was taken.

    Raises `DeliveryError`. It names the host and no more of the URL: that may be a secret.
    """
    host = urlsplit(url).hostname or "the channel"
    request = Request(url, data=body, headers={"User-Agent": f"peerscope/{__version__}", **headers}, method="POST")
    try:
        with build_opener(_Stay).open(request, timeout=timeout_s) as answer:
            return bytes(answer.read(ANSWER_BYTES_MAX))
    except HTTPError as error:
        error.close()
        again = error.code in AGAIN or error.code >= 500
        reason = printable(str(error.reason))[:80]
        raise DeliveryError(f"{host} answers {error.code} {reason}", again, _wait_s(error)) from None
    except (URLError, OSError) as error:
        reason = printable(str(getattr(error, "reason", None) or error) or type(error).__name__)[:160]
        raise DeliveryError(f"{host} does not answer: {reason}", again=True) from None
    except (HTTPException, ValueError) as error:  # their texts may quote the URL
        raise DeliveryError(f"{host} breaks off: {type(error).__name__}", again=True) from None


def _wait_s(error: HTTPError) -> float | None:
    """What the other end asks for (RFC 9110, Retry-After), where it says so in seconds."""
    text = str(error.headers.get("Retry-After", "")) if error.headers is not None else ""
    return float(text) if text.isascii() and text.isdecimal() and len(text) < 8 else None
