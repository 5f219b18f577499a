"""One attempt to deliver something, in a thread of its own that ends with the process."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable

from peerscope.errors import DeliveryError

GRACE_S = 0.5
"""The socket's own timeout gives a better reason."""


async def in_thread(work: Callable[[], None], timeout_s: float, name: str) -> None:
    """Run blocking work; it gets no longer than this, although its thread may go on. Raises `DeliveryError`."""
    loop = asyncio.get_running_loop()
    result: asyncio.Future[None] = loop.create_future()

    def report(error: DeliveryError | None) -> None:
        if not result.done():
            if error is None:
                result.set_result(None)
            else:
                result.set_exception(error)

    def run() -> None:
        error: DeliveryError | None = None
        try:
            work()
        except DeliveryError as refusal:
            error = refusal
        except Exception as bug:  # a bug of a channel must not end the agent; its text might hold a secret
            error = DeliveryError(f"failed with {type(bug).__name__}", again=False)
        with contextlib.suppress(RuntimeError):  # the agent has ended meanwhile
            loop.call_soon_threadsafe(report, error)

    threading.Thread(target=run, name=name, daemon=True).start()
    try:
        async with asyncio.timeout(timeout_s + GRACE_S):
            await result
    except TimeoutError:
        raise DeliveryError(f"not done within {timeout_s:g} s", again=True) from None
