"""Blocking work in daemon threads, so that work that hangs cannot keep an agent alive.

A thread that is done waits for more: to start one costs more than most of what runs here. Work that hangs keeps its
thread, and no other work waits for it.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable
from functools import partial
from queue import Empty, SimpleQueue
from typing import TypeVar

Result = TypeVar("Result")
Work = tuple[Callable[[], None], str]
IDLE_MAX = 4
IDLE_S = 30.0
"""A thread without work for so long ends."""
_idle: list[SimpleQueue[Work]] = []
"""Threads that wait for work."""


def in_thread(work: Callable[[], Result], name: str) -> asyncio.Future[Result]:
    """Run `work` in a daemon thread that runs nothing else meanwhile. The future gets its result or error."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[Result] = loop.create_future()

    def run() -> None:
        try:
            settle = partial(_settle, done, done.set_result, work())
        except Exception as error:
            settle = partial(_settle, done, done.set_exception, error)
        with contextlib.suppress(RuntimeError):  # the loop is closed, so nothing waits any more
            loop.call_soon_threadsafe(settle)

    try:
        _idle.pop().put((run, name))
    except IndexError:
        threading.Thread(target=_serve, args=(run, name), daemon=True).start()
    return done


def _serve(work: Callable[[], None], name: str) -> None:
    """Run one piece of work after the other, until none comes for a while."""
    queue: SimpleQueue[Work] = SimpleQueue()
    while True:
        threading.current_thread().name = name
        work()
        if len(_idle) >= IDLE_MAX:
            return
        work = _nothing  # what it holds on to is not ours to keep
        _idle.append(queue)
        try:
            work, name = queue.get(timeout=IDLE_S)
        except Empty:
            try:
                _idle.remove(queue)
            except ValueError:  # somebody took it at this moment: work is on its way
                work, name = queue.get()
            else:
                return


def _nothing() -> None:
    """No work."""


def _settle(done: asyncio.Future[Result], settle: Callable[..., None], with_what: object) -> None:
    if not done.cancelled():
        settle(with_what)
