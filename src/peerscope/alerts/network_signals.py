"""Signals about other peers: named, pure functions from the ledger to readings.

Only aggregators evaluate them, and no signal rests on one peer's evidence alone.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence

from peerscope.alerts.expiry import lapsed_readings
from peerscope.alerts.model import ConditionReading
from peerscope.alerts.own_signals import Signal, SignalContext
from peerscope.mesh.detection import observers
from peerscope.mesh.detection.verdicts import Evidence, Verdict
from peerscope.records.alerts import CONFIRMED_BY_MAX
from peerscope.records.bodies import Status
from peerscope.records.identity import PeerId, PeerRef, short
from peerscope.views.links import vertex_of
from peerscope.views.peers import SKEW_S
from peerscope.views.regions import RegionHealth, RegionStatus, region_members
from peerscope.views.snapshot import Snapshot

WITNESSES_MIN = 2
"""Neighbours that must agree about a wrong clock."""


def _lapsed(sight: SignalContext) -> Iterator[ConditionReading]:
    """Members that we dropped. Members that we still know report their own."""
    yield from lapsed_readings(sight.own.lapsed, sight.snapshot.wall)


def _peer_down(sight: SignalContext) -> Iterator[ConditionReading]:
    """Peers that a majority of their observers lost. A partition is one alert of its own."""
    for peer, found in sight.snapshot.evidence.items():
        if found.verdict is Verdict.DOWN:
            yield ConditionReading(
                subject=vertex_of(peer),
                text=missed(found, peer),
                confirmed_by=accusers(found),
            )


def missed(found: Evidence, peer: PeerId) -> str:
    """How many observers miss a peer, in words."""
    if not found.accusations:
        return f"nobody hears {short(peer)}, and none of its observers still runs"
    return f"{found.accusing} of {found.voices} observers no longer hear {short(peer)}"


def accusers(found: Evidence) -> tuple[PeerId, ...]:
    """Observers behind a verdict, as many as a statement holds."""
    return tuple(accusation.observer for accusation in found.accusations if accusation.counts)[:CONFIRMED_BY_MAX]


def accusers_of_all(peers: Collection[PeerId], found: Mapping[PeerId, Evidence]) -> tuple[PeerId, ...]:
    """The same for peers that were lost together; accusations by these peers do not count."""
    counting = (accusation for peer in peers for accusation in found[peer].accusations if accusation.counts)
    return tuple(sorted({accusation.observer for accusation in counting} - set(peers))[:CONFIRMED_BY_MAX])


def _partition(sight: SignalContext) -> Iterator[ConditionReading]:
    for name, group in sight.groups:
        yield ConditionReading(
            subject=name,
            text=lost_together(len(group.peers)),
            metadata=(("peers", str(len(group.peers))),),
            confirmed_by=accusers_of_all(group.peers, sight.snapshot.evidence),
        )


def lost_together(peers: int) -> str:
    """The size of a partition, in words."""
    return f"{peers} peers fell silent together"


def _region_critical(sight: SignalContext) -> Iterator[ConditionReading]:
    """Critical regions. Not those guessed from latencies, nor a region of one peer that has an alert of its own."""
    for health in sight.regions:
        if (
            health.status == RegionStatus.CRITICAL
            and health.source != "latency"
            and _has_evidence(health, sight.regions)
            and not (health.total_peers == 1 and _has_own_alert(sight.snapshot, health.region))
        ):
            yield ConditionReading(
                subject=health.region,
                text=counted(health),
            )


def counted(health: RegionHealth) -> str:
    """The state of a region in words, with the counts of the regions view."""
    return (
        f"{health.healthy_peers} of {health.total_peers} peers healthy, {health.degraded_peers} degraded, "
        f"{health.unhealthy_peers} unhealthy, {health.down_peers} down; "
        f"linked to {health.reached_regions} of {health.other_regions} other regions"
    )


def _has_evidence(health: RegionHealth, regions: Sequence[RegionHealth]) -> bool:
    """Whether there is evidence against the region itself.

    A network that has just started knows no links yet. A region is not cut off because all others are down.
    """
    if health.down_peers or health.unhealthy_peers or health.reached_regions:
        return True
    lives_elsewhere = any(other.down_peers < other.total_peers for other in regions if other is not health)
    return bool(health.connectivity) and lives_elsewhere


def _has_own_alert(snapshot: Snapshot, region: str) -> bool:
    """Whether another alert covers the lone peer of a region.

    A peer that is down, lost with others or linked to few peers has one. An unhealthy peer has one, since a rule covers
    each check. No other alert covers a peer without a fresh report.
    """
    peers = region_members(snapshot).get(region, ())
    if len(peers) != 1:
        return False  # the ledger holds no more about other zones
    (peer,) = peers
    if not snapshot.is_living(peer):
        return True
    report = snapshot.fresh_report(peer)
    return report is not None and report.status is not Status.UNKNOWN


def _clock_skew(sight: SignalContext) -> Iterator[ConditionReading]:
    """Peers of which most neighbours, at least two, measured a clock that is wrong in the same direction.

    The value is what a majority measured at least: one liar or one wrong clock does not change it.
    """
    snapshot = sight.snapshot
    measured_by: defaultdict[PeerRef, dict[PeerId, int]] = defaultdict(dict)
    for peer, report in snapshot.fresh_reports.items():
        for link in report.links if report else ():
            if abs(link.skew_s) > 0:
                measured_by[PeerRef(link.peer)][peer] = link.skew_s
    for name, skews in sorted(measured_by.items()):
        subject = snapshot.ledger.find(name)
        if subject is None or max(map(abs, skews.values())) <= SKEW_S or len(skews) < WITNESSES_MIN:
            continue
        watchers = observers.watchers(snapshot.ledger, subject)
        witnesses = [
            watcher for watcher in watchers if observers.hears(snapshot.ledger, watcher, subject, snapshot.now)
        ]
        if len(witnesses) < WITNESSES_MIN:
            continue
        measured = sorted(skews.get(witness, 0) for witness in witnesses)
        middle = len(measured) // 2
        ahead, behind = measured[len(measured) - 1 - middle], measured[middle]
        agreed = ahead if ahead > 0 else min(behind, 0)
        if agreed:
            side = "ahead" if agreed > 0 else "behind"
            agreeing = [witness for witness in witnesses if skews.get(witness, 0) * agreed > 0]
            yield ConditionReading(
                float(abs(agreed)),
                subject=vertex_of(subject),
                text=f"its clock is {abs(agreed)} s {side}, as {len(agreeing)} of {len(witnesses)} neighbours measured",
                confirmed_by=tuple(agreeing[:CONFIRMED_BY_MAX]),
            )


def _shared_key(sight: SignalContext) -> Iterator[ConditionReading]:
    """Peers that prove with their own key that another process uses it (`mesh/membership/shared_key.py`)."""
    snapshot = sight.snapshot
    for peer, profile in snapshot.profiles.items():
        others = [one for one in profile.met if one.is_running]
        if not others or snapshot.verdict(peer) in (Verdict.DOWN, Verdict.LEFT):
            continue
        # Each of these processes publishes this in turn: sorted by address, all publish the same text.
        found = [(profile.addresses, profile.region), *((one.addresses, one.region) for one in others)]
        places = sorted(_place(addresses, region) for addresses, region in found)
        yield ConditionReading(
            float(len(others)),
            subject=vertex_of(peer),
            text=f"{len(places)} agents run with the key of {short(peer)}: {', '.join(places)}",
            metadata=tuple((f"address_{number}", place) for number, place in enumerate(places, 1)),
        )


NETWORK_SIGNALS: dict[str, Signal] = {
    "peer_down": _peer_down,
    "partition": _partition,
    "region_critical": _region_critical,
    "clock_skew_s": _clock_skew,
    "certificate_left_ratio": _lapsed,
    "shared_key": _shared_key,
}


def _place(addresses: Sequence[str], region: str | None) -> str:
    where = addresses[0] if addresses else "an unknown address"
    return where if region is None else f"{where} ({region})"
