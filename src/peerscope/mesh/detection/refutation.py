"""Answers to accusations of this peer, and the observers that accuse it falsely too often.

Rules of this file:
1. Every accusation gets an answer. An answer too soon after the last one is postponed, never dropped; one answer serves
   all accusations until then.
2. Answers name accusations by observer and version. No clock of the accuser or of the subject decides.
3. The peer also answers an accusation that its own ledger refuses. Others may hold it.
4. Only pushed records count as said. A report that is merely announced takes seconds to arrive.
5. A subject that has reason to doubt itself answers, but counts nothing against the observer.
"""

from __future__ import annotations

from collections import deque
from math import inf

from peerscope.mesh.detection.links import Links, LocalHealth
from peerscope.mesh.detection.observers import watchers
from peerscope.mesh.detection.verdicts import REFUTED_MAX, REFUTED_WINDOW_S
from peerscope.records.bodies import ANSWERS_MAX, Answer, Kind
from peerscope.records.identity import PeerId, ref
from peerscope.records.ledger import Ledger

REFUTE_INTERVAL_S = 0.5
"""Least time between two answers, so that a liar causes two reports a second at most."""
DOUBT_HOLD_S = 10.0
"""A subject that was late or heard nobody counts no accusation as false for so long."""
ACCUSERS_MAX = 256
"""Refuted accusations are counted for so many observers, the latest ones."""


class Refutation:
    """The answers of one peer."""

    def __init__(self, me: PeerId, ledger: Ledger, links: Links, local_health: LocalHealth) -> None:
        self._me = me
        self._ledger = ledger
        self._links = links
        self._local_health = local_health
        self._refuted: dict[PeerId, deque[float]] = {}
        self._noted: dict[PeerId, int] = {}
        """By observer, the version of its newest accusation that our ledger refused."""
        self._answered_at = -inf
        self._answered: dict[PeerId, int] = {}
        """By observer, the version of its answered accusations."""
        self._pushed = 0
        """Version of our newest pushed record."""
        self._doubt_until = -inf

    def note(self, observer: PeerId, version: int) -> None:
        """Note an accusation outside our ledger: too old, overtaken, or one of two statements of one version."""
        self._noted[observer] = max(version, self._noted.pop(observer, 0))  # at the end: the latest stay
        for peer in list(self._noted)[:-ACCUSERS_MAX]:
            del self._noted[peer]

    def due_at(self, now: float) -> float | None:
        """When to answer the known accusations; None if all have an answer."""
        silenced = set(self.silenced(now))
        if not any(peer not in silenced for peer in self._unanswered()):
            return None
        return max(now, self._answered_at + REFUTE_INTERVAL_S)

    def answer(self, now: float) -> tuple[tuple[Answer, ...], bool]:
        """Answers for a report that goes out now, and whether it must be pushed."""
        unanswered, silenced = self._unanswered(), set(self.silenced(now))
        is_urgent = any(peer not in silenced for peer in unanswered)
        if is_urgent:
            self._answered_at = now
        doubts = now < self._doubt_until
        for peer in unanswered:
            if not doubts and peer in self._links and self._links[peer].is_up:
                times = self._refuted.pop(peer, None) or deque[float](maxlen=REFUTED_MAX)
                times.append(now)
                self._refuted[peer] = times  # at the end: the latest stay
        for peer in list(self._refuted)[:-ACCUSERS_MAX]:
            del self._refuted[peer]
        self._answered = self._accusers()
        return tuple(Answer(ref(peer), version) for peer, version in self._answered.items()), is_urgent

    def pushed(self, version: int) -> None:
        """Our record of this version is pushed to all."""
        self._pushed = version

    def silenced(self, now: float) -> tuple[PeerId, ...]:
        """Observers without a vote against us: refuted `REFUTED_MAX` times within an hour."""
        return tuple(
            peer
            for peer, times in self._refuted.items()
            if len(times) == REFUTED_MAX and now - times[0] <= REFUTED_WINDOW_S
        )[-ANSWERS_MAX:]

    def review(self, now: float) -> None:
        """Check once a second for reasons to doubt ourselves."""
        if self._local_health.factor(now) > 1 or 2 * len(self._links.lost()) > len(self._links):
            self._doubt_until = now + DOUBT_HOLD_S

    def _unanswered(self) -> list[PeerId]:
        """Our observers with accusations that no pushed record refutes. Regular reports answer those of other peers."""
        named = set(watchers(self._ledger, self._me))
        accusers = {peer: version for peer, version in self._accusers().items() if peer in named}
        return [peer for peer, version in accusers.items() if not self._is_refuted(peer, version)]

    def _is_refuted(self, peer: PeerId, version: int) -> bool:
        said, name = self._ledger.observations(peer), ref(self._me)
        if self._answered.get(peer, 0) >= version:
            return True
        if said is None or self._noted.get(peer) == version:  # the ledger does not hold its claim
            return False
        return all(one.heard_ms + one.silence_ms < self._pushed for one in said.lost if one.subject == name)

    def _accusers(self) -> dict[PeerId, int]:
        """Peers that accuse us, our observers first, each with the version of its record."""
        name = ref(self._me)
        if not self._ledger.missed[name] and not self._noted:
            return {}
        named = set(watchers(self._ledger, self._me))
        found = {}
        for peer in sorted({*self._ledger.accusers, *self._noted}, key=lambda peer: (peer not in named, peer)):
            entry, said = self._ledger.get(peer, Kind.OBSERVATIONS), self._ledger.observations(peer)
            accuses = said is not None and any(one.subject == name for one in said.lost)
            version = max(self._noted.get(peer, 0), entry.record.version if entry is not None and accuses else 0)
            if version:
                found[peer] = version
        return dict(list(found.items())[:ANSWERS_MAX])
