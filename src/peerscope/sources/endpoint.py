"""One HTTP interface of a node: bounded requests, with a token or a password from a file.

Requests block, since each source has a thread of its own. They follow no redirect, use no proxy, and unpack nothing:
a small packed answer could fill the memory.
"""

from __future__ import annotations

import base64
import ssl
import time
from collections.abc import Collection, Mapping
from email.message import Message
from http import HTTPStatus
from http.client import HTTPException, HTTPResponse, RemoteDisconnected
from pathlib import Path
from typing import Any, TypeVar
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import HTTPSHandler, OpenerDirector, ProxyHandler, Request, build_opener

import msgspec
from msgspec import Struct

from peerscope.errors import ConfigError, SourceError
from peerscope.host.http import NoRedirect
from peerscope.mesh.detection.checks import printable
from peerscope.sources.faults import fault
from peerscope.sources.own_secrets import check_listener
from peerscope.sources.place import NodePlace, check_url, secret, shown

BODY_BYTES_MAX = 16 * 1024 * 1024
ANSWER_TIMEOUT_S = 4.0
"""For a whole answer: shorter than an attachment waits, so that the check shows its reason."""
REFUSAL_BYTES_MAX = 2048
SECRET_LENGTH_MIN = 4
OPTIONS = frozenset({"token_file", "header", "user", "password_file", "ca_file"})
TOKEN = "#token_file=PATH"
LOGIN = "#user=NAME&password_file=PATH"
KINDS = frozenset({"text/html", "text/plain", "text/xml", "application/xml", "application/octet-stream"})
"""Kinds of content that messages name. Others may hold anything, such as a header of the request."""
PORTS = {"http": 80, "https": 443}
T = TypeVar("T")


class Page(Struct, frozen=True):
    """A whole answer."""

    data: bytes
    content_type: str
    headers: Message
    status: int = 200


class Endpoint:
    """The base URL of an interface, and what opens it."""

    def __init__(
        self, place: NodePlace, example: str, *, advice: str = "", named: bool = True, login: str = TOKEN
    ) -> None:
        """`example`: a valid URL, for the message. Raises `ConfigError`.

        `advice`: what to do if nothing answers. `named`: False if its certificate names no host; then `ca_file` must be
        that very certificate. `login`: the options that let this program's users in.
        """
        check_url(place.address, example)
        self._url = place.address
        self._login = login
        self._options = options = place.options
        if ("user" in options) != ("password_file" in options):
            raise ConfigError("the options user and password_file need each other")
        if "header" in options and "token_file" not in options:
            raise ConfigError("the option header needs token_file, the file with the value of that header")
        self.advice = f"; {advice}" if advice else ""
        self._opener = _opener(options.get("ca_file"), named)

    def get(self, path: str = "", *, headers: Mapping[str, str] | None = None, accepted: Collection[int] = ()) -> Page:
        """Fetch a page. `accepted`: status codes that are answers too. Raises `SourceError`."""
        return self._exchange(Request(self._at(path), headers=dict(headers or {})), accepted)

    def post(
        self, path: str, data: bytes, *, headers: Mapping[str, str] | None = None, accepted: Collection[int] = ()
    ) -> Page:
        """Send bytes, and fetch the answer. `accepted`: status codes that are answers too. Raises `SourceError`."""
        return self._exchange(Request(self._at(path), data, dict(headers or {}), method="POST"), accepted)

    def json(self, path: str, kind: type[T], **request: Any) -> T:
        """Fetch JSON of this form. Raises `SourceError`."""
        return decoded(self.get(path, **request), kind, self.at(path))

    @property
    def url(self) -> str:
        """The base URL for people, without its query."""
        return shown(self._url)

    def at(self, path: str) -> str:
        """The URL of a path for people. The path begins with "/"; an empty one means the base itself."""
        return shown(self._at(path))

    def check_listener(self, file: Path, advice: str, *, ports: Collection[int] = ()) -> None:
        """Raises `SourceError` unless a secret that nobody named may go there. See `own_secrets.check_listener`."""
        place = urlsplit(self._url)
        port = place.port or PORTS[place.scheme]
        check_listener(file, place.hostname or "", port, advice, ports=ports, closed=self.advice)

    def _at(self, path: str) -> str:
        return self._url.rstrip("/") + path if path else self._url

    def _exchange(self, request: Request, accepted: Collection[int]) -> Page:
        for name, value in self._credentials().items():
            request.add_unredirected_header(name, value)
        url, end = shown(request.full_url), time.monotonic() + ANSWER_TIMEOUT_S
        try:
            with self._opener.open(request, timeout=ANSWER_TIMEOUT_S) as answer:
                return whole_page(answer, url, end)
        except HTTPError as error:
            with error:
                if error.code in accepted and isinstance(error.fp, HTTPResponse):
                    return whole_page(error.fp, url, end)
                raise SourceError(self._refusal(error, request)) from None
        except (URLError, OSError, HTTPException, ValueError) as error:
            raise SourceError(f"{url} does not answer: {failure(error)}{self.advice}") from None

    def _credentials(self) -> dict[str, str]:
        """Read from their files for each request: they may be replaced."""
        options = self._options
        if "cookie_file" in options:
            return {"Authorization": f"Basic {base64.b64encode(secret(options['cookie_file']).encode()).decode()}"}
        if "user" in options:
            pair = f"{options['user']}:{secret(options['password_file'])}".encode()
            return {"Authorization": f"Basic {base64.b64encode(pair).decode()}"}
        if "token_file" in options:
            token = secret(options["token_file"])
            return {options["header"]: token} if "header" in options else {"Authorization": f"Bearer {token}"}
        return {}

    def _refusal(self, error: HTTPError, request: Request) -> str:
        url = shown(request.full_url)
        if error.code not in (401, 403):
            words = _explanation(error)
            sent = [part for _, value in request.header_items() for part in (value, value.rpartition(" ")[2])]
            if any(part in words for part in sent if len(part) >= SECRET_LENGTH_MIN):
                words = ""  # it repeats what it was sent, perhaps our key
            return f"{url} answers {error.code} {words or _phrase(error.code)}".rstrip()
        if self._credentials():
            return f"{url} answers {error.code}: it does not accept these credentials"
        return f"{url} answers {error.code}: it wants credentials; name their file, as in {self._login}"


