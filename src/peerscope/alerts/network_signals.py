"""What rules look at: named, pure functions from what is known now to readings.

Own signals read what this peer measured of itself. Network signals read the ledger; only aggregators look at them, and
none rests on one peer's word alone.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence

from peerscope.alerts.expiry import lapsed_readings
from peerscope.alerts.model import ConditionReading
from peerscope.alerts.own_signals import Sight, Signal
from peerscope.mesh.detection import observers
from peerscope.mesh.detection.verdicts import Evidence, Verdict
from peerscope.records.alerts import CONFIRMED_BY_MAX
from peerscope.records.bodies import CHECKS, Status
from peerscope.records.identity import PeerId, PeerRef, short
from peerscope.views.links import vertex_of
from peerscope.views.peers import SKEW_S
from peerscope.views.regions import RegionHealth, RegionStatus, is_living, region_members
from peerscope.views.snapshot import Snapshot

RULED_CHECKS = frozenset({"cpu", "memory", "storage", "p2p"})
"""Checks that a rule of their own looks at."""
TELLERS_MIN = 2
"""Neighbours that must agree on a wrong clock."""


def _lapsed(sight: Sight) -> Iterator[ConditionReading]:
    """Members that we dropped. Those that we still know speak for themselves."""
    yield from lapsed_readings(sight.own.lapsed, sight.snapshot.wall)


def _peer_down(sight: Sight) -> Iterator[ConditionReading]:
    """Everybody whom a majority of its observers lost; those of a partition are told as one."""
    for peer, found in sight.snapshot.evidence.items():
        if found.verdict is Verdict.DOWN:
            yield ConditionReading(
                subject=vertex_of(peer),
                text=missed(found, peer),
                confirmed_by=accusers(found),
            )


def missed(found: Evidence, peer: PeerId) -> str:
    """How many miss a peer, in words."""
    if not found.accusations:
        return f"nobody hears {short(peer)}, and nobody who watched it still runs"
    return f"{found.accusing} of {found.voices} observers no longer hear {short(peer)}"


def accusers(found: Evidence) -> tuple[PeerId, ...]:
    """Whose word a verdict rests on, as many as a statement holds."""
    return tuple(accusation.observer for accusation in found.accusations if accusation.counts)[:CONFIRMED_BY_MAX]


def accusers_of_all(peers: Collection[PeerId], found: Mapping[PeerId, Evidence]) -> tuple[PeerId, ...]:
    """The same, of peers that were lost together: those of them have no say."""
    said = (accusation for peer in peers for accusation in found[peer].accusations if accusation.counts)
    return tuple(sorted({accusation.observer for accusation in said} - set(peers))[:CONFIRMED_BY_MAX])


def _partition(sight: Sight) -> Iterator[ConditionReading]:
    for name, group in sight.groups:
        yield ConditionReading(
            subject=name,
            text=lost_together(len(group.peers)),
            metadata=(("peers", str(len(group.peers))),),
            confirmed_by=accusers_of_all(group.peers, sight.snapshot.evidence),
        )


def lost_together(peers: int) -> str:
    """How large a partition is, in words."""
    return f"{peers} peers fell silent together"


def _region_critical(sight: Sight) -> Iterator[ConditionReading]:
    """Regions guessed from latencies page nobody, nor does a region of one peer where the peer's own alert says it."""
    for health in sight.regions:
        if (
            health.status == RegionStatus.CRITICAL
            and health.source != "latency"
            and _speaks_against(health, sight.regions)
            and not (health.total_peers == 1 and _speaks_for_itself(sight.snapshot, health.region))
        ):
            yield ConditionReading(
                subject=health.region,
                text=counted(health),
            )


def counted(health: RegionHealth) -> str:
    """How a region is, in words and by the counts that everybody sees."""
    return (
        f"{health.healthy_peers} of {health.total_peers} peers healthy, {health.degraded_peers} degraded, "
        f"{health.unhealthy_peers} unhealthy, {health.down_peers} down; "
        f"linked to {health.reached_regions} of {health.other_regions} other regions"
    )


