"""The links of the network, merged from the reports of both ends.

An end has the name of a *vertex*: the first 8 bytes of a peer's id in hexadecimal, or "layer:name". The latter is a
node of another network that no peer of ours monitors. So a link keeps its name when the profile of its other end
arrives.

A source reports a link between nodes, so it needs the word of both ends. `Confirmation` shows what each edge has. A
node that two peers name as theirs is a vertex of its own: an edge to it may end at either. That holds even if one of
them is gone: nobody takes the place of a peer that cannot speak any more. A name is a claim, and no report proves it.
"""

from __future__ import annotations

from collections import defaultdict
from typing import Literal

from msgspec import Struct

from peerscope.mesh.coordinates.vivaldi import estimate_s
from peerscope.records.bodies import OVERLAY_MAX, LinkReading, Profile, Report
from peerscope.records.identity import PEER_REF_BYTES, PeerId
from peerscope.views.snapshot import LIVING, Snapshot

MESH: Literal["mesh"] = "mesh"
OVERLAY: Literal["overlay"] = "overlay"

Confirmation = Literal["both", "one", "contradicted", "foreign"]
"""How far a link between nodes is confirmed.

- both: the agents at both ends list it.
- one: only one does, and the other cannot say, or may list it by a name that is not known to be this one's.
- contradicted: the other lists its neighbours without this one.
- foreign: no agent runs at the other end.
"""

Key = tuple[str, str, str]
"""Smaller vertex, greater vertex, layer."""


class MergedLink(Struct, frozen=True, gc=False):
    """One link that at least one end reports; `source` has the smaller id."""

    source: str
    target: str
    layer: str
    """"mesh" between agents, else the name of the monitored nodes' own network."""
    rtt_s: float | None
    """Mean of the measurements of both ends; without one, the estimate of their coordinates; else null."""
    loss_ratio: float | None
    """The worse of the two ends."""
    estimated: bool = False
    """The time comes from coordinates, not from a measurement."""
    kind: Literal["mesh", "overlay"] = "mesh"
    reported_by: Literal["both", "source", "target"] = "both"
    source_rtt_s: float | None = None
    target_rtt_s: float | None = None
    source_loss_ratio: float | None = None
    target_loss_ratio: float | None = None
    relayed: bool | None = None
    """At least one end reports that packets go through a relay; null if neither knows."""
    confirmed: Confirmation | None = None
    """For a link between nodes: both, one, contradicted or foreign. null on the mesh, whose ends measure it."""

    @property
    def measured_s(self) -> float | None:
        """`rtt_s`, unless it is an estimate."""
        return None if self.estimated else self.rtt_s


class End(Struct, frozen=True, gc=False):
    """A peer, with the values on which links depend."""

    peer_id: str
    profile: Profile
    report: Report | None
    """None unless it is fresh and the peer lives."""
    is_living: bool
    readings: dict[Key, LinkReading]
    """The links that it reports, its node's included."""
    names_all: bool = False
    """It lists all neighbours of its node, so what it leaves out is not there."""


class MonitoredNodes(Struct, frozen=True):
    """Nodes beside our peers, by layer and name in it."""

    vertices: dict[tuple[str, str], str]
    """The peer of each node that one peer claims."""
    shared: dict[tuple[str, str], tuple[str, ...]]
    """Claimants of each node that several peers claim, those that are gone included."""


