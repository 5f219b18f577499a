"""Reports the state of this service to systemd: ready, reloading, stopping, alive (sd_notify(3)).

Each report is one datagram of `NAME=value` lines to the socket in the environment. Without a socket nothing is sent, so
the same program runs under any supervisor, or none.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import time
from collections.abc import Callable, Mapping


class Systemd:
    """The service manager of this process, if it takes reports."""

    def __init__(self, environment: Mapping[str, str] = os.environ) -> None:
        address = environment.get("NOTIFY_SOCKET", "")
        self._address = "\0" + address[1:] if address.startswith("@") else address  # @: Linux's abstract sockets
        self.watchdog_s = _watchdog_s(environment)
        """Silence after which systemd restarts the service; None without a watchdog."""

    def ready(self, status: str) -> None:
        """Report that the service has started or reloaded."""
        self._send(f"READY=1\nSTATUS={_line(status)}\nMAINPID={os.getpid()}")

    def status(self, text: str) -> None:
        """Report one line for `systemctl status`."""
        self._send(f"STATUS={_line(text)}")

    def reloading(self) -> None:
        """Report a reload of the settings; `ready` ends it."""
        self._send(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}\nSTATUS=reading the settings again")

    def stopping(self) -> None:
        """Report that the service stops."""
        self._send("STOPPING=1\nSTATUS=leaving")

    async def keep_alive(self, status: Callable[[], str]) -> None:
        """Report twice per watchdog interval that the event loop runs, with the status, until cancelled."""
        every_s = 10.0 if self.watchdog_s is None else min(10.0, self.watchdog_s / 2)
        while True:
            await asyncio.sleep(every_s)
            self._send(f"WATCHDOG=1\nSTATUS={_line(status())}")

    def _send(self, state: str) -> None:
        if not self._address:
            return
        # A service manager that does not answer must neither stop nor delay the agent.
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
