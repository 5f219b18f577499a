"""Limits on requests: how much a body may hold, and that they begin one at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from peerscope.host.numbers import whole
from peerscope.web.answers import problem

BODY_BYTES_MAX = 64 * 1024
"""Of a route that says nothing: room for any one thing that a person writes."""


class Bounded:
    """ASGI middleware."""

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
        heard = 0

        async def receiving() -> Message:
            nonlocal heard
            message = await receive()
            heard += len(message.get("body", b""))
            if heard > most:  # sent in chunks, so that nobody knew
                raise HTTPException(413, _too_much(most))
            return message

        await self._app(scope, receiving, send)


def _too_much(most: int) -> str:
    return f"more than {most} bytes; send less at a time"


class Turns:
    """A queue in front of work that is short for one and long for hundreds."""

    def __init__(self) -> None:
        self._lock = asyncio.Lock()

    async def mine(self) -> None:
        """Until it is our turn; nobody else's comes before the event loop has looked after everything once."""
        async with self._lock:
            await asyncio.sleep(0)


class InTurn:
    """ASGI middleware: requests begin one after the other."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._turns = Turns()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._turns.mine()
        await self._app(scope, receive, send)
