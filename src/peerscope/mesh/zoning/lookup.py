"""One question about a peer that is not of our zone: whom to ask next, and what the answers add up to.

Aggregators of other zones are asked directly. Two of each zone, so that one that lies or is dead hides nobody; and all
of the zone that the peer states to belong to, so that their verdicts can be compared. What the peer said of itself is
signed, and the newest of it counts, whoever passed it on. What aggregators think of it stays the word of each.
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
"""Then the question is answered with what has come."""
ANSWER_TIMEOUT_S = 2.0
"""An aggregator that has not answered by then is not waited for; another one is asked."""
ASKED_PER_ZONE = 2
AT_ONCE_MAX = 16
"""Aggregators that are asked at the same time."""
ZONES_MAX = 64
"""Zones that are asked."""


class LookupSighting(Struct, frozen=True):
    """One peer, as one aggregator tells; the records are checked."""

    peer: PeerId
    records: tuple[tuple[Record, Body, float], ...]
    """Of the peer itself, with the local time at which each was issued, as far as the aggregator can tell."""
    opinion: Opinion | None


class LookupAnswer(Struct, frozen=True):
    """What other zones know of the peers of one name."""

    ledger: Ledger
    """What those peers said of themselves: their profiles and newest reports."""
    opinions: dict[PeerId, dict[PeerId, Opinion | None]]
    """By peer: what each aggregator of its zone that answered says of it; None where it does not know it."""
    answered: tuple[str, ...]
    """Zones of which somebody answered."""
    silent: dict[str, tuple[PeerId, ...]]
    """By zone: aggregators that were asked and did not answer."""
    unasked: int = 0
    """Zones that were left out, because there are too many."""
    is_busy: bool = False
    """Nobody was asked: too many questions are open."""


class Lookup:
    """One open question."""

    def __init__(self, name: str, zones: Mapping[str, Sequence[PeerId]], now: float) -> None:
        """`name`: the beginning of an id in hexadecimal digits; `zones`: whom to ask of each, in this order."""
        order = sorted(zones, key=lambda zone: (not _may_hold(zone, name), zone))[:ZONES_MAX]
        self.name = name
        self._zones = {zone: tuple(zones[zone]) for zone in order}
        self._unasked = len(zones) - len(order)
        self._zone_of = {peer: zone for zone, peers in self._zones.items() for peer in peers}
        self._asked_at: dict[PeerId, float] = {}
        self._failed: set[PeerId] = set()
        self._answers: dict[PeerId, dict[PeerId, Opinion | None]] = {}
        """By aggregator: whom it told of."""
        self._issued_at: defaultdict[Record, list[float]] = defaultdict(list)
        self._bodies: dict[Record, Body] = {}
        self._ends_at = now + TIMEOUT_S

    def next(self, now: float) -> list[PeerId]:
        """Whom to ask now; from here on they count as asked."""
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
        """Its answer would count."""
        return peer in self._asked_at and peer not in self._answers and peer not in self._failed

    def failed(self, peer: PeerId) -> None:
        """It cannot be reached, or did not answer as it should."""
        if self.is_asking(peer):
            self._failed.add(peer)

    def answered(self, peer: PeerId, zone: str, sightings: Iterable[LookupSighting]) -> None:
        """Take an answer in. `zone`: where its sender says to be; only of the zone it speaks for has it an opinion."""
        speaks = zone == self._zone_of[peer]
        opinions: dict[PeerId, Opinion | None] = {}
        for one in sightings:
            opinions[one.peer] = one.opinion if speaks else None
            for record, body, issued_at in one.records:
                self._bodies[record] = body
                self._issued_at[record].append(issued_at)
        self._answers[peer] = opinions

    def deadline(self, now: float) -> float:
        """When to look again, if nothing comes before."""
        patience = (self._asked_at[peer] + ANSWER_TIMEOUT_S for peer in self._asked_at if self._is_awaited(peer, now))
        return min(self._ends_at, min(patience, default=inf))

    def is_done(self, now: float) -> bool:
        """Nobody is left to ask or to wait for, or it is late. Ask `next` before."""
        if now >= self._ends_at:
            return True
        awaited = {peer for peer in self._asked_at if self._is_awaited(peer, now)}
        return not awaited or (self._is_met() and not awaited & self._at_home())

    def _is_met(self) -> bool:
        """There is one peer of this name, and where it says to be it lives: no other zone can know better. One that is
        missed there may have moved."""
        there = self._at_home() if len(self.name) == 2 * PEER_ID_BYTES else set()
        opinions = [one for peer in there for one in self._answers.get(peer, {}).values() if one is not None]
        return there <= set(self._asked_at) and any(one.verdict == Verdict.ALIVE for one in opinions)

    def answer(self) -> LookupAnswer:
        """What is known by now."""
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
        """Where those that were found say to be."""
        ledger = self._ledger()
        return {profile.zone for peer in ledger if (profile := ledger.profile(peer)) is not None}

    def _at_home(self) -> set[PeerId]:
        """The aggregators there."""
        return {peer for zone in self._homes() for peer in self._zones.get(zone, ())}

    def _ledger(self) -> Ledger:
        """The newest of what was told. A record's age is what most say it is."""
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
    """A peer of this full id may belong there, by the hash that cuts zones."""
    there = parsed(zone)
    if there is None or len(name) != 2 * PEER_ID_BYTES:
        return True
    return bits_of(PeerId(bytes.fromhex(name))).startswith(there[1])
