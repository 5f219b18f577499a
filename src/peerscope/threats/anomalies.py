"""How unlike its own past a peer is: one number between 0 and 1, of all its metrics together.

Each metric is averaged by the minute and compared with three expectations: the median of the last two hours, a moving
average that follows drifts (EWMA, Roberts 1959), and, once a whole day is known, what was usual at this time of day. A
minute is unusual when it lies five deviations from *all* of them: what is normal by any of the three is normal. The
spread is the larger of the median absolute deviation and the moving mean deviation.

The rate is the share of unusual ones among all metrics' minutes of the last ten. It names no attack. Each peer works
out its own and publishes it with its report; the network's is the mean over all that do.
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
"""Minutes that the median is taken of."""
RATED = 10
"""Minutes that the rate is taken of; and that must be known before anything is unusual."""
DEVIATIONS = 5.0
FLOOR = 0.05
"""Nothing is steadier than a twentieth of itself."""
WEIGHT = 0.05
"""Of a new minute in the moving average: about twenty minutes' memory."""
DAY_MINUTES = 1440
HOURS = 24
OF_THE_HOUR = 0.02
"""Weight of a minute in what is usual at its hour: about an hour's memory, so that yesterday's is what counts."""


class AnomalyMetric:
    """One number over time."""

    def __init__(self) -> None:
        self._recent: deque[float] = deque(maxlen=RECENT)
        self._level = self._deviation = 0.0
        self._hours: list[float | None] = [None] * HOURS
        self._minutes = 0

    def look(self, value: float, hour: int) -> bool | None:
        """Whether a minute is unusual, and remember it; None while too little is known."""
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
            # What is ten times as much varies ten times as much.
            unusual = all(abs(value - one) > DEVIATIONS * max(spread, relative * abs(one)) for one in expected)
            # What is unusual moves the average only so far, or one attack would hide the next.
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
        """What was measured now. `wall`: Unix seconds, for the time of day."""
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
        """The anomaly rate; None while too little is known."""
        unusual, judged = self.counted
        return unusual / judged if judged else None

    def find(self, signature: Signature, me: PeerId) -> list[Finding]:
        """A finding where the rate is high."""
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
                text=f"{unusual / judged:.0%} of what was measured in {RATED} minutes is unlike before",
                evidence=(("ratio", f"{unusual / judged:.2f}"), ("unusual", unusual), ("judged", judged)),
            )
        ]

    def _close(self, hour: int) -> None:
        told = [
            self._metrics.setdefault(name, AnomalyMetric()).look(fmean(seen), hour) for name, seen in self._seen.items()
        ]
        judged = [one for one in told if one is not None]
        if judged:
            self._rated.append((sum(judged), len(judged)))
        self._seen.clear()


class AnomalyRates(Struct, frozen=True):
    """Anomaly rates of the network."""

    network: float | None
    """Mean over the peers that tell theirs; null where none does."""
    peers: dict[str, float]
    """By full id."""


def rates(snapshot: Snapshot) -> AnomalyRates:
    """What all peers tell of themselves in fresh reports."""
    found = {
        peer.hex(): report.metrics.agent.anomaly / RATIO_ONE
        for peer, report in sorted(snapshot.living_reports.items())
        if report is not None and report.metrics is not None and report.metrics.agent.anomaly is not None
    }
    return AnomalyRates(fmean(found.values()) if found else None, found)


def network_anomaly(snapshot: Snapshot, signature: Signature) -> list[Finding]:
    """A finding where all peers together are unlike themselves."""
    told = rates(snapshot)
    reached = None if told.network is None else signature.grade(told.network)
    if reached is None or told.network is None or len(told.peers) < 2:
        return []
    high = sum(ratio >= reached[1] for ratio in told.peers.values())
    return [
        finding(
            signature,
            "network",
            severity=reached[0],
            confidence=wilson_lower(high, len(told.peers)),
            text=f"{told.network:.0%} of what {len(told.peers)} peers measured is unlike before",
            evidence=(("ratio", f"{told.network:.2f}"), ("peers", len(told.peers)), ("high", high)),
            scope="network",
        )
    ]


def numbers(metrics: Metrics) -> Iterator[tuple[str, float]]:
    """Everything in a report that is a level, not a counter."""
    system, node, performance, agent = metrics.system, metrics.node, metrics.performance, metrics.agent
    found: dict[str, float | None] = {
        "cpu": system.cpu,
        "memory": system.memory_used_kib,
        "disk": system.disk_used_kib,
        "received": system.received_bytes_s,
        "sent": system.sent_bytes_s,
        "connections": system.connections,
        "latency": performance.latency_us,
        "error": performance.error,
        "throughput": performance.throughput_bytes_s,
        "lag": agent.lag_us,
        "rss": agent.rss_kib,
    }
    if node is not None:
        found |= {"tunnels": node.tunnels, "active": node.active_connections, "peers": node.p2p_peers}
    return ((name, float(value)) for name, value in found.items() if value is not None and isfinite(value))
