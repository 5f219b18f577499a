"""What rules look at: named, pure functions from what is known now to readings.

Own signals read what this peer measured of itself. Network signals read the ledger; only aggregators look at them, and
none rests on one peer's word alone.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence

from msgspec import Struct

from peerscope.alerts.expiry import certificate_reading, file_reading, lapsed_readings
from peerscope.alerts.model import ConditionReading
from peerscope.alerts.own import Own
from peerscope.mesh.detection import observers
from peerscope.mesh.detection.verdicts import Evidence, Verdict
from peerscope.records.alerts import CONFIRMED_BY_MAX
from peerscope.records.bodies import CHECKS, RATIO_ONE, Status
from peerscope.records.identity import PeerId, PeerRef, short
from peerscope.views.links import vertex_of
from peerscope.views.partitions import Partition
from peerscope.views.peers import SKEW_S
from peerscope.views.regions import RegionHealth, RegionStatus, region_members
from peerscope.views.snapshot import Snapshot

FINDING = "finding"
"""Signal of rules whose readings come from detections, not from here."""
OTHERS_MIN = 4
"""With fewer other peers known, few links are no trouble."""
USUAL_RTT_S_MIN = 0.02
"""A usual round trip counts as at least this: three times a tenth of a millisecond is nothing."""
USUAL_BYTES_S_MIN = 10_000
"""A usual throughput below this is no traffic to speak of: an idle agent's own gossip."""
RULED_CHECKS = frozenset({"cpu", "memory", "storage", "p2p"})
"""Checks that a rule of their own looks at."""
TELLERS_MIN = 2
"""Neighbours that must agree on a wrong clock."""


class Sight(Struct, frozen=True):
    """Everything there is to look at."""

    snapshot: Snapshot
    own: Own = Own()
    usual_rtt_s: float | None = None
    usual_bytes_s: float | None = None
    regions: Sequence[RegionHealth] = ()
    groups: Sequence[tuple[str, Partition]] = ()
    """Partitions with their names."""


Signal = Callable[[Sight], Iterable[ConditionReading]]


def _cpu(sight: Sight) -> Iterator[ConditionReading]:
    cpu = sight.own.metrics.system.cpu
    value = _ratio("cpu", sight.own) if cpu is None else cpu / RATIO_ONE
    yield ConditionReading(value, text=_said(value, "{:.0%} of all cores busy"))


def _memory(sight: Sight) -> Iterator[ConditionReading]:
    system = sight.own.metrics.system
    value = _part(system.memory_used_kib, system.memory_total_kib)
    value = _ratio("memory", sight.own) if value is None else value
    yield ConditionReading(value, text=_said(value, "{:.0%} of this machine's memory used"))


def _storage(sight: Sight) -> Iterator[ConditionReading]:
    value = _ratio("storage", sight.own)  # the check knows what the system reserves
    system = sight.own.metrics.system
    value = _part(system.disk_used_kib, system.disk_total_kib) if value is None else value
    yield ConditionReading(value, text=_said(value, "{:.1%} of the disk used"))


def _linked(sight: Sight) -> Iterator[ConditionReading]:
    """Only where others are known that could be linked to: the dead and those that left are no fault of ours."""
    snapshot, linked = sight.snapshot, sight.own.linked
    if linked >= OTHERS_MIN:
        yield ConditionReading(float(linked))  # enough, and no need to judge everybody
        return
    gone = (Verdict.DOWN, Verdict.LEFT)
    others = sum(found.verdict not in gone for peer, found in snapshot.evidence.items() if peer != snapshot.me)
    if others >= OTHERS_MIN:
        yield ConditionReading(float(linked), text=f"linked to {linked} of {others} other peers")


def _rtt(sight: Sight) -> Iterator[ConditionReading]:
    value = sight.own.rtt_s
    yield ConditionReading(value, text=_said(value, "median round trip {:.3f} s"))


def _rtt_rise(sight: Sight) -> Iterator[ConditionReading]:
    value, usual = sight.own.rtt_s, sight.usual_rtt_s
    if usual is not None:
        times = None if value is None else value / max(usual, USUAL_RTT_S_MIN)
        yield ConditionReading(times, text=_said(value, "median round trip {:.3f} s") + f", usually {usual:.3f} s")