def _speaks_against(health: RegionHealth, regions: Sequence[RegionHealth]) -> bool:
    """Is anything known against the region itself?

    A network that has just started knows no links yet and condemns nobody; and a region is not cut off because all the
    others are dead.
    """
    if health.down_peers or health.unhealthy_peers or health.reached_regions:
        return True
    lives_elsewhere = any(other.down_peers < other.total_peers for other in regions if other is not health)
    return bool(health.connectivity) and lives_elsewhere


def _speaks_for_itself(snapshot: Snapshot, region: str) -> bool:
    """An alert about the lone peer of a region says what is wrong there.

    A peer that is down or lost with others has one, and so has a peer that is linked to hardly anybody. A peer that is
    unhealthy has one where a rule looks at what failed. Nobody else speaks of a peer without a fresh report.
    """
    peers = region_members(snapshot).get(region, ())
    if len(peers) != 1:
        return False  # of other zones nothing more is known
    (peer,) = peers
    if not is_living(snapshot, peer):
        return True
    report = snapshot.fresh_report(peer)
    if report is None or report.status is Status.UNKNOWN:
        return False
    failed = {name for name, check in zip(CHECKS, report.checks, strict=False) if check.status == Status.UNHEALTHY}
    return failed <= RULED_CHECKS


def _clock_skew(sight: Sight) -> Iterator[ConditionReading]:
    """Those of whom most neighbours, two at least, measured a clock that is off in the same direction.

    The value is what a majority of them finds at least: one liar, or one whose own clock is wrong, moves nothing.
    """
    snapshot = sight.snapshot
    told: defaultdict[PeerRef, dict[PeerId, int]] = defaultdict(dict)
    for peer, report in snapshot.fresh_reports.items():
        for link in report.links if report else ():
            if abs(link.skew_s) > 0:
                told[PeerRef(link.peer)][peer] = link.skew_s
    for name, skews in sorted(told.items()):
        subject = snapshot.ledger.find(name)
        if subject is None or max(map(abs, skews.values())) <= SKEW_S or len(skews) < TELLERS_MIN:
            continue
        watchers = observers.watchers(snapshot.ledger, subject)
        tellers = [watcher for watcher in watchers if observers.hears(snapshot.ledger, watcher, subject, snapshot.now)]
        if len(tellers) < TELLERS_MIN:
            continue
        measured = sorted(skews.get(teller, 0) for teller in tellers)
        middle = len(measured) // 2
        ahead, behind = measured[len(measured) - 1 - middle], measured[middle]
        agreed = ahead if ahead > 0 else min(behind, 0)
        if agreed:
            side = "ahead" if agreed > 0 else "behind"
            confirming = [teller for teller in tellers if skews.get(teller, 0) * agreed > 0]
            yield ConditionReading(
                float(abs(agreed)),
                subject=vertex_of(subject),
                text=f"its clock is {abs(agreed)} s {side}, as {len(confirming)} of {len(tellers)} neighbours measured",
                confirmed_by=tuple(confirming[:CONFIRMED_BY_MAX]),
            )


def _shared_key(sight: Sight) -> Iterator[ConditionReading]:
    """Peers that prove, under their own key, that another process runs with it (`mesh/membership/shared_key.py`)."""
    snapshot = sight.snapshot
    for peer, profile in snapshot.profiles.items():
        others = [one for one in profile.met if one.is_running]
        if not others or snapshot.verdict(peer) in (Verdict.DOWN, Verdict.LEFT):
            continue
        # Each of them says so in turn: in the order of their addresses all say the same.
        told = [(profile.addresses, profile.region), *((one.addresses, one.region) for one in others)]
        places = sorted(_place(addresses, region) for addresses, region in told)
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
