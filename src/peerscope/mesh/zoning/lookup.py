"""One lookup of a peer in other zones: the aggregators to ask next, and the sum of the answers.

A lookup asks two aggregators of each zone, so that one that lies or is dead hides nobody. It asks all of the zone that
the peer states as its own, so that their verdicts can be compared. The records of the peer are signed, and the newest
one counts. Opinions stay the claim of each aggregator.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from math import inf
from statistics import median_low

from msgspec import Struct

from peerscope.mesh.detection.verdicts import Verdict
from peerscope.mesh.messages import Opinion
from peerscope.mesh.zoning.names import WHOLE, bits_of, parsed
from peerscope.records.bodies import Body
from peerscope.records.identity import PEER_ID_BYTES, PeerId
from peerscope.records.ledger import Ledger
from peerscope.records.record import Record

TIMEOUT_S = 5.0
"""A lookup ends after this time with the answers so far."""
ANSWER_TIMEOUT_S = 2.0
"""After this time another aggregator is asked."""
ASKED_PER_ZONE = 2
AT_ONCE_MAX = 16
"""Aggregators asked at the same time."""
ZONES_MAX = 64


class LookupSighting(Struct, frozen=True):
    """One peer in the answer of one aggregator, with checked records."""

    peer: PeerId
    records: tuple[tuple[Record, Body, float], ...]
    """Records of the peer, each with the local time of its issue, as the aggregator knows it."""
    opinion: Opinion | None


class LookupAnswer(Struct, frozen=True):
    """The result of a lookup."""

    ledger: Ledger
    """Profiles and newest reports of the found peers."""
    opinions: dict[PeerId, dict[PeerId, Opinion | None]]
    """By peer and answering aggregator of its zone: the opinion, or None if the peer is unknown there."""
    answered: tuple[str, ...]
    silent: dict[str, tuple[PeerId, ...]]
    """By zone: asked aggregators without an answer."""
    unasked: int = 0
    """Zones left out, because there are too many."""
    is_busy: bool = False
    """Too many lookups are open, so no aggregator was asked."""


class Lookup:
    """One open lookup."""

    def __init__(self, name: str, zones: Mapping[str, Sequence[PeerId]], now: float) -> None:
        """`name`: the beginning of an id in hexadecimal digits; `zones`: aggregators of each, in order."""
        order = sorted(zones, key=lambda zone: (not _may_hold(zone, name), zone))[:ZONES_MAX]
        self.name = name
        self._zones = {zone: tuple(zones[zone]) for zone in order}
        self._unasked = len(zones) - len(order)
        self._zone_of = {peer: zone for zone, peers in self._zones.items() for peer in peers}
        self._asked_at: dict[PeerId, float] = {}
        self._failed: set[PeerId] = set()
        self._answers: dict[PeerId, dict[PeerId, Opinion | None]] = {}
        """By aggregator: the peers in its answer."""
        self._issued_at: defaultdict[Record, list[float]] = defaultdict(list)
        self._bodies: dict[Record, Body] = {}
        self._ends_at = now + TIMEOUT_S

    def next(self, now: float) -> list[PeerId]:
        """Aggregators to ask now; they count as asked from here on."""
        homes = self._homes()
        wanted: list[PeerId] = []
        for zone in sorted(self._zones, key=lambda zone: zone not in homes):
            peers = self._zones[zone]
            busy = sum(peer in self._answers or self._is_awaited(peer, now) for peer in peers)
            fresh = [peer for peer in peers if peer not in self._asked_at]
            wanted += fresh[: max(0, (len(peers) if zone in homes else ASKED_PER_ZONE) - busy)]
        room = AT_ONCE_MAX - sum(self._is_awaited(peer, now) for peer in self._asked_at)
        chosen = wanted[: max(0, room)]
        self._asked_at |= dict.fromkeys(chosen, now)
        return chosen

    def is_asking(self, peer: PeerId) -> bool:
        """The answer of this peer would count."""
        return peer in self._asked_at and peer not in self._answers and peer not in self._failed

    def failed(self, peer: PeerId) -> None:
        """The aggregator is unreachable, or its answer is invalid."""
        if self.is_asking(peer):
            self._failed.add(peer)

    def answered(self, peer: PeerId, zone: str, sightings: Iterable[LookupSighting]) -> None:
        """Add an answer. `zone`: of its sender, whose opinions count only for the zone that it aggregates."""
        speaks = zone == self._zone_of[peer]
        opinions: dict[PeerId, Opinion | None] = {}
        for one in sightings:
            opinions[one.peer] = one.opinion if speaks else None
            for record, body, issued_at in one.records:
                self._bodies[record] = body
                self._issued_at[record].append(issued_at)
        self._answers[peer] = opinions

    def deadline(self, now: float) -> float:
        """When to call `next` again, if no answer comes before."""
        patience = (self._asked_at[peer] + ANSWER_TIMEOUT_S for peer in self._asked_at if self._is_awaited(peer, now))
        return min(self._ends_at, min(patience, default=inf))

    def is_done(self, now: float) -> bool:
        """Nothing is left to ask or to wait for, or the time is over. Call `next` before."""
        if now >= self._ends_at:
            return True
        awaited = {peer for peer in self._asked_at if self._is_awaited(peer, now)}
        return not awaited or (self._is_met() and not awaited & self._at_home())

    def _is_met(self) -> bool:
        """The one peer of this name is alive in its own zone: no other zone can know more."""
        there = self._at_home() if len(self.name) == 2 * PEER_ID_BYTES else set()
        opinions = [one for peer in there for one in self._answers.get(peer, {}).values() if one is not None]
        return there <= set(self._asked_at) and any(one.verdict == Verdict.ALIVE for one in opinions)

    def answer(self) -> LookupAnswer:
        ledger = self._ledger()
        silent: defaultdict[str, list[PeerId]] = defaultdict(list)
        for peer in self._asked_at:
            if peer not in self._answers:
                silent[self._zone_of[peer]].append(peer)
        return LookupAnswer(
            ledger=ledger,
            opinions={peer: self._opinions(peer, ledger) for peer in sorted(ledger)},
            answered=tuple(sorted({self._zone_of[peer] for peer in self._answers})),
            silent={zone: tuple(sorted(silent[zone])) for zone in sorted(silent)},
            unasked=self._unasked,
        )

    def _is_awaited(self, peer: PeerId, now: float) -> bool:
        return self.is_asking(peer) and now < self._asked_at[peer] + ANSWER_TIMEOUT_S

    def _homes(self) -> set[str]:
        """Zones in the profiles of the found peers."""
        ledger = self._ledger()
        return {profile.zone for peer in ledger if (profile := ledger.profile(peer)) is not None}

    def _at_home(self) -> set[PeerId]:
        return {peer for zone in self._homes() for peer in self._zones.get(zone, ())}

    def _ledger(self) -> Ledger:
        """The newest records. The age of a record is the median of the answers."""
        ledger = Ledger()
        for record, times in self._issued_at.items():
            ledger.merge(record, self._bodies[record], median_low(times))
        return ledger

    def _opinions(self, peer: PeerId, ledger: Ledger) -> dict[PeerId, Opinion | None]:
        profile = ledger.profile(peer)
        zone = profile.zone if profile is not None else WHOLE
        speaking = (one for one in self._zones.get(zone, ()) if one in self._answers)
        return {one: self._answers[one].get(peer) for one in speaking}


def _may_hold(zone: str, name: str) -> bool:
    """A peer of this full id may belong to the zone, by its hash."""
    there = parsed(zone)
    if there is None or len(name) != 2 * PEER_ID_BYTES:
        return True
    return bits_of(PeerId(bytes.fromhex(name))).startswith(there[1])
