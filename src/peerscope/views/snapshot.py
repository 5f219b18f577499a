"""The ledger at one moment, from which every view is computed.

Views show a value that a peer measured, uptime included, only while the peer lives and its report is fresh. For a peer
that is gone they show since when, and no value: readers would take the last one for a live one.
"""

from __future__ import annotations

from functools import cached_property
from statistics import median_low
from typing import Protocol

from msgspec import Struct
from msgspec.structs import replace

from peerscope.mesh.detection import observers
from peerscope.mesh.detection.unwatched import unwatched
from peerscope.mesh.detection.verdicts import Assessment, Evidence, Verdict
from peerscope.mesh.peer import Peer
from peerscope.records.bodies import Kind, LinkReading, Profile, Report
from peerscope.records.identity import PeerId, PeerRef, ref
from peerscope.records.ledger import Ledger
from peerscope.views.hosts import machines
from peerscope.views.partitions import Partition, partitions
from peerscope.views.places import ClusterConfig, Place, places

LIVING = (Verdict.ALIVE, Verdict.SUSPECT)
"""Verdicts without good evidence against the peer."""


class SnapshotConfig(Struct, frozen=True, kw_only=True):
    """How a snapshot reads its ledger."""

    wall_offset_s: float
    """Added to local monotonic time, it gives Unix seconds."""
    down_after_s: float
    by_prefix: bool = False
    """Observers of one address prefix have one vote together."""
    clusters: ClusterConfig = ClusterConfig()


class HasPeer(Protocol):
    """The source of a snapshot: the core."""

    @property
    def peer(self) -> Peer:
        """Its ledgers and settings."""

    @property
    def wall_offset_s(self) -> float:
        """Unix minus monotonic seconds."""

    @property
    def clusters(self) -> ClusterConfig:
        """How peers without a region are grouped."""


