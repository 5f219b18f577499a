"""One agent as a service: signals and the supervisor on one side, the `Monitor` on the other.

SIGTERM, SIGINT and an operator's order leave the network, within three seconds whatever hangs. SIGHUP reads the
settings again, unless a terminal holds us: then it means that the terminal is gone.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable, Coroutine
from typing import Any

from peerscope.agent.monitor import Monitor
from peerscope.agent.reload import reload
from peerscope.config import Config
from peerscope.errors import ConfigError
from peerscope.host.logs import configure, secrets_in
from peerscope.host.systemd import Systemd

LEAVE_S = 2.8
"""After so long the process ends, with whatever has not ended by itself: three seconds are promised."""

log = logging.getLogger(__name__)


class Service:
    """Runs a started agent until it has to leave."""

    def __init__(self, monitor: Monitor, load: Callable[[], Config]) -> None:
        """`load`: reads the settings again, as they were read at the start. Raises `ConfigError`."""
        self._monitor = monitor
        self._load = load
        self._systemd = Systemd()
        self._stopping = asyncio.Event()
        self._has_terminal = sys.stdin is not None and sys.stdin.isatty()

    def heed_signals(self) -> None:
        """From here on signals are ours; before, they end the process as they do any."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._stopping.set)
        loop.add_signal_handler(signal.SIGHUP, self._stopping.set if self._has_terminal else self.reload)

    async def run(self, *others: Coroutine[Any, Any, None]) -> None:
        """Until a signal comes, or any of the others ends; then leave."""
        self._systemd.ready(self._status())
        waits = [
            self._monitor.wait(),
            self._asked_to_stop(),
            self._asked_to_leave(),
            self._systemd.keep_alive(self._status),
            *others,
        ]
        work = [asyncio.create_task(one) for one in waits]
        try:
            done, _ = await asyncio.wait(work, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            self._systemd.stopping()
            with _Deadline():
                for task in work:
                    task.cancel()
                # At once: the goodbye must not wait for clients of the dashboard.
                await asyncio.gather(self._monitor.stop(), *work, return_exceptions=True)

    def reload(self) -> None:
        """Read the settings again, and say what came of it: in the log, as an event, and to systemd."""
        self._systemd.reloading()
        try:
            new = self._load()
            found = reload(self._monitor, new)
        except ConfigError as error:
            log.error("the settings are not taken: %s; going on with those before", error)
            self._monitor.event_log.send("reload", error=str(error), applied=(), needs_restart=())
        else:
            configure(self._monitor.config.log, secrets_in(new.plain()))
            log.info("the settings are read again; %s", found)
            self._monitor.event_log.send("reload", error=None, applied=found.applied, needs_restart=found.needs_restart)
        self._systemd.ready(self._status())

    async def _asked_to_stop(self) -> None:
        await self._stopping.wait()

    async def _asked_to_leave(self) -> None:
        await self._monitor.leaving.wait()
        log.info("an operator asked this agent to leave: a planned absence")

    def _status(self) -> str:
        peer = self._monitor.peer
        return f"{len(peer.ledger)} peers known, {len(peer.links.up())} links up"


class _Deadline:
    """Ends the process should what is inside not end by itself."""

    def __enter__(self) -> None:
        self._timer = threading.Timer(LEAVE_S, _give_up)
        self._timer.daemon = True
        self._timer.start()

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()


def _give_up() -> None:
    log.error("not everything ended within %.1f s; the process ends all the same", LEAVE_S)
    sys.stderr.flush()
    os._exit(1)
