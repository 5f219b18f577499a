"""Reports of telemetry beside its sums: connections, values of the node's own kind, and lines of its log."""

from __future__ import annotations

from collections import Counter, deque

import msgspec
from msgspec import Struct

from peerscope.mesh.detection.checks import printable
from peerscope.records.bodies import OVERLAY_MAX, OverlayLink
from peerscope.records.measures import COUNT_MAX, MEASURES_MAX, Measure
from peerscope.records.texts import OverlayId
from peerscope.sources.mapping import amount

REMOTES_MAX = 65_536
ERRORS_KEPT = 3
REFUSALS = {
    "too-many-gauges": f"there are {MEASURES_MAX} others already",
    "declared-otherwise": "its first event declared another unit or kind",
    "out-of-range": "a running total lies between 0 and 2^53",
}
"""Why a gauge is refused, for people."""
LINE_MAX = 160
LEVELS = {
    "trace": "debug",
    "debug": "debug",
    "info": "info",
    "information": "info",
    "notice": "info",
    "warn": "warning",
    "warning": "warning",
    "err": "error",
    "error": "error",
    "critical": "critical",
    "fatal": "critical",
    "panic": "critical",
}
"""The levels of common logging libraries, as five. All others count as "other"."""
ERRORS = frozenset({"error", "critical"})


class _Remote(Struct):
    connections: int = 0
    rtt_us: int | None = None


class Connections:
    """Open connections, by their other end."""

    def __init__(self) -> None:
        self.count = 0
        """Open connections."""
        self._remotes: dict[str, _Remote] = {}

    @property
    def remotes(self) -> int:
        """Other ends with an open connection."""
        return len(self._remotes)

    def take(self, event: str, remote: str, rtt_s: float | None) -> None:
        """Count a connection that was "opened" or "closed", or keep the time of one that was "measured"."""
        known = self._remotes.get(remote)
        if event == "opened":
            self.count += 1
            if known is None and len(self._remotes) < REMOTES_MAX:
                known = self._remotes[remote] = _Remote()
            if known is not None:
                known.connections += 1
        elif event == "closed":
            # Connections that were open before we listened close too.
            self.count = max(0, self.count - 1)
            if known is not None:
                known.connections -= 1
                if not known.connections:
                    del self._remotes[remote]
        if known is not None and rtt_s is not None:
            known.rtt_us = min(600_000_000, round(rtt_s * 1e6))

    def overlay(self) -> tuple[OverlayLink, ...]:
        """The neighbours, those connected for the longest time first: they change least where there are too many."""
        links: dict[str, OverlayLink] = {}
        for remote, known in self._remotes.items():
            if len(links) == OVERLAY_MAX:
                break
            node = remote.rpartition("/p2p/")[2]  # libp2p writes an address with the id at its end
            before = links.get(node)
            if (before is None or before.rtt_us is None) and _is_id(node):
                links[node] = OverlayLink(node, known.rtt_us)
        return tuple(links.values())


class Declared:
    """Values of the node's own kind. The first event of a name declares its unit and kind."""

    def __init__(self) -> None:
        self._measures: dict[str, Measure] = {}

    def take(self, name: str, value: float, unit: str, kind: str | None) -> str | None:
        """Keep a value. Returns the reason if it is refused."""
        known = self._measures.get(name)
        if known is None:
            if len(self._measures) == MEASURES_MAX:
                return "too-many-gauges"
            known = Measure(name, None, unit, kind == "counter")
        elif (unit and unit != known.unit) or (kind is not None and (kind == "counter") != known.is_counter):
            return "declared-otherwise"
        if known.is_counter and not 0 <= value <= COUNT_MAX:
            return "out-of-range"
        self._measures[name] = msgspec.structs.replace(known, value=amount(value))
        return None

    def measures(self) -> tuple[Measure, ...]:
        """The last value of each."""
        return tuple(self._measures.values())


class LogLines:
    """Counts of log lines by level, and the last errors."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._errors: deque[str] = deque(maxlen=ERRORS_KEPT)

    def take(self, level: str, message: str) -> None:
        """Count a line, and keep it if it is an error."""
        level = LEVELS.get(level.strip().lower(), "other")
        self._counts[level] += 1
        if level in ERRORS:
            self._errors.append(" ".join(printable(message).split())[:LINE_MAX])

    def details(self) -> dict[str, float | str | None]:
        """The counts, and the last errors, the newest first."""
        counts: dict[str, float | str | None] = {f"log_{level}": float(n) for level, n in sorted(self._counts.items())}
        return {**counts, **{f"last_error_{n}": line for n, line in enumerate(reversed(self._errors), 1)}}


def _is_id(text: str) -> bool:
    try:
        msgspec.convert(text, OverlayId)
    except msgspec.ValidationError:
        return False
    return True
