"""Who may ask: checks that stand before every route, in plain ASGI.

Host and Origin are checked against the names this server goes by, so that a page of somebody else's cannot read our
API through the operator's browser (DNS rebinding, cross-site WebSocket hijacking). With a token, everything but the
page's own files and the two health probes needs it.
"""

from __future__ import annotations

import hmac
import logging
from collections.abc import Callable, Iterable
from urllib.parse import parse_qs

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from peerscope.web.problems import problem

log = logging.getLogger(__name__)

LOOPBACK_HOSTS = frozenset({"127.0.0.1", "localhost", "::1"})
OPEN_PATHS = ("/healthz", "/readyz", "/static/", "/favicon.ico")
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


class Guard:
    """ASGI middleware."""

    def __init__(self, app: ASGIApp, *, hosts: Iterable[str], token: Callable[[], str]) -> None:
        """`token`: the one that is needed now; empty for none. It may change while we run."""
        self._app = app
        self._hosts = LOOPBACK_HOSTS | {host.lower() for host in hosts}
        self._say_token = token

    @property
    def _token(self) -> str:
        return self._say_token()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        refusal = self._refusal(scope)
        if refusal is None:
            await self._serve(scope, receive, _with_headers(send))
        elif scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close", "code": 1008, "reason": refusal[1][:100]})
        else:
            status, detail = refusal
            response = problem(status, detail)
            if status == 401:
                response.headers["www-authenticate"] = "Bearer"
            await response(scope, receive, _with_headers(send))

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

    def _refusal(self, scope: Scope) -> tuple[int, str] | None:
        headers = Headers(scope=scope)
        host = _host_name(headers.get("host", ""))
        if host not in self._hosts:
            return 421, f"this server is not called {host[:64]!r}; add the name to web.allowed_hosts if it should be"
        origin = headers.get("origin")
        # A browser names the page a request comes from; programs send no Origin.
        if origin is not None and origin.partition("://")[2] != headers.get("host"):
            return 403, "requests from other sites' pages are refused"
        path = scope["path"]
        if self._token and path != "/" and not path.startswith(OPEN_PATHS) and not self._knows_token(scope, headers):
            return 401, "a token is needed: send `Authorization: Bearer TOKEN`"
        return None

    def _knows_token(self, scope: Scope, headers: Headers) -> bool:
        given = headers.get("authorization", "").removeprefix("Bearer ")
        if scope["type"] == "websocket":  # browsers cannot set headers on a WebSocket
            query = parse_qs(scope["query_string"].decode("latin-1"))
            given = given or query.get("token", [""])[0]
        return hmac.compare_digest(given.encode(), self._token.encode())


def _host_name(host: str) -> str:
    """The name without its port, lower case."""
    if host.startswith("["):
        return host[1:].partition("]")[0].lower()
    return host.partition(":")[0].lower()


def _with_headers(send: Send) -> Send:
    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in HEADERS.items():
                headers[name] = value
        await send(message)

    return sending
