"""Listens for the clients of the dashboard, and loads the server when the first one comes.

Starlette, uvicorn and our routes take 7 MB and 60 ms of CPU, and most agents of a network have no client for days. So
an agent binds the port and checks all settings at its start, as the server would. The rest waits for a client: its
connection stays in the queue of the kernel until a thread has imported the server.

An agent whose package was replaced while it runs would load the new server into the old program. If that fails, the
log says so, and the agent tries again; a restart mends it.
"""

from __future__ import annotations

import asyncio
import errno
import socket
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING

from peerscope.agent.network_view import NetworkView
from peerscope.config import WebConfig
from peerscope.errors import ConfigError
from peerscope.host.addresses import split_address
from peerscope.host.failures import RESTART_INTERVAL_S
from peerscope.host.threads import in_thread
from peerscope.web.tls import TlsFiles

if TYPE_CHECKING:
    from peerscope.web.app import Site

SERVER = "peerscope.web.app"
SEND_BYTES = 256 * 1024
"""Send buffer of a connection. The kernel's default takes megabytes for each client that does not read."""


class WebServer:
    """Serves one agent's dashboard and API."""

    def __init__(self, monitor: NetworkView) -> None:
        """Bind the port, so that a taken one fails before anything starts. Raises `ConfigError`."""
        self._monitor = monitor
        self._tls, self._host, port = _prepared(monitor.config.web)
        monitor.tls = self._tls
        self._socket = _listen(self._host, port)
        port = self._socket.getsockname()[1]
        shown = f"[{self._host}]" if ":" in self._host else self._host
        monitor.http = f"{'https' if self._tls else 'http'}://{shown}:{port}"

    async def run(self) -> None:
        """Serve until cancelled."""
        parts = {asyncio.create_task(self._serve())}
        if self._tls:
            going = self._monitor.failure_log.going("the files of TLS", self._tls.run)
            parts.add(asyncio.create_task(going))
        try:
            done, _ = await asyncio.wait(parts, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in parts:
                task.cancel()
            await asyncio.gather(*parts, return_exceptions=True)
            self._socket.close()

    async def _serve(self) -> None:
        await _first_client(self._socket)
        site = await self._load()
        await site.run(self._socket)

    async def _load(self) -> Site:
        """Import and compose the server; again and again while that fails, as without free descriptors."""
        while True:
            with self._monitor.failure_log.at("a connection to the dashboard"):
                module = await in_thread(partial(import_module, SERVER), "load the dashboard")
                site: Site = module.Site(self._monitor, self._host, self._tls.context if self._tls else None)
                return site
            await asyncio.sleep(RESTART_INTERVAL_S)


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


async def _first_client(listening: socket.socket) -> None:
    """Wait until a connection can be accepted."""
    loop = asyncio.get_running_loop()
    has_come = asyncio.Event()
    loop.add_reader(listening, has_come.set)
    try:
        await has_come.wait()
    finally:
        loop.remove_reader(listening)
