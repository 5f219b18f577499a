"""The reports of this peer on itself: their times and their content."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence, Set
from math import inf
from random import Random

from msgspec import Struct
from msgspec.structs import replace

from peerscope.errors import ConfigError
from peerscope.mesh.detection.checks import MESSAGE_MAX, HealthConfig, judge_p2p, printable
from peerscope.mesh.detection.link import Link
from peerscope.records.bodies import (
    BODY_BYTES_MAX,
    RATIO_ONE,
    SKEW_PARTS,
    Check,
    Coordinate,
    LinkReading,
    OverlayLink,
    Report,
    Status,
    encode_body,
)
from peerscope.records.identity import PeerId, ref
from peerscope.records.measures import Metrics

RECORD_BYTES = 600
"""Cost of one report for each peer: about 350 bytes of record, and keys."""
BRISK_S = 300.0
"""`reports_s_max` does not make intervals longer than this."""
LINKS_SETTLE_TIMEOUT_S = 1.0
JITTER = 0.1
"""Intervals vary by this share."""
LOST_WINDOW_S = 60.0
SKEW_S_MAX = 2**40
UNKNOWN = Check(Status.UNKNOWN)


class ReportConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The interval of reports."""

    interval_s: float = 5.0
    """Between measurements. A report of a change waits for less: see `Reporter`."""
    calm_intervals: int = 3  # measured: an agent's cost falls by a fifth, and nothing is noticed later
    """A report without a change goes out once in so many intervals, in a small network. The time grows with the number
    of peers to keep `gossip.budget_bytes_s`."""
    reports_s_max: float = 5.0  # measured: at 17 a second they cost an agent 1.5 % of a core
    """Reports of all peers per second that each peer gets while nothing changes, with up to 1,500 of them."""

    def __post_init__(self) -> None:
        if not 0.1 <= self.reports_s_max <= 1000:
            raise ConfigError(f"report.reports_s_max is {self.reports_s_max}; must lie between 0.1 and 1000")
        if not 0.1 <= self.interval_s <= 3600:
            raise ConfigError(f"report.interval_s is {self.interval_s}; must lie between 0.1 and 3600")
        if not 1 <= self.calm_intervals <= 100:
            raise ConfigError(f"report.calm_intervals is {self.calm_intervals}; must lie between 1 and 100")

    @property
    def calm_s(self) -> float:
        """Seconds between reports without a change, in a small network."""
        return self.interval_s * self.calm_intervals


def interval_s(peers: int, *, shortest_s: float, budget_bytes_s: float, reports_s_max: float = inf) -> float:
    """Seconds between reports, so that the reports of all peers cost each peer at most the budget."""
    return max(shortest_s, peers * RECORD_BYTES / budget_bytes_s, min(peers / reports_s_max, BRISK_S))


class Situation(Struct, frozen=True):
    """Facts of other parts for the report."""

    down: Set[PeerId]
    """Peers whose verdict is `down`."""
    coordinate: Coordinate | None
    lost: int = 0
    """Peers that were linked with us, if no link is up; else 0."""
    refusal: str | None = None
    """The reason of one of those that refuses us."""


