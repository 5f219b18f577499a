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
from http.client import HTTPException, HTTPResponse
from typing import Any, TypeVar
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import HTTPSHandler, OpenerDirector, ProxyHandler, Request, build_opener

import msgspec
from msgspec import Struct

from peerscope.errors import ConfigError, SourceError
from peerscope.host.addresses import is_loopback
from peerscope.host.http import NoRedirect
from peerscope.sources.faults import fault
from peerscope.sources.place import NodePlace, check_url, secret

BODY_BYTES_MAX = 16 * 1024 * 1024
ANSWER_TIMEOUT_S = 4.0
"""For a whole answer: shorter than an attachment waits, so that the check shows its reason."""
REFUSAL_BYTES_MAX = 2048
OPTIONS = frozenset({"token_file", "header", "user", "password_file", "ca_file"})
T = TypeVar("T")


class Page(Struct, frozen=True):
    """A whole answer."""

    data: bytes
    content_type: str
    headers: Message
    status: int = 200


class Endpoint:
    """The base URL of an interface, and what opens it."""

    def __init__(self, place: NodePlace, example: str, *, advice: str = "", named: bool = True) -> None:
        """`example`: a valid URL, for the message. Raises `ConfigError`.

        `advice`: what to do if nothing answers. `named`: False if its certificate names no host; then `ca_file` must be
        that very certificate.
        """
        check_url(place.address, example)
        self.url = place.address
        self._options = options = place.options
        if ("user" in options) != ("password_file" in options):
            raise ConfigError("the options user and password_file need each other")
        if "header" in options and "token_file" not in options:
            raise ConfigError("the option header needs token_file, the file with the value of that header")
        self.advice = f"; {advice}" if advice else ""
        self._opener = _opener(options.get("ca_file"), named)

    def get(self, path: str = "", *, headers: Mapping[str, str] | None = None, accepted: Collection[int] = ()) -> Page:
        """Fetch a page. `accepted`: status codes that are answers too. Raises `SourceError`."""
        return self._exchange(Request(self.at(path), headers=dict(headers or {})), accepted)

    def post(
        self, path: str, data: bytes, *, headers: Mapping[str, str] | None = None, accepted: Collection[int] = ()
    ) -> Page:
        """Send bytes, and fetch the answer. `accepted`: status codes that are answers too. Raises `SourceError`."""
        return self._exchange(Request(self.at(path), data, dict(headers or {}), method="POST"), accepted)

    def json(self, path: str, kind: type[T], **request: Any) -> T:
        """Fetch JSON of this form. Raises `SourceError`."""
        return decoded(self.get(path, **request), kind, self.at(path))

    @property
    def is_local(self) -> bool:
        """Whether it is on this machine. Secrets that nobody named in the settings go nowhere else."""
        return is_loopback(urlsplit(self.url).hostname or "")

    def at(self, path: str) -> str:
        """The URL of a path, which begins with "/"; an empty one means the base itself."""
        return self.url.rstrip("/") + path if path else self.url

    def _exchange(self, request: Request, accepted: Collection[int]) -> Page:
        for name, value in self._credentials().items():
            request.add_unredirected_header(name, value)
        url, end = request.full_url, time.monotonic() + ANSWER_TIMEOUT_S
        try:
            with self._opener.open(request, timeout=ANSWER_TIMEOUT_S) as answer:
                return whole_page(answer, url, end)
        except HTTPError as error:
            with error:
                if error.code in accepted and isinstance(error.fp, HTTPResponse):
                    return whole_page(error.fp, url, end)
                raise SourceError(self._refusal(error, url)) from None
        except (URLError, OSError, HTTPException, ValueError) as error:
            raise SourceError(
                f"{url} does not answer: {getattr(error, 'reason', None) or error}{self.advice}"
            ) from None

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

    def _refusal(self, error: HTTPError, url: str) -> str:
        if error.code not in (401, 403):
            return f"{url} answers {error.code} {_explanation(error) or error.reason}"
        if self._credentials():
            return f"{url} answers {error.code}: it does not accept these credentials"
        return f"{url} answers {error.code}: it wants credentials; name their file, as in #token_file=PATH"


def decoded(page: Page, kind: type[T], url: str) -> T:
    """Decode JSON. Raises `SourceError`, which says what came instead."""
    try:
        return msgspec.json.decode(page.data, type=kind)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        reason = f"it is {page.content_type}" if page.content_type != "application/json" else fault(error)
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
        raise SourceError(f"{url} answers packed ({packed[:20]}), although nobody asked for it")
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
    return found[:120] if isinstance(found, str) else ""


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
