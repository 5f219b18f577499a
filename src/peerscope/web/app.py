"""Composes the web side, and serves it in the agent's event loop."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path

import uvicorn
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.staticfiles import StaticFiles
from starlette.websockets import WebSocket

from peerscope.addresses import split_address
from peerscope.agent import Monitor
from peerscope.errors import ConfigError
from peerscope.export.discovery import scraped_as
from peerscope.web.api import ROUTES
from peerscope.web.feed import Feed
from peerscope.web.guard import Guard
from peerscope.web.openapi import openapi
from peerscope.web.problems import on_http_error

STATIC = Path(str(files("peerscope.web"))) / "static"
SOCKET_BYTES_MAX = 4096
"""Largest message accepted from a feed's client; none is expected."""


def make_app(monitor: Monitor, feed: Feed, *, hosts: tuple[str, ...] = ()) -> Starlette:
    """The ASGI application of one agent. `hosts`: names beside loopback's under which it may be reached."""

    async def page(request: Request) -> Response:
        return FileResponse(STATIC / "index.html")

    async def dashboard(websocket: WebSocket) -> None:
        await feed.serve(websocket)

    app = Starlette(
        routes=[
            Route("/", page),
            WebSocketRoute("/dashboard", dashboard),
            Route("/openapi.json", openapi),
            *ROUTES,
            Mount("/static", StaticFiles(directory=STATIC)),
        ],
        middleware=[Middleware(Guard, hosts=hosts, token=lambda: monitor.config.web.token)],
        exception_handlers={HTTPException: on_http_error},
    )
    app.state.monitor = monitor
    return app


class WebServer:
    """Serves one agent's dashboard and API."""

    def __init__(self, monitor: Monitor) -> None:
        """Take the port at once, so that a taken one is told before anything starts. Raises `ConfigError`."""
        web = monitor.config.web
        host, port = split_address(web.listen, "web.listen")
        self._socket = _listen(host, port)
        port = self._socket.getsockname()[1]
        shown = f"[{host}]" if ":" in host else host
        monitor.http = f"http://{shown}:{port}"
        self._feed = Feed(monitor)
        app = make_app(monitor, self._feed, hosts=(host, *web.allowed_hosts, *scraped_as(monitor.config.export, host)))
        config = uvicorn.Config(
            app,
            lifespan="off",
            log_config=None,
            access_log=False,
            ws="websockets-sansio",
            ws_per_message_deflate=False,
            ws_max_size=SOCKET_BYTES_MAX,
            timeout_graceful_shutdown=1,
            server_header=False,
            date_header=False,
        )
        self._server = QuietServer(config)

    async def run(self) -> None:
        """Serve until cancelled."""
        feeding = asyncio.create_task(self._feed.run())
        serving = asyncio.create_task(self._server.serve(sockets=[self._socket]))
        try:
            done, _ = await asyncio.wait((serving, feeding), return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            feeding.cancel()
            self._server.stop()
            with contextlib.suppress(asyncio.CancelledError):
                await serving
            self._socket.close()


class QuietServer(uvicorn.Server):
    """uvicorn without its signal handlers, since the agent has its own, and without a wake-up every tenth of a second,
    which would be a third of an idle agent's."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self._stopped = asyncio.Event()

    def stop(self) -> None:
        """Close connections and end."""
        self.should_exit = True
        self._stopped.set()

    async def main_loop(self) -> None:
        await self.on_tick(0)
        await self._stopped.wait()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def _listen(host: str, port: int) -> socket.socket:
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        server = socket.create_server((host, port), family=family, backlog=256)
        # Inherited by each connection. asyncio sets it only on sockets that name their protocol, and small answers
        # would wait for a delayed acknowledgement.
        server.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return server
    except OSError as error:
        raise ConfigError(
            f"web.listen: cannot use {host}:{port}: {error.strerror}; choose another with --http HOST:PORT, "
            "or --http off"
        ) from None