class LinkCache:
    """Keeps links from one snapshot to the next, and merges only those that changed.

    A link exists while at least one living end with a fresh report lists it, and neither end is known to be gone.
    """

    def __init__(self) -> None:
        self._ends: dict[str, End] = {}
        self.nodes = MonitoredNodes({}, {})
        """Nodes beside peers at the last snapshot."""
        self._about: defaultdict[str, set[Key]] = defaultdict(set)
        """Links to each vertex that other ends report."""
        self._links: dict[Key, MergedLink] = {}
        self._merged: tuple[MergedLink, ...] = ()

    def at(self, snapshot: Snapshot) -> tuple[MergedLink, ...]:
        """All links, ordered by their ends; the same tuple as before if nothing changed."""
        nodes = monitored_nodes(snapshot)
        if nodes != self.nodes:  # names mean other peers, so every report reads differently
            self._ends, self._links, self.nodes = {}, {}, nodes
            self._about.clear()
        touched = self._look(snapshot)
        has_new = False
        for key in sorted(touched):
            link = self._merge(key)
            if link is None:
                self._links.pop(key, None)
            elif link != self._links.get(key):
                has_new = has_new or key not in self._links
                self._links[key] = link
        if has_new:
            self._links = {key: self._links[key] for key in sorted(self._links)}
        merged = tuple(self._links.values())
        if merged != self._merged:
            self._merged = merged
        return self._merged

    def strangers(self) -> dict[str, str]:
        """Unknown ends of links at the last snapshot, each with a layer of such a link."""
        return {vertex: min(self._about[vertex])[2] for vertex in sorted(self._about.keys() - self._ends.keys())}

    def listed_by(self, vertex: str) -> int:
        """How many ends list a link to it."""
        return len(self._about.get(vertex, ()))

    def mesh(self, snapshot: Snapshot) -> list[MergedLink]:
        """Links between two agents with a profile."""
        known = {end.peer_id for end in self._ends.values()} if (links := self.at(snapshot)) else set()
        return [link for link in links if link.kind == MESH and link.source in known and link.target in known]

    def _look(self, snapshot: Snapshot) -> set[Key]:
        """Read reports and profiles; return the links that may have changed."""
        touched: set[Key] = set()
        ends, evidence, reports = self._ends, snapshot.evidence, snapshot.living_reports
        for peer, profile in snapshot.profiles.items():
            vertex = vertex_of(peer)
            is_living = evidence[peer].verdict in LIVING
            report = reports[peer]
            before = ends.get(vertex)
            if (
                before is None
                or before.report is not report
                or before.profile is not profile
                or before.is_living is not is_living
            ):
                name = peer.hex() if before is None else before.peer_id  # one text: the past of links keeps it
                readings = self._read(vertex, profile, report)
                after = End(name, profile, report, is_living, readings, self._names_all(profile, report))
                self._replace(vertex, before, after, touched)
        if len(ends) > len(snapshot.profiles):
            for vertex in ends.keys() - {vertex_of(peer) for peer in snapshot.profiles}:
                self._replace(vertex, ends[vertex], None, touched)
        return touched

    def _read(self, vertex: str, profile: Profile, report: Report | None) -> dict[Key, LinkReading]:
        if report is None:
            return {}
        readings: dict[Key, LinkReading] = {}
        for link in report.links:
            other = link.peer.hex()
            readings[(vertex, other, MESH) if vertex < other else (other, vertex, MESH)] = link
        layer = layer_of(profile)
        for neighbour in report.overlay:
            other = self.nodes.vertices.get((layer, neighbour.node), f"{layer}:{neighbour.node}")
            key = (vertex, other, layer) if vertex < other else (other, vertex, layer)
            readings[key] = LinkReading(bytes(PEER_REF_BYTES), neighbour.rtt_us)
        readings.pop((vertex, vertex, MESH), None)
        readings.pop((vertex, vertex, layer), None)
        return readings

    def _names_all(self, profile: Profile, report: Report | None) -> bool:
        """Its list is complete and not empty, and no other peer claims its node."""
        if report is None or not lists_all(report):
            return False
        return profile.node_id is not None and (layer_of(profile), profile.node_id) in self.nodes.vertices

    def _replace(self, vertex: str, before: End | None, after: End | None, touched: set[Key]) -> None:
        """Replace one end, and add all its links to `touched`."""
        was, now = before.readings if before else {}, after.readings if after else {}
        for key in was.keys() - now.keys() if was else ():
            other = key[1] if key[0] == vertex else key[0]
            self._about[other].discard(key)
            if not self._about[other]:
                del self._about[other]
        for key in now.keys() - was.keys() if was else now:
            self._about[key[1] if key[0] == vertex else key[0]].add(key)
        touched.update(was, now, self._about.get(vertex, ()))
        if after is not None:
            self._ends[vertex] = after
        else:
            del self._ends[vertex]

    def _merge(self, key: Key) -> MergedLink | None:
        """The link as both ends report it; None if neither does or one is gone."""
        low, high, layer = key
        one, other = self._ends.get(low), self._ends.get(high)
        if (one and not one.is_living) or (other and not other.is_living):
            return None
        ours, theirs = one.readings.get(key) if one else None, other.readings.get(key) if other else None
        if ours is None and theirs is None:
            return None
        source_rtt_s, source_loss_ratio = (ours.rtt_s, ours.loss_ratio) if ours else (None, None)
        target_rtt_s, target_loss_ratio = (theirs.rtt_s, theirs.loss_ratio) if theirs else (None, None)
        rtt_s, loss_ratio, estimate_s = source_rtt_s, source_loss_ratio, None
        if target_rtt_s is not None:
            rtt_s = target_rtt_s if rtt_s is None else (rtt_s + target_rtt_s) / 2
        elif rtt_s is None:
            rtt_s = estimate_s = _estimate_s(one, other)
        confirmed = None if layer == MESH else self._confirmed(key, ours is not None, theirs is not None)
        if confirmed == "contradicted":  # the word of one against the other: no time of a link
            rtt_s = estimate_s = None
        if target_loss_ratio is not None and (loss_ratio is None or loss_ratio < target_loss_ratio):
            loss_ratio = target_loss_ratio
        return MergedLink(  # by position, which takes half the time: a large network has 40,000 of them
            one.peer_id if one else low,
            other.peer_id if other else high,
            layer,
            rtt_s,
            loss_ratio,
            estimate_s is not None,
            MESH if layer == MESH else OVERLAY,
            "target" if ours is None else "source" if theirs is None else "both",
            source_rtt_s,
            target_rtt_s,
            source_loss_ratio,
            target_loss_ratio,
            _either(ours, theirs),
            confirmed,
        )

    def _confirmed(self, key: Key, low_lists: bool, high_lists: bool) -> Confirmation:
        if low_lists and high_lists:
            return "both"
        low, high, layer = key
        lister, silent = (low, high) if low_lists else (high, low)
        end = self._ends.get(silent)
        if end is None:
            return "one" if (layer, silent.removeprefix(f"{layer}:")) in self.nodes.shared else "foreign"
        if not end.names_all or layer_of(end.profile) != layer:
            return "one"
        named = self._ends[lister].profile.node_id
        if named is None:  # the silent end may list its node, whose name we do not know
            return "one"
        other = f"{layer}:{named}"  # so the silent end lists a node that several peers claim
        return (
            "one"
            if ((silent, other, layer) if silent < other else (other, silent, layer)) in end.readings
            else "contradicted"
        )


