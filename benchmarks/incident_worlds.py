"""Imagined networks whose alerts have known causes: for the calibration of incidents, and for its tests.

Each world has its own size, regions, versions, machines and links. Something happens in it, or two things at once, or
nothing at all while peers have trouble of their own. Alerts come late, get lost, and begin at times that are only
roughly known. How strong, how fast and how complete each cause works is drawn anew, so the correlation cannot know it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from random import Random

from msgspec import Struct
from msgspec.structs import replace

from peerscope.alerts.context import AGENT, Context
from peerscope.alerts.incident import Incident
from peerscope.alerts.model import Alert
from peerscope.mesh.membership.rings import Rings
from peerscope.records.identity import PeerId

BEGAN = 1_700_000_000.0
TYPES = {
    "cpu-high": "resource-exhaustion",
    "memory-high": "resource-exhaustion",
    "storage-high": "resource-exhaustion",
    "error-ratio": "performance-degradation",
    "throughput-drop": "performance-degradation",
    "link-latency": "high-latency",
    "route-latency": "high-latency",
    "agent-lag": "agent-overload",
    "dht-flood": "security-threat",
    "lookup-flood": "security-threat",
    "peer-down": "peer-down",
    "network-partition": "network-partition",
}
MACHINE = ("cpu-high", "memory-high", "storage-high", "agent-lag")
TROUBLE = ("cpu-high", "memory-high", "error-ratio", "throughput-drop", "link-latency", "route-latency", "agent-lag")
ANY = (*TROUBLE, "storage-high", "dht-flood", "lookup-flood", "peer-down")
CAUSES = (
    "host",
    "region-outage",
    "region",
    "version",
    "cascade",
    "dependency",
    "partition",
    "pattern",
    "peer-cluster",
)
KIND_OF = {"dependency": "cascade"}
"""Kinds of incidents for causes that are named otherwise."""


class TrueCause(Struct, frozen=True):
    """What really happened."""

    kind: str
    root: str | None
    alerts: frozenset[str]
    """Ids of the alerts that it made."""


class World(Struct, frozen=True):
    """A network, its alerts, and their causes."""

    around: Context
    alerts: tuple[Alert, ...]
    causes: tuple[TrueCause, ...]


class Maker:
    """Makes one world from a seed."""

    def __init__(self, rng: Random, peers: int, *, unsure_s: float = 0.5) -> None:
        self.rng = rng
        self.ids = [rng.randbytes(32).hex() for _ in range(peers)]
        self._unsure_s = unsure_s
        self.around = self._network()
        self._alerts: dict[str, Alert] = {}
        self._causes: list[TrueCause] = []

    def _network(self) -> Context:
        rng, ids = self.rng, self.ids
        regions = [f"region-{number}" for number in range(rng.randint(1, 6))]
        versions = [f"1.{number}" for number in range(rng.randint(1, 4))]
        weights = [rng.uniform(0.3, 1.0) for _ in versions]
        members = [PeerId(bytes.fromhex(peer)) for peer in sorted(ids)]
        rings = Rings(members=members)
        overlay: defaultdict[str, dict[str, float | None]] = defaultdict(dict)
        if rng.random() < 0.5:
            for peer in ids:
                for other in rng.sample(ids, min(4, len(ids))):
                    if other != peer:
                        overlay[peer][other] = overlay[other][peer] = 0.05
        return Context(
            regions={peer: rng.choice(regions) for peer in ids},
            versions={AGENT: {peer: rng.choices(versions, weights)[0] for peer in ids}},
            links={peer.hex(): {other.hex(): 0.05 for other in rings.neighbours(peer)} for peer in members},
            hosts=self._hosts(),
            overlay=dict(overlay),
        )

    def _hosts(self) -> dict[str, str]:
        """Most machines have one agent, some have several; in some networks nobody knows."""
        rng, found, number = self.rng, dict[str, str](), 0
        crowded, waiting = rng.choice((0.0, 0.1, 0.4)), list(self.ids)
        while waiting:
            many = rng.randint(2, max(2, len(self.ids) // 3)) if rng.random() < crowded else 1
            for peer in waiting[:many]:
                found[peer] = f"host-{number}"
            waiting, number = waiting[many:], number + 1
        return found

    def world(self, *, lost_ratio: float = 0.05) -> World:
        """What peers know of it in the end."""
        kept = {name: one for name, one in self._alerts.items() if self.rng.random() >= lost_ratio}
        causes = [replace(one, alerts=frozenset(one.alerts & kept.keys())) for one in self._causes]
        return World(self.around, tuple(kept.values()), tuple(one for one in causes if one.alerts))

    def happens(self, kind: str, at: float) -> bool:
        """Something of this kind, from then on; False where the network has no place for it."""
        before = dict(self._alerts)
        root = getattr(self, "_" + kind.replace("-", "_"))(at)
        new = frozenset(self._alerts.keys() - before.keys())
        name = KIND_OF.get(kind, kind)
        is_again = any((one.kind, one.root) == (name, root) for one in self._causes)  # two that nobody can tell apart
        if root is False or is_again or len(new) < 2:
            self._alerts = before
            return False
        self._causes.append(TrueCause(name, root, new))
        return True

    def noise(self, alerts: int, over_s: float, rules: Sequence[str] = ANY) -> None:
        """Trouble that peers have on their own."""
        for _ in range(alerts):
            self.tell(self.rng.choice(rules), self.rng.choice(self.ids), self.rng.uniform(0.0, over_s))

    def tell(self, rule: str, peer: str, at: float, members: Iterable[str] | None = None) -> None:
        """One alert, or one about a group."""
        error = self.rng.uniform(-1, 1) * self._unsure_s
        name = f"{rule}-{peer[:16]}" if members is None else f"{rule}-group-{peer[:16]}"
        if name in self._alerts:
            return
        if members is not None:
            self.around = replace(self.around, groups={**self.around.groups, name: tuple(sorted(members))})
        self._alerts[name] = Alert(
            id=name,
            type=TYPES[rule],
            rule=rule,
            severity="medium",
            title=rule,
            description="",
            peer_id=peer if members is None else None,
            region=self.around.regions[peer] if members is None else None,
            state="firing",
            started_at=BEGAN + at + error,
            uncertainty_s=self._unsure_s,
        )

    def _some(self, peers: Iterable[str], low: float, high: float, least: int) -> list[str]:
        found = sorted(peers)
        share = self.rng.uniform(low, high)
        return self.rng.sample(found, min(len(found), max(least, round(share * len(found)))))

    def _parts(self, part_of: dict[str, str] | object, least: int) -> dict[str, list[str]]:
        found: defaultdict[str, list[str]] = defaultdict(list)
        for peer, part in dict(part_of).items():  # type: ignore[call-overload]
            found[part].append(peer)
        return {part: peers for part, peers in sorted(found.items()) if len(peers) >= least}

    def _all(self, rule: str, peers: Iterable[str], at: float, over_s: float) -> None:
        for peer in peers:
            self.tell(rule, peer, at + self.rng.uniform(0.0, over_s))

    def _host(self, at: float) -> str | bool:
        parts = self._parts(self.around.hosts, 2)
        if not parts:
            return False
        name = self.rng.choice(sorted(parts))
        chosen = self._some(parts[name], 0.85, 1.0, 2)
        if self.rng.random() < 0.2:
            self._lose(chosen, at, self.rng.choice((1.0, 10.0)))
        else:
            self._all(self.rng.choice((*MACHINE, *MACHINE, *TROUBLE)), chosen, at, self.rng.choice((2.0, 30.0, 150.0)))
        return name

    def _lose(self, peers: Sequence[str], at: float, over_s: float) -> None:
        """Peers fall silent: together as a group, or one after another."""
        if over_s < 5.0 and len(peers) >= 3:
            self.tell("network-partition", peers[0], at, peers)
        else:
            self._all("peer-down", peers, at, over_s)

    def _region_outage(self, at: float) -> str | bool:
        parts = self._parts(self.around.regions, 3)
        if len(self._parts(self.around.regions, 1)) < 2 or not parts:
            return False
        name = self.rng.choice(sorted(parts))
        self._lose(self._some(parts[name], 0.65, 1.0, 3), at, self.rng.choice((1.0, 20.0, 60.0)))
        return name

    def _region(self, at: float) -> str | bool:
        parts = self._parts(self.around.regions, 4)
        if len(self._parts(self.around.regions, 1)) < 2 or not parts:
            return False
        name = self.rng.choice(sorted(parts))
        rule = self.rng.choice(("link-latency", "error-ratio", "throughput-drop"))
        self._all(rule, self._some(parts[name], 0.5, 1.0, 3), at, self.rng.choice((10.0, 60.0)))
        return name

    def _version(self, at: float) -> str | bool:
        parts = self._parts(self.around.versions[AGENT], 4)
        if len(self._parts(self.around.versions[AGENT], 1)) < 2 or not parts:
            return False
        name = self.rng.choice(sorted(parts))
        chosen = self._some(parts[name], 0.3, 1.0, 3)
        self._all(self.rng.choice(TROUBLE), chosen, at, self.rng.choice((30.0, 90.0, 250.0)))
        return name

    def _cascade(self, at: float) -> str | bool:
        rng, most = self.rng, max(5, round(self.rng.uniform(0.1, 0.4) * len(self.ids)))
        catching, mean_s, floor_s = rng.uniform(0.3, 0.7), rng.uniform(5.0, 25.0), rng.uniform(2.0, 5.0)
        root = rng.choice(self.ids)
        reached, waiting = {root: 0.0}, [root]
        while waiting and len(reached) < most:
            waiting.sort(key=lambda peer: reached[peer])
            peer = waiting.pop(0)
            for other in sorted(self.around.links[peer]):
                if other not in reached and rng.random() < catching and len(reached) < most:
                    reached[other] = reached[peer] + floor_s + rng.expovariate(1 / mean_s)
                    waiting.append(other)
        if len(reached) < 5:
            return False
        rule = rng.choice(("cpu-high", "memory-high", "error-ratio"))
        for peer, after_s in reached.items():
            self.tell(rule, peer, at + after_s)
        return root

    def _dependency(self, at: float) -> str | bool:
        """A busy machine slows its node, and with it the nodes that route through it."""
        large = [peer for peer, its in sorted(self.around.overlay.items()) if len(its) >= 5]
        if not large:
            return False
        root = self.rng.choice(large)
        rule = self.rng.choice(("error-ratio", "route-latency", "throughput-drop"))
        self.tell(self.rng.choice(("cpu-high", "memory-high", rule)), root, at)
        chosen = self._some(self.around.overlay[root], 0.6, 1.0, 4)
        self._all(rule, chosen, at + 5.0, self.rng.choice((20.0, 60.0)))
        return root

    def _partition(self, at: float) -> bool | None:
        chosen = self._some(self.ids, 0.15, 0.6, 3)
        self.tell("network-partition", min(chosen), at, chosen)
        self._all("peer-down", chosen[: self.rng.randint(1, len(chosen))], at, 5.0)
        return None

    def _pattern(self, at: float) -> None:
        """Something that touches many peers and that nobody can see."""
        chosen = self._some(self.ids, 0.5, 1.0, min(5, len(self.ids)))
        self._all(self.rng.choice(TROUBLE), chosen, at + 2.0, self.rng.choice((20.0, 200.0, 200.0)))

    def _peer_cluster(self, at: float) -> str:
        peer = self.rng.choice(self.ids)
        for rule in self.rng.sample(TROUBLE, self.rng.randint(3, 5)):
            self.tell(rule, peer, at + self.rng.uniform(0.0, 60.0))
        return peer


def drawn(seed: int, peers: int | None = None) -> World:
    """A world of any kind."""
    rng = Random(seed)
    maker = Maker(rng, peers or rng.choice((6, 10, 20, 40, 100, 300)), unsure_s=rng.choice((0.05, 0.5, 2.0)))
    things = rng.choices((0, 1, 2), (0.2, 0.55, 0.25))[0]
    for number in range(things):
        for kind in rng.sample(CAUSES, len(CAUSES)):
            if maker.happens(kind, 60.0 + number * rng.uniform(0.0, 120.0)):
                break
    share = rng.choice((0.0, 0.02, 0.05, 0.15) if things else (0.05, 0.15, 0.5))
    maker.noise(round(share * len(maker.ids) * rng.uniform(0.5, 1.5)), rng.choice((200.0, 400.0)))
    return maker.world(lost_ratio=rng.choice((0.0, 0.05, 0.15)))


def of_kind(kind: str, seed: int, peers: int) -> World | None:
    """A world in which one thing happens, with a little trouble beside it; None where it has no place for it."""
    maker = Maker(Random(seed), peers)
    if not maker.happens(kind, 60.0):
        return None
    maker.noise(round(0.03 * peers), 300.0)
    return maker.world()


def is_right(incident: Incident, world: World) -> bool:
    """Whether the incident names what made most of its alerts, or one of its alternatives does.

    A pattern claims only that its alerts share a cause.
    """
    ids = set(incident.alerts)
    for cause in world.causes:
        if 2 * len(ids & cause.alerts) > len(ids):
            if incident.kind == "pattern" and not incident.alternatives:
                return True
            told = [(one.kind, one.root) for one in incident.alternatives] or [(incident.kind, incident.root)]
            return (cause.kind, cause.root) in told or any(kind == "pattern" for kind, _ in told)
    return False


def pairs(groups: Iterable[Iterable[str]]) -> set[tuple[str, str]]:
    """All pairs of alerts within a group."""
    return {
        (one, other)
        for group in groups
        for names in (sorted(group),)
        for place, one in enumerate(names)
        for other in names[place + 1 :]
    }
