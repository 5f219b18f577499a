"""Threats of one peer over time: what the node beside it does and what the network's records show."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from msgspec import Struct

from peerscope.alerts.engine import Findings
from peerscope.alerts.model import Alert
from peerscope.mesh.peer import Peer
from peerscope.records.bodies import Report
from peerscope.records.identity import PeerId
from peerscope.threats.blocks import HeldLists, shared_by
from peerscope.threats.findings import TYPE, Finding, from_alert, gravest, readings
from peerscope.threats.signatures import Signatures
from peerscope.threats.threats import ThreatConfig, Threats
from peerscope.views.snapshot import Snapshot


class NodeActivity(Struct, frozen=True):
    """The node beside this peer did something; an event for the core."""

    counts: Mapping[str, float]
    """By names of `activity.COUNTERS`."""


class NodeConnection(Struct, frozen=True):
    """The node opened or closed a connection; an event for the core."""

    remote: str
    """Id or address."""
    opened: bool


class NodeLookup(Struct, frozen=True):
    """The node looked a key up; an event for the core."""

    key: str
    values: tuple[str, ...] | None
    consistent: bool | None
    """All peers that were asked gave the same values; None where the values must show it."""
    closest: tuple[str, ...] | None
    """Ids of the nodes found nearest to the key."""


class FindingsChanged(Struct, frozen=True):
    """This peer's detections show something else; an effect of the core."""

    findings: tuple[Finding, ...]
    """All that stand now, the gravest first."""


class BlockListEnded(Struct, frozen=True):
    """The network forgot the author of a block list, so the list counts no more; an effect of the core."""

    author: PeerId
    entries: int


class ThreatMonitor:
    """The detections of one peer, and what they found last."""

    def __init__(self, config: ThreatConfig, signatures: Signatures, me: PeerId, now: float) -> None:
        self.threats = Threats(config, signatures, me, now)
        self.findings: tuple[Finding, ...] = ()
        """As of the last look, the gravest first."""
        self._config = config
        self._report: Report | None = None
        self._lists = HeldLists()

    def take(self, event: NodeActivity | NodeConnection | NodeLookup, now: float) -> None:
        """Take in what the node did."""
        threats = self.threats
        match event:
            case NodeActivity(counts):
                threats.activity.count(now, **counts)
            case NodeConnection(remote, opened):
                threats.connection(remote, opened=opened, now=now)
            case NodeLookup(key, values, consistent, closest):
                threats.lookup(values, consistent, now)
                if closest:
                    threats.keys.note(key, closest, now)

    def look(self, snapshot: Snapshot, peer: Peer, *, is_aggregator: bool) -> bool:
        """Run all detections; True if they find something else than last time."""
        before, now = self.findings, snapshot.now
        self.threats.refused(peer.refused, now)
        report = peer.ledger.report(peer.me)
        if report is not None and report is not self._report and report.metrics is not None:
            self.threats.measured(report.metrics, snapshot.wall)
        self._report = report
        self.findings = self.threats.update(snapshot, now, is_aggregator=is_aggregator)
        return self.findings != before

    def ended_lists(self, snapshot: Snapshot) -> list[BlockListEnded]:
        """Block lists that count no more since the last look."""
        held = shared_by(snapshot, self._config.trusted)
        return [BlockListEnded(author, entries) for author, entries in self._lists.update(held)]

    def for_rules(self) -> Findings:
        """The findings, for the alert rules."""
        own = [one for one in self.findings if one.scope == "own"]
        network = [one for one in self.findings if one.scope == "network"]
        return Findings(tuple(readings(own)), tuple(readings(network)))

    def known(self, alerts: Iterable[Alert]) -> list[Finding]:
        """Findings of this peer, and those that alerts of other peers state, the gravest first."""
        others = (from_alert(alert) for alert in alerts if alert.type == TYPE)
        return gravest({one.id: one for one in (*others, *self.findings)}.values())
