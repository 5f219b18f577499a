"""Blocking work in daemon threads, so that work that hangs cannot keep an agent alive."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable
from functools import partial
from typing import TypeVar

Result = TypeVar("Result")


def in_thread(work: Callable[[], Result], name: str) -> asyncio.Future[Result]:
    """Run `work` in a daemon thread of its own. The future gets its result or error."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[Result] = loop.create_future()

    def run() -> None:
        try:
            settle = partial(_settle, done, done.set_result, work())
        except Exception as error:
            settle = partial(_settle, done, done.set_exception, error)
        with contextlib.suppress(RuntimeError):  # the loop is closed, so nothing waits any more
            loop.call_soon_threadsafe(settle)

    threading.Thread(target=run, name=name, daemon=True).start()
    return done


def _settle(done: asyncio.Future[Result], settle: Callable[..., None], with_what: object) -> None:
    if not done.cancelled():
        settle(with_what)