def failure(error: Exception) -> str:
    """Why a request failed, without any word of the server: it may repeat a header of the request."""
    reason = getattr(error, "reason", None)
    if isinstance(error, UnicodeEncodeError):
        return "its secret has letters that no header may hold"
    if isinstance(error, OSError) and not isinstance(error, HTTPException):
        return str(reason or error)
    return str(error) if isinstance(error, RemoteDisconnected) else "the answer is no valid HTTP"


def decoded(page: Page, kind: type[T], url: str) -> T:
    """Decode JSON. Raises `SourceError`, which says what came instead."""
    try:
        return msgspec.json.decode(page.data, type=kind)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        sort = page.content_type if page.content_type in KINDS else "of another kind"
        reason = f"it is {sort}" if page.content_type != "application/json" else fault(error)
        raise SourceError(f"{url} does not answer with the expected JSON: {reason}") from None


def whole_page(answer: HTTPResponse, url: str, end: float) -> Page:
    """The page of a whole answer. `end`: monotonic seconds. Raises `SourceError`."""
    return Page(whole_body(answer, url, end), answer.headers.get_content_type(), answer.headers, answer.status)


def whole_body(answer: HTTPResponse, url: str, end: float) -> bytes:
    """Read a whole body. A part of one is refused: it would look like fewer values."""
    if answer.status == HTTPStatus.PARTIAL_CONTENT:
        raise SourceError(f"{url} answers with a part of its page")
    data = bytearray()
    while chunk := answer.read1(65536):
        data += chunk
        if len(data) > BODY_BYTES_MAX:
            raise SourceError(f"{url} answers more than {BODY_BYTES_MAX} bytes")
        if time.monotonic() > end:
            raise SourceError(f"{url} has not finished its answer within {ANSWER_TIMEOUT_S:g} s")
    if answer.length:
        raise SourceError(f"{url} broke off: {answer.length} bytes of its answer are missing")
    packed = answer.headers.get("Content-Encoding", "identity").lower()
    if packed != "identity":
        raise SourceError(f"{url} answers packed, although nobody asked for it")
    return bytes(data)


def _explanation(error: HTTPError) -> str:
    """The program's own words, where its refusal is JSON with a message."""
    try:
        found = msgspec.json.decode(error.fp.read1(REFUSAL_BYTES_MAX) if isinstance(error.fp, HTTPResponse) else b"")
    except (msgspec.MsgspecError, OSError, HTTPException, ValueError, RecursionError):
        return ""
    for name in ("error", "Message", "message"):
        if isinstance(found, dict) and name in found:
            found = found[name]
    return printable(found)[:120] if isinstance(found, str) else ""


def _phrase(code: int) -> str:
    """The standard words for a status. Those of the server may be anything."""
    return HTTPStatus(code).phrase if code in HTTPStatus._value2member_map_ else ""


def _opener(ca_file: str | None, named: bool) -> OpenerDirector:
    handlers: list[Any] = [ProxyHandler({}), NoRedirect]
    if ca_file is not None:
        try:
            context = ssl.create_default_context(cafile=ca_file)
            context.check_hostname = named
            handlers.append(HTTPSHandler(context=context))
        except (OSError, ssl.SSLError) as error:
            raise ConfigError(f"ca_file {ca_file}: {error.strerror or error}") from None
    return build_opener(*handlers)
