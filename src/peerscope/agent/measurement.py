"""Measures every interval: the host, the node beside this agent, the traffic and the agent itself."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Protocol

from msgspec.structs import asdict

from peerscope.host.clock import monotonic, pause
from peerscope.host.failures import FailureLog
from peerscope.mesh.detection.checks import quantised
from peerscope.mesh.events import Measured
from peerscope.records.bodies import Check, OverlayLink
from peerscope.records.measures import (
    AgentMetrics,
    Metrics,
    NodeMetrics,
    PerformanceMetrics,
    ReportedNode,
    quantised_measures,
)
from peerscope.sources.base import Reading
from peerscope.sources.host import FIRST_SAMPLE_S, KIB, Host
from peerscope.sources.performance import TrafficCounters, countable, mesh_performance, microseconds, node_metrics
from peerscope.sources.process import OwnProcess
from peerscope.transport.base import NO_MESSAGES, Transport
from peerscope.transport.driver import Driver


class Attached(Protocol):
    """The node beside this peer."""

    def check(self) -> Check | None:
        """Whether it answers; None where no node is attached."""

    def current(self) -> Reading | None:
        """Its last reading, unless that is too long ago."""


class Measurement:
    """Measures, and sends the core what it found."""

    def __init__(
        self,
        host: Host,
        driver: Driver,
        transport: Transport,
        interval_s: float,
        node: Attached | None = None,
        failure_log: FailureLog | None = None,
    ) -> None:
        """`failure_log`: counts looks that fail."""
        self._host = host
        self._driver = driver
        self._transport = transport
        self._interval_s = interval_s
        self._node = node
        self._failure_log = failure_log or FailureLog()
        self._process = OwnProcess()
        self._at = monotonic()
        self._traffic = self._count()
        self._reading: Reading | None = None
        self._read_at = self._at
        self._told = NodeMetrics(), PerformanceMetrics()

    async def run(self) -> None:
        """Measure until cancelled."""
        await asyncio.sleep(FIRST_SAMPLE_S)
        while True:
            with self._failure_log.at("the measurement"):
                self._driver.feed(await self.measure())
            await pause(self._interval_s, self._driver.core.peer.grid.near)

    async def measure(self) -> Measured:
        """Everything since the last call, or the start."""
        checks, system = await self._host.measure()
        before_at, self._at = self._at, monotonic()
        check = self._failure_log.value("the node's check", self._node.check) if self._node else None
        node, performance = None, self._look_at_mesh(self._at - before_at)
        overlay: tuple[OverlayLink, ...] = ()
        if check is not None and self._node is not None:
            reading = self._failure_log.value("the node's values", self._node.current)
            known, performance = self._look_at_node(reading)
            overlay = reading.overlay if reading else ()
            node = ReportedNode(**asdict(known), measures=quantised_measures(reading.measures) if reading else ())
        metrics = Metrics(system, node, performance, self._look_at_ourselves())
        return Measured(
            checks, metrics, check, overlay, self._failure_log.value("relayed links", self._transport.relayed)
        )

    def _look_at_mesh(self, seconds: float) -> PerformanceMetrics:
        before, self._traffic = self._traffic, self._count()
        links = (link for link in self._driver.core.peer.links.values() if link.is_up)
        rtts_s = [rtt_s for link in links if (rtt_s := link.rtt.smoothed_s) is not None]
        return mesh_performance(before, self._traffic, seconds, rtts_s)

    def _look_at_node(self, reading: Reading | None) -> tuple[NodeMetrics, PerformanceMetrics]:
        if reading is None or reading is not self._reading:  # the same one again says nothing of the time in between
            self._told = node_metrics(self._reading, reading, self._at - self._read_at)
            self._reading, self._read_at = reading, self._at
        return self._told

    def _look_at_ourselves(self) -> AgentMetrics:
        cpu_ratio = self._failure_log.value("own CPU", self._process.cpu_ratio)
        rss_bytes = self._failure_log.value("own memory", self._process.rss_bytes)
        anomaly_ratio = self._driver.core.threats.threats.anomalies.ratio
        return AgentMetrics(
            cpu=None if cpu_ratio is None else quantised(cpu_ratio),
            rss_kib=None if rss_bytes is None else countable(rss_bytes // KIB),
            queued=self._transport.queued,
            dropped=countable(drops(self._driver.core.peer.refused, self._transport.counters)),
            lag_us=microseconds(self._driver.take_lag_s()),
            anomaly=None if anomaly_ratio is None else quantised(anomaly_ratio),
        )

    def _count(self) -> TrafficCounters:
        peer = self._driver.core.peer
        return TrafficCounters(peer.out.bytes.total(), peer.heard_bytes, peer.heard_messages, peer.refused.total())


def drops(refused: Counter[str], counters: Counter[str]) -> int:
    """Messages that were refused as they came, or lost inside the agent."""
    return refused.total() + sum(count for reason, count in counters.items() if reason not in NO_MESSAGES)
