"""Who may ask: checks that stand before every route, in plain ASGI.

Host and Origin are checked against the names this server goes by, so that a page of somebody else's cannot read our
API through the operator's browser (DNS rebinding, cross-site WebSocket hijacking). What browsers say of where a request
comes from (Fetch Metadata) keeps such a page from sending requests whose answers it cannot read. With a token,
everything but the page's own files and the two health probes needs it, and who guesses is slowed down. Without one,
what changes something is taken from this machine only, and with a header that no page can send to another site.
"""

from __future__ import annotations

import hmac
import logging
import time
from collections.abc import Callable, Iterable, Sequence
from ipaddress import IPv6Address, ip_address, ip_network
from math import ceil
from urllib.parse import parse_qs

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.routing import BaseRoute, Match
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from peerscope.host.addresses import is_loopback
from peerscope.web.answers import problem

log = logging.getLogger(__name__)

LOOPBACK_HOSTS = frozenset({"127.0.0.1", "localhost", "::1"})
OPEN_PATHS = ("/healthz", "/readyz", "/static/", "/favicon.ico")
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
INTENT = "x-peerscope"
"""A header that says: meant for this program. A browser asks us before it sends it to us from another site's page, and
is never told that it may."""
NODE_PATHS = frozenset({"/api/v1/telemetry"})
"""Spoken to by programs, which need not send that header; browsers need it here too."""
BROWSER_MARKS = ("origin", "referer", "sec-fetch-site")
PROXY_MARKS = ("x-forwarded-for", "forwarded", "via")
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
    "worker-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
}
TRIES = 10
FORGIVEN_AFTER_S = 6.0
"""Each mistake. A guesser has ten tries a minute: a token of 128 bits stands for ever, a chosen word does not."""
ADDRESSES_MAX = 1024


class Lockout:
    """Wrong tokens by address. `now`: monotonic seconds."""

    def __init__(self) -> None:
        self._forgiven_at: dict[str, float] = {}

    def __len__(self) -> int:
        return len(self._forgiven_at)

    def wait_s(self, address: str, now: float) -> float:
        """How long until this address may try again; 0 where it may."""
        debt_s = self._forgiven_at.get(_host(address), now) - now
        return max(0.0, debt_s - (TRIES - 1) * FORGIVEN_AFTER_S)

    def failed(self, address: str, now: float) -> None:
        """Remember a wrong token."""
        host = _host(address)
        self._forgiven_at[host] = max(now, self._forgiven_at.get(host, now)) + FORGIVEN_AFTER_S
        if len(self._forgiven_at) > ADDRESSES_MAX:
            self._forgiven_at = {other: at for other, at in self._forgiven_at.items() if at > now}
        if len(self._forgiven_at) > ADDRESSES_MAX:
            del self._forgiven_at[min(self._forgiven_at, key=self._forgiven_at.__getitem__)]