class Reporter:
    """Reports regularly, soon after a change of links, and at once after a change of the status."""

    def __init__(
        self, config: ReportConfig, health: HealthConfig, budget_bytes_s: int, rng: Random, now: float
    ) -> None:
        self._rng = rng
        self._config = config
        self._health = health
        self._budget_bytes_s = budget_bytes_s
        self._checks: tuple[Check, ...] | None = None
        self._node: Check | None = None
        self._metrics: Metrics | None = None
        self._overlay: tuple[OverlayLink, ...] = ()
        self._p2p = self._flapped = UNKNOWN
        """The last report's p2p check, and its network check if links flapped."""
        self.known_overlay: tuple[OverlayLink, ...] = ()
        """Neighbours of the attached node when it last named any."""
        self._status: Status | None = None
        self._next_at = now
        self._reported_at = -inf
        self._wait_s = 0.0
        self._is_hurried = False
        """The last report came soon after the one before."""
        self._urgent = False
        self._regained: deque[float] = deque(maxlen=256)

    @property
    def latest(self) -> tuple[tuple[Check, ...], Metrics | None]:
        """Newest results of all checks, in the order of a report, and metrics. No checks before the first measurement.

        The p2p check is that of the last report.
        """
        if self._checks is None:
            return (), self._metrics
        cpu, memory, storage, network = self._checks
        network = self._flapped if self._flapped.status != Status.UNKNOWN else network
        return _all((cpu, memory, storage, network, self._p2p), self._node), self._metrics

    def deadline(self) -> float:
        """When the next report is due; never before the first measurement."""
        return self._next_at if self._checks is not None else float("inf")

    def measured(
        self,
        checks: tuple[Check, ...],
        now: float,
        metrics: Metrics | None = None,
        node: Check | None = None,
        overlay: tuple[OverlayLink, ...] = (),
    ) -> None:
        """Take results of the host checks (cpu, memory, storage, network), and of the attached node."""
        if self._checks is None:
            self._next_at = now  # the first report is not late
        changed = self._checks is None or _statuses(checks, node) != _statuses(self._checks, self._node)
        self._checks, self._node, self._metrics, self._overlay = checks, node, metrics, overlay
        self.known_overlay = () if node is None else overlay or self.known_overlay
        if changed:
            self.due(now)

    def links_changed(self, now: float) -> None:
        """A link came or went: report soon. While that goes on, report as often as there are measurements."""
        share = self._wait_s / self._config.calm_intervals * (1.0 if self._is_hurried else 0.5)
        self._next_at = min(self._next_at, max(now + LINKS_SETTLE_TIMEOUT_S, self._reported_at + share))

    def link_regained(self, now: float) -> None:
        """A link that was lost is back: it flapped."""
        self._regained.append(now)

    def due(self, now: float, *, urgent: bool = False) -> None:
        self._next_at = min(self._next_at, now)
        self._urgent |= urgent

    def report(
        self,
        links: Sequence[tuple[Link, bool]],
        situation: Situation,
        *,
        reachable: int,
        expected: int,
        unreached: int,
        peers: int,
        now: float,
    ) -> tuple[Report, bool]:
        """The report, and whether it is urgent. `links`: those that are up, each with True for a ring neighbour.

        `unreached`: bootstrap peers without an answer, if no link is up.
        """
        assert self._checks is not None
        cpu, memory, storage, network = self._checks
        if expected == 0 and situation.lost:
            p2p = Check(Status.UNHEALTHY, 0, _lost_all(situation))
        elif expected == 0 and unreached:
            p2p = Check(Status.UNHEALTHY, 0, f"none of {unreached} bootstrap peers reachable")
        else:
            p2p = judge_p2p(reachable, expected, self._health, alone="no other peer known")
        wait_s = interval_s(
            peers,
            shortest_s=self._config.calm_s,
            budget_bytes_s=self._budget_bytes_s,
            reports_s_max=self._config.reports_s_max,
        )
        readings = tuple(_reading(link, watches, now) for link, watches in links)
        judged = self._flapping(network, now)
        self._p2p, self._flapped = p2p, UNKNOWN if judged is network else judged
        checks = _all((cpu, memory, storage, judged, p2p), self._node)
        report = fitting(
            Report(round(wait_s * 1000), checks, readings, expected, situation.coordinate, self._overlay, self._metrics)
        )
        urgent = self._urgent or (self._status is not None and report.status != self._status)
        self._status = report.status
        self._urgent = False
        # Peers that started together must not report together: a new or longer interval begins at random.
        is_longer = wait_s >= 1.5 * self._wait_s
        share = self._rng.random() if is_longer else 1 + JITTER * (self._rng.random() - 0.5)
        self._is_hurried = now - self._reported_at < self._config.interval_s
        self._reported_at, self._wait_s = now, wait_s
        self._next_at = now + wait_s * share
        return report, urgent

    def _flapping(self, network: Check, now: float) -> Check:
        while self._regained and self._regained[0] < now - LOST_WINDOW_S:
            self._regained.popleft()
        flaps = len(self._regained)
        if flaps < self._health.links_lost or network.status != Status.HEALTHY:
            return network
        return Check(
            Status.DEGRADED, network.ratio, f"{flaps} links lost and regained in the last minute"[:MESSAGE_MAX]
        )


def _lost_all(situation: Situation) -> str:
    lost, refusal = situation.lost, situation.refusal
    text = f"lost all {lost} peers it was linked with" if lost > 1 else "lost the only peer it was linked with"
    return printable(f"{text}; refused: {refusal}" if refusal else text)[:MESSAGE_MAX]


def _statuses(checks: tuple[Check, ...], node: Check | None) -> tuple[int, ...]:
    return tuple(check.status for check in _all(checks, node))


def _all(checks: tuple[Check, ...], node: Check | None) -> tuple[Check, ...]:
    return checks if node is None else (*checks, node)


def fitting(report: Report) -> Report:
    """The report, cut to the size of a record.

    First attempts to reach nodes go, then neighbours of the node, its measures, messages of checks, and links.
    """
    if report.dialled and len(encode_body(report)) > BODY_BYTES_MAX:
        report = replace(report, dialled=())
    while report.overlay and len(encode_body(report)) > BODY_BYTES_MAX:
        report = replace(report, overlay=report.overlay[: len(report.overlay) // 2], overlay_cut=True)
    metrics = report.metrics
    while metrics and metrics.node and metrics.measures and len(encode_body(report)) > BODY_BYTES_MAX:
        metrics = replace(metrics, node=replace(metrics.node, measures=metrics.measures[: len(metrics.measures) // 2]))
        report = replace(report, metrics=metrics)
    if len(encode_body(report)) > BODY_BYTES_MAX:
        report = replace(report, checks=tuple(replace(check, message=None) for check in report.checks))
    while report.links and len(encode_body(report)) > BODY_BYTES_MAX:
        report = replace(report, links=report.links[: len(report.links) // 2])
    return report


def _reading(link: Link, watches: bool, now: float) -> LinkReading:
    rtt_s, loss = link.rtt.smoothed_s, link.loss_ratio
    skew_s, skew_rest = 0, None
    if link.skew_ms is not None:
        skew_s = max(-SKEW_S_MAX, min(SKEW_S_MAX, round(link.skew_ms / 1000)))
        rest = round(link.skew_ms * SKEW_PARTS / 1000) - skew_s * SKEW_PARTS
        skew_rest = rest if abs(rest) <= SKEW_PARTS else None  # a clock beyond all bounds
    return LinkReading(
        ref(link.peer),
        None if rtt_s is None else round(rtt_s * 1e6),
        None if loss is None else round(loss * RATIO_ONE),
        watches,
        link.flaps(now),
        skew_s,
        link.via_relay,
        skew_rest,
    )
