"""Checks before every route, in plain ASGI.

The guard compares Host and Origin with the names of this server. So a page of another site cannot read the API through
the operator's browser (DNS rebinding, cross-site WebSocket hijacking). Fetch Metadata keeps such a page from
sending requests whose answers it cannot read. If a token is set, all requests need it, except for the page's own files
and the two health probes. Wrong tokens slow a client down. Without a token, requests that change something must come
from this machine, with a header that no page can send to another site.
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
"""A header that pages of other sites cannot send: the browser asks first, and this server never allows it."""
NODE_PATHS = frozenset({"/api/v1/telemetry"})
"""Programs need not send that header here; browsers must."""
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
"""A wrong token counts for this long. Ten tries a minute never find a token of 128 bits, but may find a word."""
ADDRESSES_MAX = 1024


class Lockout:
    """Slows down addresses that send wrong tokens. `now`: monotonic seconds.

    A leaky bucket needs one number per address: when its last wrong token expires.
    """

    def __init__(self) -> None:
        self._forgiven_at: dict[str, float] = {}

    def __len__(self) -> int:
        return len(self._forgiven_at)

    def wait_s(self, address: str, now: float) -> float:
        """Seconds until this address may try again; 0: now."""
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
    """ASGI middleware that refuses requests before they reach a route."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        hosts: Iterable[str],
        token: Callable[[], str],
        routes: Sequence[BaseRoute],
        has_proxies: bool = False,
    ) -> None:
        """`token`: returns the current token, empty for none. `has_proxies`: the server has already replaced the
        address of a known proxy by that of its client."""
        self._app = app
        self._routes = routes
        self._hosts = LOOPBACK_HOSTS | {host.lower() for host in hosts}
        self._get_token = token
        self._has_proxies = has_proxies
        self._lockout = Lockout()

    @property
    def _token(self) -> str:
        return self._get_token()

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
        """Log an exception of a route, and answer it with a problem document."""
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
                await problem(500, "the agent failed to answer; its log has the reason")(scope, receive, send)

    def _admit(self, scope: Scope) -> None:
        """Raise `HTTPException` unless this request may be answered."""
        headers = Headers(scope=scope)
        host = _host_name(headers.get("host", ""))
        if host not in self._hosts:
            raise HTTPException(
                421, f"this server is not called {host[:64]!r}; add the name to web.allowed_hosts if it should be"
            )
        origin = headers.get("origin")
        # A browser names the site of the page; programs send no Origin.
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
        if given:  # a request without a token is no guess
            self._lockout.failed(address, now)
        raise HTTPException(
            401, "a token is needed: send `Authorization: Bearer TOKEN`", {"www-authenticate": "Bearer"}
        )

    def _check_intent(self, scope: Scope, headers: Headers) -> None:
        is_forwarded = not self._has_proxies and any(mark in headers for mark in PROXY_MARKS)
        if is_forwarded or not is_loopback(_address(scope)):
            raise HTTPException(
                403, "allowed from this machine only, and not through a proxy; set web.token to allow other machines"
            )
        is_program = not any(mark in headers for mark in BROWSER_MARKS)
        if INTENT not in headers and not (is_program and scope["path"] in NODE_PATHS):
            raise HTTPException(403, "send the header `X-Peerscope: 1` too: it shows that no other site's page asks")


def _is_from_elsewhere(headers: Headers) -> bool:
    """Whether a browser sends this for a page of another site, other than by a followed link."""
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
    """Key of an address: in IPv6 its /64, from which one customer can choose addresses."""
    try:
        found = ip_address(address)
    except ValueError:
        return address
    if not isinstance(found, IPv6Address):
        return str(found)
    return str(found.ipv4_mapped or ip_network((found.packed, 64), strict=False))
