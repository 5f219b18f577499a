"""What systemd is told of this service: ready, reloading, stopping, alive (sd_notify(3)).

One datagram of `NAME=value` lines to the socket that systemd names in the environment. Without it nothing is sent, so
that the same program runs under any supervisor, or none.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import time
from collections.abc import Callable, Mapping


class Systemd:
    """The service manager that started this process, if it wants to be told."""

    def __init__(self, environment: Mapping[str, str] = os.environ) -> None:
        address = environment.get("NOTIFY_SOCKET", "")
        self._address = "\0" + address[1:] if address.startswith("@") else address  # @: Linux's abstract sockets
        self.watchdog_s = _watchdog_s(environment)
        """Silence after which systemd restarts the service; None where it does not watch."""

    def ready(self, status: str) -> None:
        """The service does its work, again or for the first time."""
        self._tell(f"READY=1\nSTATUS={_line(status)}\nMAINPID={os.getpid()}")

    def status(self, text: str) -> None:
        """One line for `systemctl status`."""
        self._tell(f"STATUS={_line(text)}")

    def reloading(self) -> None:
        """The settings are read again; `ready` ends it."""
        self._tell(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}\nSTATUS=reading the settings again")

    def stopping(self) -> None:
        """The service leaves."""
        self._tell("STOPPING=1\nSTATUS=leaving")

    async def keep_alive(self, status: Callable[[], str]) -> None:
        """Say twice as often as asked that the event loop turns, and how things are; until cancelled."""
        every_s = 10.0 if self.watchdog_s is None else min(10.0, self.watchdog_s / 2)
        while True:
            await asyncio.sleep(every_s)
            self._tell(f"WATCHDOG=1\nSTATUS={_line(status())}")

    def _tell(self, state: str) -> None:
        if not self._address:
            return
        # A service manager that does not listen must neither stop nor delay the agent.
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
            channel.setblocking(False)
            channel.sendto(state.encode(), self._address)


def _watchdog_s(environment: Mapping[str, str]) -> float | None:
    try:
        microseconds = int(environment.get("WATCHDOG_USEC", ""))
        is_ours = int(environment.get("WATCHDOG_PID", os.getpid())) == os.getpid()
    except ValueError:
        return None
    return microseconds / 1e6 if is_ours and microseconds > 0 else None


def _line(text: str) -> str:
    return " ".join(text.split())
