"""Aggregators of a zone: three peers, chosen by rendezvous hash (Thaler and Ravishankar 1998).

Every peer of a zone has a rank, a hash of the zone and its id. The first three that are well are the aggregators. Equal
ledgers choose the same three. If one fails, the next one follows, and no other peer changes its role. A peer that
chooses its key can choose its rank: therefore no peer believes a single aggregator about others (`alert_list.py`).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

from msgspec import Struct

from peerscope.mesh.detection.verdicts import Verdict
from peerscope.records.bodies import Status
from peerscope.records.identity import PeerId
from peerscope.records.rendezvous import weight
from peerscope.views.snapshot import Snapshot

ACTING = 3
ELIGIBLE = 6
"""The aggregators and their successors. The statements of all six count: peers see a change at different times."""


class Aggregators(Struct, frozen=True):
    """Aggregators at one moment, by rank."""

    acting: tuple[PeerId, ...]
    """They raise alerts about others."""
    eligible: tuple[PeerId, ...]
    """Other peers count their statements."""
    passed: tuple[PeerId, ...]
    """Peers before the last of `eligible` that are not well now, but may have been a moment ago."""


def aggregators(snapshot: Snapshot, zone: str | None = None) -> Aggregators:
    """Choose among the peers of a zone, by default our own: those that are well, or all living ones if too few are."""
    mine = snapshot.profiles.get(snapshot.me)
    name = zone if zone is not None else mine.zone if mine else ""
    ranked = sorted(
        (peer for peer, profile in snapshot.profiles.items() if profile.zone == name),
        key=lambda peer: rank(name, peer),
    )
    chosen, passed = _first(ranked, lambda peer: is_well(snapshot, peer))
    if len(chosen) < ACTING:
        chosen, passed = _first(ranked, lambda peer: snapshot.is_living(peer))
    return Aggregators(chosen[:ACTING], chosen, passed)


def is_well(snapshot: Snapshot, peer: PeerId) -> bool:
    """Whether its verdict is alive and its own fresh report is not unhealthy."""
    if snapshot.verdict(peer) is not Verdict.ALIVE:
        return False
    report = snapshot.fresh_report(peer)
    return report is not None and report.status is not Status.UNHEALTHY


@lru_cache(maxsize=20_000)
def rank(zone: str, peer: PeerId) -> bytes:
    """Position of a peer in the order of a zone: smaller comes first."""
    return weight(zone, peer)


def _first(ranked: list[PeerId], is_fit: Callable[[PeerId], bool]) -> tuple[tuple[PeerId, ...], tuple[PeerId, ...]]:
    fit: list[PeerId] = []
    passed: list[PeerId] = []
    for peer in ranked:
        if len(fit) == ELIGIBLE:
            break
        (fit if is_fit(peer) else passed).append(peer)
    return tuple(fit), tuple(passed)
