"""One peer for people: its profile, its health by its own report, and the verdict of the others."""

from __future__ import annotations

from statistics import median

from msgspec import Struct
from msgspec.structs import replace

from peerscope.mesh.detection import observers
from peerscope.records.bodies import CHECKS, RATIO_ONE, Check, Kind, Report, Status
from peerscope.records.identity import PeerId, PeerRef, ref, short
from peerscope.views.metrics import MetricsView, metrics_view
from peerscope.views.reachability import ReachabilityView, reachability
from peerscope.views.snapshot import Snapshot

SKEW_S = 5.0
"""Views show the skew of a wall clock if it is greater."""


class CheckView(Struct, frozen=True):
    """One health check."""

    name: str
    status: str
    value: float | None
    """A ratio; null if the check could not run."""
    message: str


class LinkView(Struct, frozen=True):
    """One link that is up, as one end sees it."""

    peer_id: str
    """The first sixteen digits for a neighbour in another zone."""
    rtt_s: float | None
    loss_ratio: float | None
    up: bool = True


class Hearsay(Struct, frozen=True):
    """Verdicts of aggregators on a peer of another zone. The peer signed its own records; the verdict is unsigned."""

    zone: str
    """Zone in the peer's own profile."""
    said: dict[str, str | None]
    """Verdicts of that zone's aggregators, by their ids; null if one does not know the peer."""
    disagreeing: tuple[str, ...]
    """Ids of aggregators that the others contradict."""
    silent: tuple[str, ...]
    """Ids of aggregators that did not answer."""


class PlannedView(Struct, frozen=True):
    """An absence that an operator announced when the peer left."""

    reason: str
    ends_at: float | None
    """Unix seconds at which the peer is to be back; null if that is open."""
    ends_in_s: float | None
    is_overdue: bool
    """That time is over, and availability counts the peer as down."""


class PeerView(Struct, frozen=True):
    """All that is known of one peer."""

    peer_id: str
    short_id: str
    region: str | None
    region_source: str | None
    """declared by its operator, country of its address, or latency: a guess with a name that begins with `~`."""
    version: str
    node: str | None
    verdict: str
    status: str
    """healthy, degraded or unhealthy by its own report; unknown without a fresh one; down and left by verdict."""
    checks: dict[str, CheckView] | None
    metrics: MetricsView | None
    """null without a fresh report, and if the peer is gone."""
    links: tuple[LinkView, ...]
    """Links that it reports, without those to peers that are gone; none if it is gone itself."""
    age_s: float | None
    """Seconds since its last report was issued."""
    started_at: float | None
    """Unix seconds, by its own clock."""
    addresses: tuple[str, ...]
    clock_skew_s: float | None
    """How far its wall clock is ahead of its neighbours', if that is more than five seconds."""
    accused_by: int
    observers: int
    uptime_s: float | None = None
    """null without a fresh report, and if the peer is gone."""
    gone_since: float | None = None
    """Unix seconds at which the peer was last heard, or left. null while it lives, and if it is down in another
    zone."""
    gone_age_s: float | None = None
    """Time since `gone_since`."""
    host: str | None = None
    """Name of its machine, the same for all peers there; null if unknown."""
    planned: PlannedView | None = None
    """null if the peer did not leave, or left without an announcement."""
    reachability: ReachabilityView | None = None
    """Whether others can connect to its node; null if it does not ask, and if the peer is gone."""


def peer_view(snapshot: Snapshot, peer: PeerId) -> PeerView:
    """The view of one peer, which has a profile."""
    profile = snapshot.ledger.profile(peer)
    assert profile is not None
    weighed, report, place = snapshot.evidence[peer], snapshot.living_reports[peer], snapshot.places[peer]
    gone_age_s = snapshot.gone_age_s(peer)
    return PeerView(
        peer_id=peer.hex(),
        short_id=short(peer),
        region=place.region,
        region_source=place.source,
        version=profile.version,
        node=profile.node,
        verdict=weighed.verdict.value,
        status=snapshot.statuses[peer],
        checks=_checks(report, profile.node) if report else None,
        metrics=metrics_view(report.metrics) if report and report.metrics else None,
        links=_links(snapshot, peer),
        age_s=snapshot.age_s(peer),
        started_at=profile.started_at_ms / 1000,
        addresses=profile.addresses,
        clock_skew_s=clock_skew_s(snapshot, peer),
        accused_by=sum(accusation.counts for accusation in weighed.accusations),
        observers=len(weighed.observers),
        uptime_s=snapshot.uptime_s(peer),
        gone_since=None if gone_age_s is None else snapshot.wall - gone_age_s,
        gone_age_s=gone_age_s,
        host=snapshot.hosts.get(peer),
        planned=planned_view(snapshot, peer),
        reachability=reachability(snapshot, peer),
    )


