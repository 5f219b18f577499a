"""The anomaly rate: how much all metrics of a peer differ from its past, between 0 and 1.

Each metric is averaged by the minute and compared with up to three expectations. These are the median of the last two
hours and a moving average that follows drifts (EWMA, Roberts 1959). After a whole day the usual value at this time of
day joins them. A minute is unusual if it is five deviations from *all* of them. The spread is the larger of the median
absolute deviation and the moving mean deviation.

The rate is the share of unusual minutes among those of all metrics in the last ten. It names no attack. Each peer
computes its own and publishes it in its report. The rate of the network is the mean over all peers that do.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from math import isfinite
from statistics import fmean, median

from msgspec import Struct

from peerscope.records.bodies import RATIO_ONE
from peerscope.records.identity import PeerId
from peerscope.records.measures import Metrics
from peerscope.threats.chance import SIGMA, wilson_lower
from peerscope.threats.findings import Finding, finding
from peerscope.threats.signatures import Signature
from peerscope.views.snapshot import Snapshot

MINUTE_S = 60.0
RECENT = 120
"""Minutes of the median."""
RATED = 10
"""Minutes of the rate; also the minutes needed before any can be unusual."""
DEVIATIONS = 5.0
FLOOR = 0.05
"""Least relative spread."""
WEIGHT = 0.05
"""Weight of a new minute in the moving average: a memory of about twenty minutes."""
DAY_MINUTES = 1440
HOURS = 24
OF_THE_HOUR = 0.02
"""Weight of a minute in the usual value of its hour: a memory of about an hour, so yesterday counts."""


class AnomalyMetric:
    """One metric over time."""

    def __init__(self) -> None:
        self._recent: deque[float] = deque(maxlen=RECENT)
        self._level = self._deviation = 0.0
        self._hours: list[float | None] = [None] * HOURS
        self._minutes = 0

    def look(self, value: float, hour: int) -> bool | None:
        """Add a minute. Return whether it is unusual; None while there is too little data."""
        unusual = None
        if self._minutes >= RATED:
            middle = median(self._recent)
            mad = SIGMA * median(abs(one - middle) for one in self._recent)
            spread = max(mad, self._deviation, FLOOR * abs(middle), 1e-9)
            relative = spread / abs(middle) if middle else FLOOR
            expected = [middle, self._level]
            of_the_hour = self._hours[hour]
            if self._minutes >= DAY_MINUTES and of_the_hour is not None:
                expected.append(of_the_hour)
            # A value ten times as large varies ten times as much.
            unusual = all(abs(value - one) > DEVIATIONS * max(spread, relative * abs(one)) for one in expected)
            # Unusual values move the average only a little, or one attack would hide the next.
            self._follow(min(max(value, self._level - DEVIATIONS * spread), self._level + DEVIATIONS * spread))
        else:
            self._follow(value)
        self._remember(value, hour)
        return unusual

    def _follow(self, value: float) -> None:
        first = self._minutes == 0
        self._deviation += 0.0 if first else WEIGHT * (abs(value - self._level) - self._deviation)
        self._level = value if first else self._level + WEIGHT * (value - self._level)

    def _remember(self, value: float, hour: int) -> None:
        usual = self._hours[hour]
        self._hours[hour] = value if usual is None else usual + OF_THE_HOUR * (value - usual)
        self._recent.append(value)
        self._minutes += 1


class Anomalies:
    """All metrics of one peer."""

    def __init__(self) -> None:
        self._metrics: dict[str, AnomalyMetric] = {}
        self._minute: int | None = None
        self._seen: dict[str, list[float]] = {}
        self._rated: deque[tuple[int, int]] = deque(maxlen=RATED)
        """(unusual, judged) of the last minutes."""

    def measure(self, metrics: Metrics, wall: float) -> None:
        """Add a measurement. `wall`: Unix seconds, for the time of day."""
        minute = int(wall // MINUTE_S)
        if self._minute is not None and minute != self._minute:
            self._close(int(self._minute // 60) % HOURS)
        self._minute = minute
        for name, value in numbers(metrics):
            self._seen.setdefault(name, []).append(value)

    @property
    def counted(self) -> tuple[int, int]:
        """(unusual, judged) metric-minutes of the last ten minutes."""
        return sum(unusual for unusual, _ in self._rated), sum(judged for _, judged in self._rated)

    @property
    def ratio(self) -> float | None:
        """The anomaly rate; None while there is too little data."""
        unusual, judged = self.counted
        return unusual / judged if judged else None

    def find(self, signature: Signature, me: PeerId) -> list[Finding]:
        """A finding if the rate is high."""
        unusual, judged = self.counted
        reached = signature.grade(unusual / judged) if judged and len(self._rated) == RATED else None
        if reached is None:
            return []
        return [
            finding(
                signature,
                me,
                severity=reached[0],
                confidence=wilson_lower(unusual, judged),
                text=f"{unusual / judged:.0%} of what was measured in {RATED} minutes differs from before",
                evidence=(("ratio", f"{unusual / judged:.2f}"), ("unusual", unusual), ("judged", judged)),
            )
        ]

    def _close(self, hour: int) -> None:
        results = [
            self._metrics.setdefault(name, AnomalyMetric()).look(fmean(seen), hour) for name, seen in self._seen.items()
        ]
        judged = [one for one in results if one is not None]
        if judged:
            self._rated.append((sum(judged), len(judged)))
        self._seen.clear()


class AnomalyRates(Struct, frozen=True):
    """Anomaly rates of the network."""

    network: float | None
    """Mean over the peers that publish one; null if none does."""
    peers: dict[str, float]
    """By full id."""


def rates(snapshot: Snapshot) -> AnomalyRates:
    """Rates in the fresh reports of all peers."""
    found = {
        peer.hex(): report.metrics.agent.anomaly / RATIO_ONE
        for peer, report in sorted(snapshot.living_reports.items())
        if report is not None and report.metrics is not None and report.metrics.agent.anomaly is not None
    }
    return AnomalyRates(fmean(found.values()) if found else None, found)


def network_anomaly(snapshot: Snapshot, signature: Signature) -> list[Finding]:
    """A finding if the rate of the network is high."""
    found = rates(snapshot)
    reached = None if found.network is None else signature.grade(found.network)
    if reached is None or found.network is None or len(found.peers) < 2:
        return []
    high = sum(ratio >= reached[1] for ratio in found.peers.values())
    return [
        finding(
            signature,
            "network",
            severity=reached[0],
            confidence=wilson_lower(high, len(found.peers)),
            text=f"{found.network:.0%} of what {len(found.peers)} peers measured differs from before",
            evidence=(("ratio", f"{found.network:.2f}"), ("peers", len(found.peers)), ("high", high)),
            scope="network",
        )
    ]


def numbers(metrics: Metrics) -> Iterator[tuple[str, float]]:
    """All levels in a report, without counters."""
    layer = "" if metrics.node is None else "node's "
    system, node, performance, agent = metrics.system, metrics.node, metrics.performance, metrics.agent
    found: dict[str, float | None] = {
        "cpu": system.cpu,
        "memory": system.memory_used_kib,
        "disk": system.disk_used_kib,
        "received": system.received_bytes_s,
        "sent": system.sent_bytes_s,
        "connections": system.connections,
        f"{layer}latency": performance.latency_us,
        f"{layer}error": performance.error,
        f"{layer}throughput": performance.throughput_bytes_s,
        "lag": agent.lag_us,
        "rss": agent.rss_kib,
    }
    if node is not None:
        found |= {"tunnels": node.tunnels, "active": node.active_connections, "peers": node.p2p_peers}
    return ((name, float(value)) for name, value in found.items() if value is not None and isfinite(value))
