"""The truth about a simulated network: verdicts are held against it."""

from __future__ import annotations

from peerscope.records.identity import PeerId
from peerscope.sim.causes import Causes

GRACE_S = 15.0
"""After a peer came back or a cut healed, others may still miss it for so long."""


class Truth:
    """The peers that are gone, from each point of view, and since when."""

    def __init__(self) -> None:
        self.victims: dict[PeerId, float] = {}
        """Crashed and not restarted, with the time of the crash."""
        self.left: set[PeerId] = set()
        self.byzantine: set[PeerId] = set()
        self.lied_about: set[PeerId] = set()
        """Honest peers that liars accuse, or whose death they hide."""
        self.silent_until: dict[PeerId, float] = {}
        """Paused: silent, but not to be called down."""
        self.causes = Causes()
        """The real causes of alerts."""
        self._back_at: dict[PeerId, float] = {}
        self._cuts: list[tuple[frozenset[PeerId], float]] = []

    def crashed(self, peer: PeerId, now: float) -> None:
        """The process is gone."""
        self.victims[peer] = now

    def back(self, peer: PeerId, now: float) -> None:
        """The process runs again."""
        self.victims.pop(peer, None)
        self._back_at[peer] = now

    def cut(self, group: frozenset[PeerId]) -> None:
        """This group and the others do not hear each other."""
        self._cuts.append((group, float("inf")))

    def healed(self, now: float) -> None:
        """Everybody hears everybody."""
        self._cuts = [(group, min(until, now)) for group, until in self._cuts]

    def may_be_down(self, observer: PeerId, subject: PeerId, now: float) -> bool:
        """It would be no mistake of the observer to call the subject down."""
        if subject in self.victims or subject in self.left or {observer, subject} & self.byzantine:
            return True
        if now < self._back_at.get(subject, -GRACE_S) + GRACE_S:
            return True
        return any(now < until + GRACE_S and (observer in g) != (subject in g) for g, until in self._cuts)

    def may_be_suspect(self, observer: PeerId, subject: PeerId, now: float) -> bool:
        """It would be no mistake to miss the subject."""
        if now < self.silent_until.get(subject, -GRACE_S) + GRACE_S:
            return True
        return self.may_be_down(observer, subject, now)

    def is_cut_off(self, peer: PeerId, now: float) -> bool:
        """It is in a group that the others do not hear."""
        return any(now < until and peer in group for group, until in self._cuts)

    def is_apart(self, observer: PeerId, subject: PeerId, now: float) -> bool:
        """A cut runs between the two."""
        return any(now < until and (observer in g) != (subject in g) for g, until in self._cuts)