class Snapshot:
    """A ledger at one local monotonic time."""

    def __init__(
        self, ledger: Ledger, me: PeerId, now: float, config: SnapshotConfig, global_ledger: Ledger | None = None
    ) -> None:
        """`ledger`: records of our zone; `global_ledger`: records that all zones share, if that is another one."""
        self.ledger = ledger
        self.global_ledger = ledger if global_ledger is None else global_ledger
        self.me = me
        self.now = now
        self.wall = now + config.wall_offset_s
        """Unix seconds, for people."""
        self.config = config

    @classmethod
    def of(cls, core: HasPeer, now: float) -> Snapshot:
        """The ledgers of one peer now."""
        peer = core.peer
        config = SnapshotConfig(
            wall_offset_s=core.wall_offset_s,
            down_after_s=peer.config.detector.down_after_s,
            by_prefix=peer.config.network.public,
            clusters=core.clusters,
        )
        return cls(peer.ledger, peer.me, now, config, peer.global_ledger)

    @cached_property
    def zone(self) -> str:
        """Our zone, by our own profile."""
        own = self.ledger.profile(self.me)
        return own.zone if own is not None else ""

    @cached_property
    def profiles(self) -> dict[PeerId, Profile]:
        """Newest profiles of all peers of our zone."""
        return {
            peer: profile
            for peer in self.ledger
            if (profile := self.ledger.profile(peer)) is not None and profile.zone == self.zone
        }

    @cached_property
    def peers(self) -> list[PeerId]:
        """All peers with a profile, in a fixed order."""
        return sorted(self.profiles)

    @cached_property
    def evidence(self) -> dict[PeerId, Evidence]:
        """Evidence about each of `peers`. Those lost together have the verdict partitioned."""
        found = dict(self._single)
        for group in self.partitions:
            for peer in group.peers:
                found[peer] = replace(found[peer], verdict=Verdict.PARTITIONED)
        for peer in self.unwatched - {peer for group in self.partitions for peer in group.peers}:
            found[peer] = replace(found[peer], verdict=Verdict.DOWN)
        return found

    @cached_property
    def unwatched(self) -> frozenset[PeerId]:
        """Peers that are down by their silence alone: no observer is left that could accuse them."""
        alive = (peer for peer, found in self._single.items() if found.verdict is Verdict.ALIVE)
        return unwatched(self.ledger, self.me, alive, self.now)

    @cached_property
    def partitions(self) -> list[Partition]:
        """Groups of peers lost together."""
        return partitions(self.ledger, self.me, self._single, self.now)

    @cached_property
    def places(self) -> dict[PeerId, Place]:
        """The region of each of `peers`, and its source."""
        return places(self.ledger, self.peers, self.config.clusters)

    @cached_property
    def hosts(self) -> dict[PeerId, str]:
        """Name of the machine of each of `peers`. Peers whose machine is unknown are absent."""
        return machines(self.profiles)

    def verdict(self, peer: PeerId) -> Verdict:
        """The verdict on one of `peers`."""
        return self.evidence[peer].verdict

    @cached_property
    def fresh_reports(self) -> dict[PeerId, Report | None]:
        """The report of each of `peers`; None without one, or if it has expired."""
        return {peer: self.fresh_report(peer) for peer in self.profiles}

    def fresh_report(self, peer: PeerId) -> Report | None:
        """The peer's report; None if it is void: a later one should have come."""
        entry = self.ledger.get(peer, Kind.REPORT)
        if entry is None or not isinstance(entry.body, Report):
            return None
        expired = self.now > entry.heard_at + observers.expiry_s(entry.body)
        return None if expired else entry.body

    @cached_property
    def statuses(self) -> dict[PeerId, str]:
        """The class of each of `peers`: left or down by verdict, else by its own fresh report, else unknown."""
        return {peer: self._status(peer, report) for peer, report in sorted(self.fresh_reports.items())}

    def _status(self, peer: PeerId, report: Report | None) -> str:
        verdict = self.verdict(peer)
        if verdict not in LIVING:
            return "left" if verdict is Verdict.LEFT else "down"
        return "unknown" if report is None else report.status.name.lower()

    @cached_property
    def living_reports(self) -> dict[PeerId, Report | None]:
        """The fresh report of each of `peers`; None if it is gone. Views show values from these only."""
        return {peer: report if self.is_living(peer) else None for peer, report in self.fresh_reports.items()}

    def living_links(self, peer: PeerId) -> tuple[LinkReading, ...]:
        """Links that one of `peers` reports, without those to peers that are gone; none if it is gone itself."""
        report = self.living_reports[peer]
        links, gone = report.links if report is not None else (), self.gone
        return tuple(link for link in links if link.peer not in gone) if gone else links

    @cached_property
    def gone(self) -> frozenset[PeerRef]:
        """Those of `peers` that do not live."""
        return frozenset(ref(peer) for peer in self.peers if not self.is_living(peer))

    def is_living(self, peer: PeerId) -> bool:
        """No observer has good evidence against it."""
        return self.verdict(peer) in LIVING

    def uptime_s(self, peer: PeerId) -> float | None:
        """Seconds since the peer's process started; None if it is gone or has no fresh report.

        Its profile states by the peer's own clock when the process started and when the record was issued, so this
        compares no two clocks.
        """
        entry = self.ledger.get(peer, Kind.PROFILE) if self.living_reports[peer] is not None else None
        if entry is None:
            return None
        then_s = (entry.record.version - self.profiles[peer].started_at_ms) / 1000
        return max(0.0, then_s + self.now - entry.heard_at)

    def gone_age_s(self, peer: PeerId) -> float | None:
        """Seconds since a peer that is gone was last heard, or left; None while it lives.

        Observers state that time by the peer's own clock. The median counts, so that no single liar sets it.
        """
        if self.is_living(peer):
            return None
        newest = max(self.ledger.entries(peer), key=lambda entry: entry.record.version)
        heard = [one.heard_ms for one in self.evidence[peer].accusations if one.counts]
        later_s = max(0.0, (median_low(heard) - newest.record.version) / 1000) if heard else 0.0
        return max(0.0, self.now - newest.heard_at - later_s)

    def age_s(self, peer: PeerId) -> float | None:
        """Age of the peer's last report in seconds; None before the first."""
        entry = self.ledger.get(peer, Kind.REPORT)
        return None if entry is None else max(0.0, self.now - entry.heard_at)

    @cached_property
    def _single(self) -> dict[PeerId, Evidence]:
        """Evidence about each peer by itself; only accused ones need weighing."""
        accused = observers.accused(self.ledger)
        left, alive = Evidence(Verdict.LEFT), Evidence(Verdict.ALIVE)
        return {
            peer: self.weigh(peer) if peer in accused else left if self.profiles[peer].left else alive
            for peer in self.peers
        }

    def weigh(self, peer: PeerId) -> Evidence:
        """Evidence about one peer by itself, with the observers that hear it."""
        return self._assessment.weigh(peer)

    @cached_property
    def _assessment(self) -> Assessment:
        return Assessment(self.ledger, self.now, down_after_s=self.config.down_after_s, by_prefix=self.config.by_prefix)
