"""Composes the web side and serves it in the agent's event loop.

The page is some forty small modules, requested together. `Files` keeps them in memory: reading each from disk in a
thread takes most of the time until the first picture on a busy machine.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import mimetypes
import socket
from hashlib import blake2b
from importlib.resources import files
from pathlib import Path

from msgspec import Struct
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

from peerscope.agent.network_view import NetworkView
from peerscope.config import WebConfig
from peerscope.errors import ConfigError
from peerscope.export.discovery import scraped_as
from peerscope.host.addresses import split_address
from peerscope.web.answers import on_http_error
from peerscope.web.api import ROUTES, openapi
from peerscope.web.feed import Feed
from peerscope.web.guard import Guard
from peerscope.web.limits import BodyLimit, OneAtATime
from peerscope.web.server import HttpServer
from peerscope.web.tls import TlsFiles

STATIC = Path(str(files("peerscope.web"))) / "static"
SOCKET_BYTES_MAX = 4096
"""Largest message accepted from a client of the feed, which should send none."""

SEND_BYTES = 256 * 1024
"""Send buffer of a connection. The kernel's default takes megabytes for each client that does not read."""
TYPES = {".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml", ".html": "text/html"}
"""The system's table calls scripts plain text on some machines."""


class File(Struct, frozen=True):
    """One file as the server sends it."""

    body: bytes
    media_type: str
    tag: str


class Files:
    """The files below one folder. Each is read on its first request, then kept. No path leads out of the folder."""

    def __init__(self, folder: Path) -> None:
        self._places = {str(place.relative_to(folder)): place for place in folder.rglob("*") if place.is_file()}
        self._read: dict[str, File] = {}

    def answer(self, request: Request, name: str) -> Response:
        """Return the file, or 304 if the browser has it. Raises 404."""
        place = self._places.get(name)
        if place is None:
            raise HTTPException(404, "the page has no such file")
        file = self._read.get(name)
        if file is None:
            file = self._read[name] = _read(place)
        # The browser revalidates each time, so that the page of an upgraded agent never mixes two versions.
        headers = {"etag": file.tag, "cache-control": "no-cache"}
        if request.headers.get("if-none-match") == file.tag:
            return Response(status_code=304, headers=headers)
        return Response(file.body, headers=headers, media_type=file.media_type)


def make_app(monitor: NetworkView, feed: Feed, *, hosts: tuple[str, ...] = ()) -> Starlette:
    """The ASGI application of one agent. `hosts`: its allowed names beside those of loopback."""
    pages = Files(STATIC)

    def token() -> str:
        return monitor.config.web.token

    async def page(request: Request) -> Response:
        return pages.answer(request, "index.html")

    async def file(request: Request) -> Response:
        return pages.answer(request, request.path_params["name"])

    async def dashboard(websocket: WebSocket) -> None:
        await feed.serve(websocket)

    web = monitor.config.web
    app = Starlette(
        routes=[
            Route("/", page),
            WebSocketRoute("/dashboard", dashboard),
            Route("/openapi.json", openapi),
            *ROUTES,
            Route("/static/{name:path}", file),
        ],
        middleware=[
            Middleware(OneAtATime),
            Middleware(
                Guard, hosts=hosts, token=lambda: monitor.config.web.token, routes=ROUTES, has_proxies=bool(web.proxies)
            ),
            Middleware(BodyLimit, most={route.path: route.body.bytes_max for route in ROUTES if route.body}),
        ],
        exception_handlers={HTTPException: on_http_error},
    )
    app.state.monitor = monitor
    return app


class WebServer:
    """Serves one agent's dashboard and API."""

    def __init__(self, monitor: NetworkView) -> None:
        """Bind the port, so that a taken one fails before anything starts. Raises `ConfigError`."""
        web = monitor.config.web
        self._tls, host, port = _prepared(web)
        monitor.tls = self._tls
        self._socket = _listen(host, port)
        port = self._socket.getsockname()[1]
        shown = f"[{host}]" if ":" in host else host
        monitor.http = f"{'https' if self._tls else 'http'}://{shown}:{port}"
        self._failure_log = monitor.failure_log
        self._feed = Feed(monitor)
        app = make_app(monitor, self._feed, hosts=(host, *web.allowed_hosts, *scraped_as(monitor.config.export, host)))
        context = self._tls.context if self._tls else None
        self._server = HttpServer(app, context, web.proxies, monitor.failure_log, ws_max_size=SOCKET_BYTES_MAX)

    async def run(self) -> None:
        """Serve until cancelled."""
        failure_log = self._failure_log
        feeding = asyncio.create_task(failure_log.going("the live feed", self._feed.run))
        serving = asyncio.create_task(self._server.serve(sockets=[self._socket]))
        parts = {serving, feeding}
        if self._tls:
            parts.add(asyncio.create_task(failure_log.going("the files of TLS", self._tls.run)))
        try:
            done, _ = await asyncio.wait(parts, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in parts - {serving}:
                task.cancel()
            self._server.stop()
            with contextlib.suppress(asyncio.CancelledError):
                await serving
            self._socket.close()


def check_settings(web: WebConfig) -> None:
    """Raise the `ConfigError` that a `WebServer` would raise, except for a port that is taken."""
    _, host, port = _prepared(web)
    try:
        _listen(host, port).close()
    except ConfigError as error:
        cause = error.__context__
        if not (isinstance(cause, OSError) and cause.errno == errno.EADDRINUSE):
            raise


def _prepared(web: WebConfig) -> tuple[TlsFiles | None, str, int]:
    tls = TlsFiles(web.tls_cert, web.tls_key) if web.tls_cert else None
    return tls, *split_address(web.listen, "web.listen")


def _listen(host: str, port: int) -> socket.socket:
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        server = socket.create_server((host, port), family=family, backlog=256)
        # Each connection inherits it. asyncio sets it only on sockets that name their protocol; without it, small
        # answers wait for a delayed acknowledgement.
        server.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        server.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BYTES)
        return server
    except OSError as error:
        raise ConfigError(
            f"web.listen: cannot use {host}:{port}: {error.strerror}; choose another with --http HOST:PORT, "
            "or --http off"
        ) from None


def _read(place: Path) -> File:
    body = place.read_bytes()
    media_type = TYPES.get(place.suffix) or mimetypes.guess_type(place.name)[0] or "application/octet-stream"
    return File(body, media_type, f'"{blake2b(body, digest_size=8).hexdigest()}"')