class Guard:
    """ASGI middleware."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        hosts: Iterable[str],
        token: Callable[[], str],
        routes: Sequence[BaseRoute],
        has_proxies: bool = False,
    ) -> None:
        """`token`: the one that is needed now, empty for none; it may change while we run. `routes`: all there are.
        `has_proxies`: a known proxy's address was replaced by whose request it is."""
        self._app = app
        self._routes = routes
        self._hosts = LOOPBACK_HOSTS | {host.lower() for host in hosts}
        self._say_token = token
        self._has_proxies = has_proxies
        self._lockout = Lockout()

    @property
    def _token(self) -> str:
        return self._say_token()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        try:
            self._admit(scope)
        except HTTPException as refusal:
            response = problem(refusal.status_code, refusal.detail)
            response.headers.update(refusal.headers or {})
            await response(scope, receive, _with_headers(send))
        else:
            await self._serve(scope, receive, _with_headers(send))

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        """A bug of ours is told in the log, once; the client gets a problem document like any other."""
        began = False

        async def sending(message: Message) -> None:
            nonlocal began
            began = True
            await send(message)

        try:
            await self._app(scope, receive, sending)
        except Exception as error:
            log.error("a request for %s failed", scope["path"], exc_info=error)
            if scope["type"] == "http" and not began:
                await problem(500, "the agent failed to answer; its log says why")(scope, receive, send)

    def _admit(self, scope: Scope) -> None:
        """Raise `HTTPException` unless this request may be answered."""
        headers = Headers(scope=scope)
        host = _host_name(headers.get("host", ""))
        if host not in self._hosts:
            raise HTTPException(
                421, f"this server is not called {host[:64]!r}; add the name to web.allowed_hosts if it should be"
            )
        origin = headers.get("origin")
        # A browser names the page a request comes from; programs send no Origin.
        if (origin is not None and origin.partition("://")[2] != headers.get("host")) or _is_from_elsewhere(headers):
            raise HTTPException(403, "requests from other sites' pages are refused")
        path = scope["path"]
        if self._token:
            if path != "/" and not path.startswith(OPEN_PATHS):
                self._check_token(scope, headers)
        elif scope["type"] == "http" and scope["method"] not in SAFE_METHODS and self._is_route(scope):
            self._check_intent(scope, headers)

    def _is_route(self, scope: Scope) -> bool:
        return any(route.matches(scope)[0] is Match.FULL for route in self._routes)

    def _check_token(self, scope: Scope, headers: Headers) -> None:
        given = _token_given(scope, headers)
        address, now = _address(scope), time.monotonic()
        wait_s = ceil(self._lockout.wait_s(address, now))
        if given and wait_s:
            raise HTTPException(
                429, f"too many wrong tokens from {address}; wait {wait_s} s", {"retry-after": str(wait_s)}
            )
        if hmac.compare_digest(given.encode(), self._token.encode()):
            return
        if given:  # to have none is no guess
            self._lockout.failed(address, now)
        raise HTTPException(
            401, "a token is needed: send `Authorization: Bearer TOKEN`", {"www-authenticate": "Bearer"}
        )

    def _check_intent(self, scope: Scope, headers: Headers) -> None:
        is_forwarded = not self._has_proxies and any(mark in headers for mark in PROXY_MARKS)
        if is_forwarded or not is_loopback(_address(scope)):
            raise HTTPException(
                403, "taken from this machine only, and not through a proxy; set web.token to send it from another"
            )
        is_program = not any(mark in headers for mark in BROWSER_MARKS)
        if INTENT not in headers and not (is_program and scope["path"] in NODE_PATHS):
            raise HTTPException(403, "send the header `X-Peerscope: 1` too: it shows that no other site's page asks")


def _is_from_elsewhere(headers: Headers) -> bool:
    """A browser says that another site's page asks, other than by a link that somebody followed."""
    if headers.get("sec-fetch-site", "none") in ("none", "same-origin"):
        return False
    return (headers.get("sec-fetch-mode"), headers.get("sec-fetch-dest")) != ("navigate", "document")


def _token_given(scope: Scope, headers: Headers) -> str:
    scheme, _, given = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return given.strip()
    if scope["type"] == "websocket":  # browsers cannot set headers on a WebSocket
        query: str = scope["query_string"].decode("latin-1")
        return parse_qs(query).get("token", [""])[0]
    return ""


def _address(scope: Scope) -> str:
    client = scope.get("client")
    return str(client[0]) if client else ""


def _host_name(host: str) -> str:
    """The name without its port, lower case."""
    if host.startswith("["):
        return host[1:].partition("]")[0].lower()
    return host.partition(":")[0].lower()


def _with_headers(send: Send) -> Send:
    async def sending(message: Message) -> None:
        if message["type"] in ("http.response.start", "websocket.http.response.start"):
            headers = MutableHeaders(scope=message)
            for name, value in HEADERS.items():
                headers[name] = value
        await send(message)

    return sending


def _host(address: str) -> str:
    """Who is behind an address: in IPv6 a customer has a /64 to choose addresses from."""
    try:
        found = ip_address(address)
    except ValueError:
        return address
    if not isinstance(found, IPv6Address):
        return str(found)
    return str(found.ipv4_mapped or ip_network((found.packed, 64), strict=False))
