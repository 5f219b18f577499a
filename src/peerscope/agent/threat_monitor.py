"""Keeps watch for threats: hands what happens to the detections, looks every few seconds, keeps what was found.

The detections are pure (`threats/`); here they meet the agent: the node's telemetry, the counters of a node that sends
none, the records of other peers, the clock. Whatever others say, nothing here ends the agent.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from peerscope.agent.alerting import Alerting
from peerscope.alerts.engine import Findings
from peerscope.host.clock import monotonic
from peerscope.host.failures import FailureLog
from peerscope.host.signature_files import load_signatures
from peerscope.mesh.events import Publish
from peerscope.mesh.peer import Peer
from peerscope.records.bodies import Kind, Report
from peerscope.records.identity import short
from peerscope.records.measures import NodeMetrics, increases
from peerscope.sources.node import Node
from peerscope.sources.telemetry import Connection, Dht, Event, Message
from peerscope.threats.anomalies import AnomalyRates, rates
from peerscope.threats.blocks import HeldLists, shared_by, to_share
from peerscope.threats.findings import TYPE, Finding, from_alert, gravest, readings
from peerscope.threats.threats import ThreatConfig, Threats
from peerscope.views.snapshot import Snapshot

log = logging.getLogger(__name__)


class ThreatMonitor:
    """The threats of one agent."""

    def __init__(
        self,
        config: ThreatConfig,
        peer: Peer,
        snapshot: Callable[[], Snapshot],
        node: Node,
        alerting: Alerting,
        failure_log: FailureLog | None = None,
    ) -> None:
        """`moment`: how to look at the network now; `alerting`: takes what is found, and knows what others state.
        `looks`: counts those that fail.

        Raises `ConfigError` for a broken file of signatures.
        """
        self._config = config
        self._peer = peer
        self._snapshot = snapshot
        self._node = node
        self._alerting = alerting
        self._failure_log = failure_log or FailureLog()
        alerting.detections.append(self.detect)
        self.threats = Threats(config, load_signatures(config.signatures_file), peer.me, monotonic())
        self.findings: tuple[Finding, ...] = ()
        """What was found at the last look, the gravest first."""
        self._report: Report | None = None
        self._counted: NodeMetrics | None = None
        self._lists = HeldLists()

    def note(self, event: Event) -> None:
        """Take an event of the node in."""
        now, threats = monotonic(), self.threats
        match event:
            case Message(_, size_bytes, error):
                threats.activity.count(now, messages=1, bytes=size_bytes, errors=error)
            case Connection(what, remote):
                threats.connection(remote, opened=what == "opened", now=now)
            case Dht("put"):
                threats.activity.count(now, puts=1)
            case Dht("lookup", key, values, consistent, closest):
                threats.lookup(values, consistent, now)
                if closest:
                    threats.keys.note(key, closest, now)
            case _:
                pass

    def first(self) -> list[Publish]:
        """What is to be told at the start: the block list, where it is shared."""
        return [Publish(to_share(self._config.blocked))] if self._config.share and self._config.blocked else []

    def known(self) -> list[Finding]:
        """What was found here, and what other peers state by their alerts, the gravest first."""
        here = {one.id: one for one in self.findings}
        others = (
            from_alert(alert) for alert in self._alerting.alert_list.alerts(active_only=True) if alert.type == TYPE
        )
        return gravest({**{one.id: one for one in others}, **here}.values())

    def detect(self, snapshot: Snapshot) -> Findings:
        """For alert rules: what was found about this peer, and about the network."""
        own = [one for one in self.findings if one.scope == "own"]
        network = [one for one in self.findings if one.scope == "network"]
        return Findings(tuple(readings(own)), tuple(readings(network)))

    def anomaly_ratio(self) -> float | None:
        """How unlike its past this peer is, for its own report."""
        return self.threats.anomalies.ratio

    def anomaly_rates(self) -> AnomalyRates:
        """What all peers tell of themselves."""
        return rates(self._snapshot())

    def reload(self) -> list[str]:
        """Read the signatures again; what changed, in words. Raises `ConfigError`, and the old ones stay."""
        signatures = load_signatures(self._config.signatures_file)
        changes = self.threats.signatures.changes(signatures)
        self.threats.use(signatures)
        return changes

    async def run(self) -> None:
        """Look every few seconds until cancelled."""
        while True:
            await asyncio.sleep(self._config.interval_s)
            if self._config.enabled:
                with self._failure_log.at("the look for threats"):
                    self.look()

    def look(self) -> None:
        """Look now."""
        now, snapshot = monotonic(), self._snapshot()
        self.threats.refused(self._peer.refused, now)
        self._count_node(now)
        self._miss_lists(snapshot)
        entry = snapshot.ledger.get(snapshot.me, Kind.REPORT)
        report = entry.body if entry is not None and isinstance(entry.body, Report) else None
        if report is not None and report is not self._report and report.metrics is not None:
            self.threats.measured(report.metrics, snapshot.wall)
        self._report = report
        self.findings = self.threats.update(snapshot, now, is_aggregator=self._alerting.is_acting)

    def _miss_lists(self, snapshot: Snapshot) -> None:
        for author, entries in self._lists.update(shared_by(snapshot, self._config.trusted)):
            log.warning(
                "the block list of peer %s counts no more (%d entries): its author was not heard of for too long",
                short(author),
                entries,
            )

    def _count_node(self, now: float) -> None:
        """Take counters from sources that tell sums only; a node that sends events was counted with each."""
        reading = self._node.current()
        if reading is None or self._node.telemetry.has_heard:
            self._counted = None
            return
        before, self._counted = self._counted, reading.metrics
        if before is not None and before is not reading.metrics:
            names = ("messages", "errors", "received_bytes", "sent_bytes", "dht_lookups", "dht_puts")
            grown = increases([getattr(before, n) for n in names], [getattr(reading.metrics, n) for n in names])
            messages, errors, received, sent, lookups, puts = (amount or 0 for amount in grown)
            size = received + sent
            self.threats.activity.count(now, messages=messages, bytes=size, errors=errors, lookups=lookups, puts=puts)
