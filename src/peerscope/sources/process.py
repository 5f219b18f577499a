"""CPU time and memory of the agent's own process."""

from __future__ import annotations

import time

import psutil


class OwnProcess:
    """CPU and memory of the agent itself, with all its threads."""

    def __init__(self) -> None:
        self._process = psutil.Process()
        self._cpu_s, self._at = time.process_time(), time.monotonic()

    def cpu_ratio(self) -> float | None:
        """Share of one core since the last call, or the start; more than 1 where threads kept several busy."""
        before_s, self._cpu_s = self._cpu_s, time.process_time()
        began, self._at = self._at, time.monotonic()
        return (self._cpu_s - before_s) / (self._at - began) if self._at > began else None

    def rss_bytes(self) -> int | None:
        """Resident memory; None where unknown. Raises OSError."""
        try:
            return int(self._process.memory_info().rss)
        except psutil.Error:
            return None
