"""Who speaks for a zone: three peers by rendezvous hash.

Every peer of a zone has a rank, a hash of the zone and its id; the three first that are well are the aggregators. Equal
ledgers choose the same three, one that fails is followed by the next, and nobody else moves. Whoever chooses its key
can choose its rank: therefore no single aggregator is ever believed about others (`board.py`).
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
"""The aggregators and their successors: what these say counts, for peers do not all see a change at one moment."""


class Aggregators(Struct, frozen=True):
    """The choice of one moment, by rank."""

    acting: tuple[PeerId, ...]
    """Those that aggregate."""
    eligible: tuple[PeerId, ...]
    """Those that are believed if they do."""
    passed: tuple[PeerId, ...]
    """Those of a better rank than the last of `eligible` that are not well: a while ago they may have been."""


def aggregators(snapshot: Snapshot, zone: str | None = None) -> Aggregators:
    """Choose among the peers of a zone, our own unless given.

    The choice is among those that are well, or where that is fewer than three, among all that live.
    """
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
    """Nobody misses it, and by its own fresh report it is not unhealthy."""
    if snapshot.verdict(peer) is not Verdict.ALIVE:
        return False
    report = snapshot.fresh_report(peer)
    return report is not None and report.status is not Status.UNHEALTHY


@lru_cache(maxsize=20_000)
def rank(zone: str, peer: PeerId) -> bytes:
    """A peer's place in the order of a zone: smaller is first."""
    return weight(zone, peer)


def _first(ranked: list[PeerId], is_fit: Callable[[PeerId], bool]) -> tuple[tuple[PeerId, ...], tuple[PeerId, ...]]:
    fit: list[PeerId] = []
    passed: list[PeerId] = []
    for peer in ranked:
        if len(fit) == ELIGIBLE:
            break
        (fit if is_fit(peer) else passed).append(peer)
    return tuple(fit), tuple(passed)
