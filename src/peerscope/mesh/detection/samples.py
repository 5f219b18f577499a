"""Measurements of one link by pings: the round-trip time, and the share of pings without an answer."""

from __future__ import annotations


class RoundTrip:
    """Smoothed RTT and its mean deviation, in seconds (RFC 6298, section 2)."""

    __slots__ = ("deviation_s", "last_s", "smoothed_s", "timeout_s")

    def __init__(self) -> None:
        self.smoothed_s: float | None = None
        self.deviation_s = 0.0
        self.last_s: float | None = None
        self.timeout_s = 0.3
        """How long an answer may take before it counts as missing."""

    def sample(self, rtt_s: float) -> None:
        self.last_s = rtt_s
        if self.smoothed_s is None:
            self.smoothed_s, self.deviation_s = rtt_s, rtt_s / 2
        else:
            self.deviation_s += (abs(self.smoothed_s - rtt_s) - self.deviation_s) / 4
            self.smoothed_s += (rtt_s - self.smoothed_s) / 8
        self.timeout_s = min(max(0.1, self.smoothed_s + 4 * self.deviation_s), 3.0)


class Loss:
    """Share of unanswered pings, over about the last fifty; starts from half a loss in ten."""

    __slots__ = ("_answered", "_missed")

    def __init__(self) -> None:
        self._answered = 0.0
        self._missed = 0.0

    def sample(self, missed: bool) -> None:
        """Add one ping."""
        self._answered = self._answered * 0.98 + (not missed)
        self._missed = self._missed * 0.98 + missed

    @property
    def ratio(self) -> float | None:
        """0..1, as measured; None before the first answer."""
        total = self._answered + self._missed
        return self._missed / total if total else None

    @property
    def cautious(self) -> float:
        """0..1, never quite 0: the loss to assume for unanswered probes."""
        return (self._missed + 0.5) / (self._answered + self._missed + 10)
