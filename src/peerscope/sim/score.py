"""Findings of a simulated network, held against the attacks that take place."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable

from msgspec import Struct

from peerscope.core import Effect
from peerscope.records.identity import PeerId
from peerscope.sim.simulator import Simulator
from peerscope.threats.findings import Finding
from peerscope.threats.monitor import FindingsChanged


class Score(Struct, frozen=True):
    """Findings, held against the attacks."""

    precision: float | None
    """Share of the different findings that is about an attacker or somebody attacked; null without findings."""
    recall: float | None
    """Share of the attacks that was found as what they are; null where there were none."""
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
        """Hold findings against these attacks."""
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


class FindingsWatch:
    """Collects what the detections of all honest peers find."""

    def __init__(self, sim: Simulator, expected: Expected) -> None:
        self._seen = FindingsSeen()
        self._expected = expected
        self._sim = sim
        sim.run_parts("threats")
        sim.on_effect.append(self._note)

    def score(self) -> Score:
        """Hold the findings so far against the attacks."""
        return self._expected.score(self._seen)

    def _note(self, peer: PeerId, effect: Effect, now: float) -> None:
        if not isinstance(effect, FindingsChanged) or self._sim.nodes[peer].corruption is not None:
            return
        for one in effect.findings:
            node = self._sim.nodes.get(PeerId(bytes.fromhex(one.peer_id))) if one.peer_id else None
            if one.detection == "eclipse" and node is not None and node.peer is not None and one.peer_id is not None:
                self._expected.look_into(one.peer_id, node.peer.links.up())
        self._seen.note(effect.findings, now)
