"""Limits on requests: the size of a body, and one start at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from peerscope.host.numbers import whole
from peerscope.web.answers import problem

BODY_BYTES_MAX = 64 * 1024
"""Default limit: enough for any text that a person writes."""


class BodyLimit:
    """ASGI middleware that refuses bodies over a limit."""

    def __init__(self, app: ASGIApp, *, most: Mapping[str, int]) -> None:
        """`most`: bytes by path, where it is not `BODY_BYTES_MAX`."""
        self._app = app
        self._most = most

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        most = self._most.get(scope["path"], BODY_BYTES_MAX)
        announced = whole(Headers(scope=scope).get("content-length", "0"))
        if announced is None or announced > most:
            await problem(413, _too_much(most))(scope, receive, send)
            return
        received = 0

        async def receiving() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > most:  # a chunked body announces no length
                raise HTTPException(413, _too_much(most))
            return message

        await self._app(scope, receiving, send)


def _too_much(most: int) -> str:
    return f"more than {most} bytes; send less at a time"


class Turns:
    """A queue before work that is short for one client and long for hundreds."""

    def __init__(self) -> None:
        self._lock = asyncio.Lock()

    async def wait(self) -> None:
        """Wait for our turn. The event loop runs all other tasks once between two turns."""
        async with self._lock:
            await asyncio.sleep(0)


class OneAtATime:
    """ASGI middleware that starts one request after the other."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._turns = Turns()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._turns.wait()
        await self._app(scope, receive, send)
