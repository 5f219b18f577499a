"""Verdicts as they change: what is worth telling at once."""

from __future__ import annotations

from msgspec import Struct

from peerscope.mesh.detection.verdicts import Verdict
from peerscope.records.identity import PeerId
from peerscope.views.snapshot import Snapshot


class VerdictChange(Struct, frozen=True):
    """A peer's verdict is another one than before, or its suspicion has reached a majority."""

    peer: PeerId
    verdict: Verdict
    majority: bool
    accused_by: int
    observers: int


class VerdictChanges:
    """Remembers the last verdict on every peer that is not simply alive."""

    def __init__(self) -> None:
        self._last: dict[PeerId, tuple[Verdict, bool]] = {}

    def update(self, snapshot: Snapshot) -> list[VerdictChange]:
        """What has changed since the last call."""
        found: list[VerdictChange] = []
        for peer in set(self._last) - set(snapshot.peers):
            del self._last[peer]
        for peer, weighed in snapshot.evidence.items():
            state = (weighed.verdict, weighed.has_majority)
            if state == self._last.get(peer, (Verdict.ALIVE, False)):
                continue
            if weighed.verdict is Verdict.ALIVE:
                self._last.pop(peer, None)
            else:
                self._last[peer] = state
            found.append(
                VerdictChange(peer, *state, sum(a.counts for a in weighed.accusations), len(weighed.observers))
            )
        return found

    @property
    def is_calm(self) -> bool:
        """Nobody is suspected, so time alone changes nothing."""
        return all(verdict in (Verdict.DOWN, Verdict.LEFT, Verdict.PARTITIONED) for verdict, _ in self._last.values())