def planned_view(snapshot: Snapshot, peer: PeerId) -> PlannedView | None:
    """The announced absence of a peer that left; None for any other peer."""
    profile, entry = snapshot.profiles.get(peer), snapshot.ledger.get(peer, Kind.PROFILE)
    if profile is None or entry is None or profile.planned is None or not profile.left:
        return None
    planned = profile.planned
    if planned.for_ms is None:
        return PlannedView(planned.reason, None, None, False)
    left_s = entry.heard_at + planned.for_ms / 1000 - snapshot.now
    return PlannedView(planned.reason, snapshot.wall + left_s, max(0.0, left_s), left_s < 0)


def gone(view: PeerView) -> PeerView:
    """The view of a peer that is gone by the word of others, without a time."""
    return replace(view, checks=None, metrics=None, links=(), clock_skew_s=None, uptime_s=None, reachability=None)


def peer_views(snapshot: Snapshot) -> list[PeerView]:
    """All known peers, by id."""
    return [peer_view(snapshot, peer) for peer in snapshot.peers]


def clock_skew_s(snapshot: Snapshot, peer: PeerId) -> float | None:
    """How far a peer's wall clock is ahead, in seconds; None within five, and if the peer is gone.

    It is the median of what its neighbours measure by pings, so a neighbour with a wrong clock is outvoted. Without
    such a neighbour it is the date of the peer's newest record against our clock.
    """
    if not snapshot.is_living(peer):
        return None
    watching = (watcher for watcher in observers.watchers(snapshot.ledger, peer) if watcher in snapshot.profiles)
    reports = (snapshot.living_reports[watcher] for watcher in watching)
    links = (link for report in reports if report for link in report.links)
    skews_s: list[float] = [link.skew_s for link in links if link.peer == ref(peer)]
    if not skews_s and peer != snapshot.me:
        skews_s = [entry.skew_s for entry in snapshot.ledger.entries(peer)[-1:]]
    skew_s = float(median(skews_s)) if skews_s else 0.0
    return skew_s if abs(skew_s) > SKEW_S else None


def _checks(report: Report, node: str | None) -> dict[str, CheckView]:
    return {name: _check(name, check, node) for name, check in zip(CHECKS, report.checks, strict=False)}


def _check(name: str, check: Check, node: str | None) -> CheckView:
    value = None if check.ratio is None else check.ratio / RATIO_ONE
    message = check.message if check.message is not None else _usual(name, value, node)
    return CheckView(name, Status(check.status).name.lower(), value, message)


def _usual(name: str, value: float | None, node: str | None) -> str:
    """The message of a healthy check, which sends only its number. `node`: the program beside the peer."""
    if name == "node":
        return f"{node}: answers" if node and node != name else "answers"
    if value is None:
        return "not measured"
    match name:
        case "cpu":
            return f"{value:.0%} busy"
        case "memory" | "storage":
            return f"{value:.0%} used"
        case "network":
            return f"{value:.2%} of packets with errors or dropped"
        case _:
            return f"{value:.0%} of expected neighbours reachable"


def _links(snapshot: Snapshot, of: PeerId) -> tuple[LinkView, ...]:
    found = []
    for link in snapshot.living_links(of):
        peer = snapshot.ledger.find(PeerRef(link.peer))
        if peer is not None:
            found.append(LinkView(peer.hex(), link.rtt_s, link.loss_ratio))
    return tuple(found)


def ahead_of_network_s(snapshot: Snapshot) -> float | None:
    """Seconds that our wall clock is ahead of the median of our neighbours' clocks, or None if unknown.

    It is the median of what our neighbours report about us; before they report, of what we measured of them. A minority
    of wrong or lying neighbours cannot move it beyond the values of the others.
    """
    reports = (snapshot.fresh_report(watcher) for watcher in observers.watchers(snapshot.ledger, snapshot.me))
    skews_s = [link.skew_s for report in reports if report for link in report.links if link.peer == ref(snapshot.me)]
    if not skews_s and (own := snapshot.fresh_report(snapshot.me)) is not None:
        skews_s = [-link.skew_s for link in own.links]
    return float(median(skews_s)) if skews_s else None