def _either(ours: LinkReading | None, theirs: LinkReading | None) -> bool | None:
    known = [one.via_relay for one in (ours, theirs) if one is not None and one.via_relay is not None]
    return any(known) if known else None


def mesh_links(snapshot: Snapshot) -> list[MergedLink]:
    """Links between agents with a profile, computed from scratch."""
    return LinkCache().mesh(snapshot)


def vertex_of(peer: PeerId) -> str:
    """The name of a peer's end of a link."""
    return peer[:PEER_REF_BYTES].hex()


def lists_all(report: Report) -> bool:
    """It lists neighbours of its node, and had room for all."""
    return not report.overlay_cut and 0 < len(report.overlay) < OVERLAY_MAX


def layer_of(profile: Profile) -> str:
    """The layer of the node beside a peer. A node cannot join our own layer by its name."""
    return profile.node if profile.node and profile.node != MESH else OVERLAY


def monitored_nodes(snapshot: Snapshot) -> MonitoredNodes:
    """The peer beside each node. One that several known peers claim is nobody's, even if only one still lives.

    No fact in a ledger shows who had it first: times in profiles are claims, and a liar may have joined before.
    """
    claims: dict[tuple[str, str], list[PeerId]] = {}
    for peer, profile in snapshot.profiles.items():
        if profile.node_id is not None:
            claims.setdefault((layer_of(profile), profile.node_id), []).append(peer)
    return MonitoredNodes(
        {node: vertex_of(peers[0]) for node, peers in claims.items() if len(peers) == 1},
        {node: tuple(sorted(map(vertex_of, peers))) for node, peers in claims.items() if len(peers) > 1},
    )


def _estimate_s(one: End | None, other: End | None) -> float | None:
    ends = [end.report.coordinate for end in (one, other) if end and end.report and end.report.coordinate]
    return estimate_s(*ends) if len(ends) == 2 else None
