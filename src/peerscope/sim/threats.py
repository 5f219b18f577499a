"""The detections of a simulated network: every running peer has its own, over a node that behaves or is attacked.

Own detections see telemetry of generated nodes; network detections run on the real ledgers of the aggregators, so that
what they look at came over the wire. What was found is held against what is the case.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable
from random import Random

from msgspec import Struct

from peerscope.alerts.aggregators import aggregators
from peerscope.host.signature_files import load_signatures
from peerscope.records.identity import PeerId
from peerscope.sim.alerting import moment_of
from peerscope.sim.behaviour import Attack, Behaviour
from peerscope.sim.simulator import Simulator
from peerscope.threats.findings import Finding
from peerscope.threats.signatures import Signatures
from peerscope.threats.threats import ThreatConfig, Threats

LOOK_INTERVAL_S = 5.0


class Score(Struct, frozen=True):
    """What was found, beside what is the case."""

    precision: float | None
    """Of the different findings, the share that is about an attacker or somebody attacked; null where nothing was."""
    recall: float | None
    """Of the attacks, the share found as what they are; null where there were none."""
    false_alarms: int
    """Different findings about anybody else, of medium severity or more."""
    remarks: int
    """Those of low severity: unlike the past, which no attack may be behind."""
    found: dict[str, int]
    """Different findings, by detection."""
    first_s: float | None = None
    """From the first attack until the first right finding."""


class FindingSighting(Struct):
    """One finding over time."""

    at: float
    """When it was first there."""
    is_alarm: bool = False
    """It was of medium severity or more at some time."""


class FindingsSeen:
    """Everything that any peer's detections found."""

    def __init__(self) -> None:
        self.found: dict[tuple[str, str], FindingSighting] = {}
        """By detection, and full id or group."""

    def note(self, findings: Iterable[Finding], now: float) -> None:
        """One peer's findings at one look."""
        for one in findings:
            sighting = self.found.setdefault((one.detection, one.peer_id or one.group), FindingSighting(now))
            sighting.is_alarm |= one.severity != "low"


class Expected:
    """The attacks that take place: which detection should name whom."""

    def __init__(self) -> None:
        self.attacks: dict[tuple[str, str], float] = {}
        """(detection, full id or prefix), and since when."""
        self.attackers: set[PeerId] = set()
        """Identities that they made up."""
        self._involved: set[str] = set()

    def expect(self, detection: str, name: str, now: float) -> None:
        """From now on this should be found."""
        self.attacks.setdefault((detection, name), now)

    def comes(self, peer: PeerId) -> None:
        """An attacker's identity."""
        self.attackers.add(peer)
        self.involve(peer.hex())

    def involve(self, name: str) -> None:
        """A finding about this one is no false alarm, though none is expected."""
        self._involved.add(name)

    def look_into(self, eclipsed: str, links: Collection[PeerId]) -> None:
        """A peer half of whose links lead to attackers is surrounded, whether or not that was what they wanted."""
        if 2 * len(self.attackers.intersection(links)) >= len(links):
            self.involve(eclipsed)

    def score(self, seen: FindingsSeen) -> Score:
        """What was found, beside this."""
        involved = self._involved | {name for _, name in self.attacks}
        alarms = [key for key, sighting in seen.found.items() if sighting.is_alarm]
        right = [key for key in alarms if key[1] in involved]
        hits = [key for key in self.attacks if key in seen.found]
        began_at = min(self.attacks.values(), default=0.0)
        return Score(
            precision=len(right) / len(alarms) if alarms else None,
            recall=len(hits) / len(self.attacks) if self.attacks else None,
            false_alarms=len(alarms) - len(right),
            remarks=len(seen.found) - len(alarms),
            found=dict(sorted(Counter(detection for detection, _ in seen.found).items())),
            first_s=min(seen.found[key].at for key in hits) - began_at if hits else None,
        )


class PeerDetections:
    """Detections and node of one life of one peer."""

    def __init__(self, peer: PeerId, life: int, signatures: Signatures, now: float) -> None:
        self.life = life
        self.threats = Threats(ThreatConfig(), signatures, peer, now)


class SimulatedThreats:
    """Drives every running peer's detections, every five virtual seconds."""

    def __init__(self, sim: Simulator, expected: Expected, rng: Random) -> None:
        self.expected = expected
        self.seen = FindingsSeen()
        self._sim = sim
        self._rng = rng
        self._signatures = load_signatures()
        self._watches: dict[PeerId, PeerDetections] = {}
        self._behaviours: dict[PeerId, Behaviour] = {}

    def begin(self) -> None:
        """Look from now on."""
        self._look()

    def attack(self, peer: PeerId, attack: Attack) -> None:
        """Do this to a peer's node from now on, beside what is done to it already."""
        behaviour = self._behaviour(peer)
        behaviour.attack = behaviour.attack.beside(attack)

    def score(self) -> Score:
        """What was found so far."""
        return self.expected.score(self.seen)

    def _behaviour(self, peer: PeerId) -> Behaviour:
        if peer not in self._behaviours:
            self._behaviours[peer] = Behaviour(Random(self._rng.getrandbits(64)))
        return self._behaviours[peer]

    def _look(self) -> None:
        now = self._sim.now
        self._sim.at(now + LOOK_INTERVAL_S, self._look)
        for peer, node in sorted(self._sim.nodes.items()):
            if node.peer is None or now < node.paused_until or node.corruption is not None:
                continue
            watch = self._watches.get(peer)
            if watch is None or watch.life != node.life:
                watch = self._watches[peer] = PeerDetections(peer, node.life, self._signatures, now)
            watch.threats.activity.count(now, **self._behaviour(peer).act(now, LOOK_INTERVAL_S))
            watch.threats.refused(node.peer.refused, now)
            snapshot = moment_of(node, now)
            acts = peer in aggregators(snapshot).acting
            found = watch.threats.update(snapshot, now, is_aggregator=acts)
            for one in found:
                self._look_into(one)
            self.seen.note(found, now)

    def _look_into(self, one: Finding) -> None:
        node = self._sim.nodes.get(PeerId(bytes.fromhex(one.peer_id))) if one.peer_id else None
        if one.detection == "eclipse" and node is not None and node.peer is not None and one.peer_id is not None:
            self.expected.look_into(one.peer_id, node.peer.links.up())
