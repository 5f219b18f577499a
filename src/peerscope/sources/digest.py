"""HTTP Digest (RFC 7616) whose challenge holds for one connection, as that of monerod.

Such a server calls the nonce of another connection stale. Python's own handler opens a connection for each request, so
it never gets in.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Collection
from email.message import Message
from http.client import HTTPConnection, HTTPException, HTTPResponse
from urllib.error import HTTPError
from urllib.request import (
    HTTPDigestAuthHandler,
    HTTPPasswordMgrWithDefaultRealm,
    Request,
    parse_http_list,
    parse_keqv_list,
)

from peerscope.errors import ConfigError, SourceError
from peerscope.sources.endpoint import ANSWER_TIMEOUT_S, LOGIN, Endpoint, Page, failure, whole_body, whole_page
from peerscope.sources.place import NodePlace, secret, shown


class DigestEndpoint(Endpoint):
    """An interface that is open, or that wants a user and a password by Digest."""

    def __init__(self, place: NodePlace, example: str, *, advice: str = "") -> None:
        """As for any endpoint. With a user it must be HTTP: Digest hides the password. Raises `ConfigError`."""
        super().__init__(place, example, advice=advice, login=LOGIN)
        self._user, self._password_file = place.options.get("user"), place.options.get("password_file", "")
        if self._user is not None and not place.address.startswith("http:"):
            raise ConfigError(
                f"the options user and password_file work only over http://, not at {shown(place.address)}"
            )

    def _exchange(self, request: Request, accepted: Collection[int]) -> Page:
        if self._user is None:
            return super()._exchange(request, accepted)
        url, end = shown(request.full_url), time.monotonic() + ANSWER_TIMEOUT_S
        try:
            with contextlib.closing(HTTPConnection(request.host, timeout=ANSWER_TIMEOUT_S)) as connection:
                answer = _asked(connection, request)
                if answer.status == 401:
                    whole_body(answer, url, end)
                    answer.close()  # else the connection still waits for it
                    request.add_unredirected_header("Authorization", self._proof(request, answer.headers))
                    answer = _asked(connection, request)
                if answer.status != 200 and answer.status not in accepted:
                    error = HTTPError(url, answer.status, answer.reason, answer.headers, answer)
                    raise SourceError(self._refusal(error, request))
                return whole_page(answer, url, end)
        except (OSError, HTTPException, ValueError) as error:
            raise SourceError(f"{url} does not answer: {failure(error)}{self.advice}") from None

    def _proof(self, request: Request, headers: Message) -> str:
        """Answer the first challenge that is a digest. Raises `SourceError`."""
        passwords = HTTPPasswordMgrWithDefaultRealm()  # the file may have been replaced, so it is read each time
        passwords.add_password(None, request.full_url, self._user or "", secret(self._password_file))
        for offer in headers.get_all("WWW-Authenticate") or ():
            kind, _, rest = offer.partition(" ")
            with contextlib.suppress(ValueError):  # no list of pairs, or an algorithm that Python does not know
                challenge = parse_keqv_list([part for part in parse_http_list(rest) if part])
                proof = HTTPDigestAuthHandler(passwords).get_authorization(request, challenge)
                if kind.lower() == "digest" and proof:
                    return f"Digest {proof}"
        raise SourceError(f"{shown(request.full_url)} wants credentials of a kind that we do not have")


def _asked(connection: HTTPConnection, request: Request) -> HTTPResponse:
    data = request.data if isinstance(request.data, bytes) else None
    connection.request(request.get_method(), request.selector, data, dict(request.header_items()))
    return connection.getresponse()
