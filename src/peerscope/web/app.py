"""Composes the web side and serves it in the agent's event loop. `listener.py` imports this for the first client.

The page is some forty small modules, requested together. `Files` keeps them in memory: reading each from disk in a
thread takes most of the time until the first picture on a busy machine.
"""

from __future__ import annotations

import asyncio
import contextlib
import mimetypes
import socket
import ssl
from hashlib import blake2b
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
from peerscope.export.discovery import scraped_as
from peerscope.web.answers import on_http_error
from peerscope.web.api import ROUTES, openapi
from peerscope.web.feed import Feed
from peerscope.web.guard import Guard
from peerscope.web.limits import BodyLimit, OneAtATime
from peerscope.web.server import HttpServer

STATIC = Path(__file__).with_name("static")
SOCKET_BYTES_MAX = 4096
"""Largest message accepted from a client of the feed, which should send none."""
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


class Site:
    """The dashboard and API of one agent, ready to serve."""

    def __init__(self, monitor: NetworkView, host: str, tls: ssl.SSLContext | None) -> None:
        """`host`: the address that the server listens on."""
        self._failure_log = monitor.failure_log
        self._feed = Feed(monitor)
        web = monitor.config.web
        app = make_app(monitor, self._feed, hosts=(host, *web.allowed_hosts, *scraped_as(monitor.config.export, host)))
        self._server = HttpServer(app, tls, web.proxies, monitor.failure_log, ws_max_size=SOCKET_BYTES_MAX)

    async def run(self, listening: socket.socket) -> None:
        """Serve until cancelled."""
        feeding = asyncio.create_task(self._failure_log.going("the live feed", self._feed.run))
        serving = asyncio.create_task(self._server.serve(sockets=[listening]))
        try:
            done, _ = await asyncio.wait((serving, feeding), return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            feeding.cancel()
            self._server.stop()
            with contextlib.suppress(asyncio.CancelledError):
                await serving


def _read(place: Path) -> File:
    body = place.read_bytes()
    media_type = TYPES.get(place.suffix) or mimetypes.guess_type(place.name)[0] or "application/octet-stream"
    return File(body, media_type, f'"{blake2b(body, digest_size=8).hexdigest()}"')