def _route(sight: Sight) -> Iterator[ConditionReading]:
    if sight.own.routes:
        name, p95_s = max(sight.own.routes, key=lambda route: (route[1], route[0]))
        yield ConditionReading(p95_s, text=f"95 % of messages by {name[:80]} took up to {p95_s:.2f} s")


def _errors(sight: Sight) -> Iterator[ConditionReading]:
    error = sight.own.metrics.performance.error
    value = None if error is None else error / RATIO_ONE
    yield ConditionReading(value, text=_said(value, "{:.1%} of messages failed"))


def _throughput(sight: Sight) -> Iterator[ConditionReading]:
    value, usual = sight.own.metrics.performance.throughput_bytes_s, sight.usual_bytes_s
    if usual is not None and usual >= USUAL_BYTES_S_MIN:
        share = None if value is None else value / usual
        yield ConditionReading(share, text=f"{value or 0:,} bytes a second, usually {usual:,.0f}")


def _agent_lag(sight: Sight) -> Iterator[ConditionReading]:
    lag_us = sight.own.metrics.agent.lag_us
    value = None if lag_us is None else lag_us / 1e6
    yield ConditionReading(value, text=_said(value, "the event loop came {:.2f} s late"))


def _agent_cpu(sight: Sight) -> Iterator[ConditionReading]:
    cpu = sight.own.metrics.agent.cpu
    value = None if cpu is None else cpu / RATIO_ONE
    yield ConditionReading(value, text=_said(value, "{:.0%} of one core"))


def _history(sight: Sight) -> Iterator[ConditionReading]:
    if sight.own.trouble is not None:
        yield ConditionReading(text=sight.own.trouble)


def _export(sight: Sight) -> Iterator[ConditionReading]:
    if sight.own.export_trouble is not None:
        yield ConditionReading(text=sight.own.export_trouble)


def _certificate(sight: Sight) -> Iterator[ConditionReading]:
    if sight.own.certificate is not None:
        yield certificate_reading(sight.own.certificate, sight.snapshot.wall, is_cut_off=not sight.own.linked)


def _lapsed(sight: Sight) -> Iterator[ConditionReading]:
    """Members that we dropped. Those that we still know speak for themselves."""
    yield from lapsed_readings(sight.own.lapsed, sight.snapshot.wall)


def _files(sight: Sight) -> Iterator[ConditionReading]:
    reading = file_reading(sight.own.files, sight.snapshot.wall)
    if reading is not None:
        yield reading


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
    if not snapshot.is_living(peer):
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


OWN_SIGNALS: dict[str, Signal] = {
    "cpu_ratio": _cpu,
    "memory_ratio": _memory,
    "storage_ratio": _storage,
    "linked_peers": _linked,
    "link_rtt_s": _rtt,
    "link_rtt_rise": _rtt_rise,
    "route_p95_s": _route,
    "error_ratio": _errors,
    "throughput_share": _throughput,
    "agent_lag_s": _agent_lag,
    "agent_cpu_ratio": _agent_cpu,
    "history_trouble": _history,
    "export_trouble": _export,
    "certificate_left_ratio": _certificate,
    "tls_left_ratio": _files,
}
NETWORK_SIGNALS: dict[str, Signal] = {
    "peer_down": _peer_down,
    "partition": _partition,
    "region_critical": _region_critical,
    "clock_skew_s": _clock_skew,
    "certificate_left_ratio": _lapsed,
    "shared_key": _shared_key,
}


def _ratio(check: str, own: Own) -> float | None:
    at = CHECKS.index(check)
    ratio = own.checks[at].ratio if at < len(own.checks) else None
    return None if ratio is None else ratio / RATIO_ONE


def _part(used: int | None, total: int | None) -> float | None:
    return used / total if used is not None and total else None


def _place(addresses: Sequence[str], region: str | None) -> str:
    where = addresses[0] if addresses else "an unknown address"
    return where if region is None else f"{where} ({region})"


def _said(value: float | None, text: str) -> str:
    return "" if value is None else text.format(value)
