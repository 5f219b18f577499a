"""Changes for the event log: of verdicts at once, of the status of regions once they have lasted."""

from __future__ import annotations

from msgspec import Struct

from peerscope.mesh.detection.verdicts import Verdict
from peerscope.records.identity import PeerId
from peerscope.views.regions import RegionHealth
from peerscope.views.snapshot import Snapshot


class VerdictChange(Struct, frozen=True):
    """A peer's verdict differs from the one before, or a majority now suspects it."""

    peer: PeerId
    verdict: Verdict
    majority: bool
    accused_by: int
    observers: int


class VerdictChanges:
    """Keeps the last verdict on every peer that is not simply alive."""

    def __init__(self) -> None:
        self._last: dict[PeerId, tuple[Verdict, bool]] = {}

    def update(self, snapshot: Snapshot) -> list[VerdictChange]:
        """Return the changes since the last call."""
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
        """No peer is suspected, so time alone changes nothing."""
        return all(verdict in (Verdict.DOWN, Verdict.LEFT, Verdict.PARTITIONED) for verdict, _ in self._last.values())


VANISHED = "vanished"
SEVERITIES = {"healthy": "info", "degraded": "warning", "critical": "critical"}


class RegionChange(Struct, frozen=True):
    """A region has another status than the last change said, is new, or is gone."""

    region: str
    source: str
    status: str
    """healthy, degraded, critical or vanished."""
    before: str | None
    """Status in the last change; null if the region is new."""
    severity: str
    """info, warning or critical."""


class RegionChanges:
    """Keeps the last change of every region, and since when its status differs."""

    def __init__(self, hold_s: float) -> None:
        """`hold_s`: how long a change must last before it is published."""
        self._hold_s = hold_s
        self._published: dict[str, str] = {}
        self._last: dict[str, RegionHealth] = {}
        """Last sight of each published region."""
        self._pending: dict[str, tuple[str, float]] = {}
        """Statuses that differ from the published ones, and since when."""

    def update(self, found: list[RegionHealth], now: float) -> list[RegionChange]:
        """Return the changes that have lasted. `now`: monotonic seconds."""
        seen = {health.region: health for health in found}
        self._last = {name: self._last[name] for name in self._published} | seen
        self._pending = {name: since for name, since in self._pending.items() if name in self._last}
        return [change for name in sorted(self._last) if (change := self._change(name, seen.get(name), now))]

    def _change(self, name: str, health: RegionHealth | None, now: float) -> RegionChange | None:
        status = health.status if health else VANISHED
        before = self._published.get(name)
        if status == before:
            self._pending.pop(name, None)
            return None
        pending, since = self._pending.get(name, (None, now))
        if pending != status:
            since = now
        if now - since < self._hold_s:
            self._pending[name] = (status, since)
            return None
        self._pending.pop(name, None)
        if health is None:
            del self._published[name]
        else:
            self._published[name] = status
        last = self._last[name]
        return RegionChange(name, last.source, status, before, _severity(last, is_gone=health is None))


def _severity(last: RegionHealth, *, is_gone: bool) -> str:
    """A region is lost if its peers died and were forgotten, not if they left or if a latency cluster dissolved."""
    if not is_gone:
        return SEVERITIES[last.status]
    return "critical" if last.down_peers and last.source != "latency" else "info"
