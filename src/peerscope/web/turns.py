"""One at a time, and the event loop goes around in between: a crowd that comes at once delays nobody else."""

from __future__ import annotations

import asyncio

from starlette.types import ASGIApp, Receive, Scope, Send


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
