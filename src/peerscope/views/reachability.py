"""Whether others can connect to the node beside a peer: what the peers that tried it report.

Only those count that the subject itself lists among its ring neighbours, so strangers have no word. More than half of
them decide; with fewer liars than that, the verdict stays.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Container
from typing import Literal

from msgspec import Struct

from peerscope.mesh.dial_back import checksum
from peerscope.records.bodies import UNTRIED, DialOutcome, DialReading, Kind
from peerscope.records.identity import PeerId, PeerRef, ref
from peerscope.views.snapshot import Snapshot

AGE_S_MAX = 1800.0
"""Older outcomes do not count: three times the interval."""
WORDS = {
    DialOutcome.REACHED: "reached",
    DialOutcome.REFUSED: "refused: nothing listens there, or a firewall answers",
    DialOutcome.SILENT: "no answer: a firewall or NAT drops it, or the machine is off",
    DialOutcome.NO_ROUTE: "no route to this address",
    DialOutcome.ELSEWHERE: "not tried: the mesh does not reach the peer at this address",
    DialOutcome.FAILED: "failed",
    DialOutcome.UNABLE: "not tried: the dialer could not open a connection",
}


class DialerView(Struct, frozen=True):
    """One peer that tried."""

    peer_id: str
    region: str | None
    reached: bool | None
    """At any address; null if it could try none."""
    outcomes: dict[str, str]
    """By address, in words."""
    age_s: float
    same_machine: bool
    """It runs on the subject's own machine, so it proves little and does not count."""


class ReachabilityView(Struct, frozen=True):
    """Attempts of others to reach the announced addresses of one node."""

    addresses: tuple[str, ...]
    verdict: Literal["reachable", "unreachable", "mixed", "unknown"]
    """By more than half of the peers that tried; mixed without such a majority, unknown if none could try."""
    summary: str
    """Such as "reachable from 5 of 6 regions"."""
    reached_regions: int
    tried_regions: int
    reached_by: int
    tried_by: int
    dialers: tuple[DialerView, ...]


def reachability(snapshot: Snapshot, subject: PeerId) -> ReachabilityView | None:
    """The view of one of `peers`; None if its node does not ask, or if it is gone."""
    profile, report = snapshot.profiles[subject], snapshot.living_reports[subject]
    if not profile.node_addresses or not snapshot.is_living(subject):
        return None
    addresses = profile.node_addresses
    found = []
    for link in report.links if report is not None else ():
        dialer = snapshot.ledger.find(PeerRef(link.peer)) if link.watches else None
        tried = _tried(snapshot, dialer, subject, addresses) if dialer is not None else None
        if tried is not None:
            found.append(tried)
    return _judged(addresses, found)


def _tried(snapshot: Snapshot, dialer: PeerId, subject: PeerId, addresses: tuple[str, ...]) -> DialerView | None:
    report, entry = snapshot.living_reports.get(dialer), snapshot.ledger.get(dialer, Kind.REPORT)
    reading = next((one for one in report.dialled if one.subject == ref(subject)), None) if report else None
    if reading is None or entry is None or dialer == subject or reading.checksum != checksum(addresses):
        return None
    age_s = reading.age_s + max(0.0, snapshot.now - entry.heard_at)
    if age_s > AGE_S_MAX or len(reading.outcomes) != len(addresses):
        return None
    outcomes = _outcomes(reading)
    was_tried = [outcome for outcome in outcomes if outcome not in UNTRIED]
    machine = snapshot.hosts.get(dialer)
    return DialerView(
        peer_id=dialer.hex(),
        region=snapshot.places[dialer].region,
        reached=DialOutcome.REACHED in was_tried if was_tried else None,
        outcomes={address: WORDS[outcome] for address, outcome in zip(addresses, outcomes, strict=True)},
        age_s=age_s,
        same_machine=machine is not None and machine == snapshot.hosts.get(subject),
    )


def _outcomes(reading: DialReading) -> list[DialOutcome]:
    known = {int(outcome) for outcome in DialOutcome}
    return [DialOutcome(one) if one in known else DialOutcome.FAILED for one in reading.outcomes]


def _judged(addresses: tuple[str, ...], found: list[DialerView]) -> ReachabilityView:
    counted = [one for one in found if one.reached is not None and not one.same_machine]
    reached = sum(one.reached is True for one in counted)
    regions: dict[str | None, list[bool]] = {}
    for one in counted:
        regions.setdefault(one.region, []).append(one.reached is True)
    reached_regions = sum(2 * sum(some) > len(some) for some in regions.values())
    verdict: Literal["reachable", "unreachable", "mixed", "unknown"] = "mixed"
    if not counted:
        verdict = "unknown"
    elif 2 * reached > len(counted):
        verdict = "reachable"
    elif 2 * reached < len(counted):
        verdict = "unreachable"
    return ReachabilityView(
        addresses=addresses,
        verdict=verdict,
        summary=_summary(verdict, counted, found, reached_regions, len(regions)),
        reached_regions=reached_regions,
        tried_regions=len(regions),
        reached_by=reached,
        tried_by=len(counted),
        dialers=tuple(sorted(found, key=lambda one: (one.region or "", one.peer_id))),
    )


def _summary(verdict: str, counted: list[DialerView], found: list[DialerView], reached: int, tried: int) -> str:
    if not counted:
        if any(one.same_machine for one in found):
            return "tried from its own machine only"
        return f"no peer could try it: {_most(found).removeprefix('not tried: ')}" if found else "not tried yet"
    peers = f"{sum(one.reached is True for one in counted)} of {len(counted)} peers"
    text = f"reachable from {reached} of {tried} region{'s' if tried > 1 else ''} ({peers})"
    if verdict == "reachable":
        return text
    untried = {WORDS[outcome] for outcome in UNTRIED}
    most = _most([one for one in counted if not one.reached], untried)
    return f"{text}; {most}" if most else text


def _most(some: list[DialerView], but: Container[str] = ()) -> str:
    """The most frequent outcome of these dialers; empty if there is none."""
    words = Counter(words for one in some for words in one.outcomes.values() if words not in but)
    return min(words, key=lambda one: (-words[one], one), default="")
