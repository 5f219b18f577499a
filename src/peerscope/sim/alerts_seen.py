"""Alerts of a simulated network: what each peer shows."""

from __future__ import annotations

from collections import Counter

from msgspec import Struct

from peerscope.alerts.alert_list import AlertList
from peerscope.alerts.correlation import Correlation
from peerscope.alerts.engine import AlertEngine
from peerscope.alerts.model import Alert
from peerscope.alerts.monitor import AlertChanged
from peerscope.core import Effect
from peerscope.records.identity import PeerId
from peerscope.sim.simulator import Simulator
from peerscope.sim.truth import Truth


class AlertsSeen(Struct, frozen=True):
    """Alerts in the lists of all peers."""

    active: dict[str, int]
    """At the end: alerts that fire, by rule, as most running peers see them."""
    ids: int
    """Different alerts that ever fired at any peer."""
    disagreeing: int
    """Running peers that at the end see others than most do."""


class AlertHistory:
    """Every change of an alert at any peer, from here on."""

    def __init__(self, sim: Simulator) -> None:
        self.changes: list[tuple[float, PeerId, Alert]] = []
        """When, at which peer, and what."""
        self._sim = sim
        sim.run_parts("alerts")
        sim.on_effect.append(self._note)

    def alert_list(self, peer: PeerId) -> AlertList:
        """The alerts that a running peer shows."""
        return self._sim.core_of(peer).alerts.alert_list

    def correlation(self, peer: PeerId) -> Correlation:
        """The incidents of a running peer."""
        return self._sim.core_of(peer).alerts.correlation

    def engine(self, peer: PeerId) -> AlertEngine:
        """The engine of a running peer."""
        return self._sim.core_of(peer).alerts.engine

    def seen(self, truth: Truth) -> AlertsSeen:
        """Alerts that peers show now, and ever showed. Peers that are cut off rightly see others: they do not count."""
        running = (peer.me for peer in self._sim.alive())
        shown = Counter(self._active(peer) for peer in running if not truth.is_cut_off(peer, self._sim.now))
        most, agreeing = max(shown.items(), key=lambda item: (item[1], item[0])) if shown else ((), 0)
        return AlertsSeen(
            active=dict(sorted(Counter(rule for rule, _ in most).items())),
            ids=len({alert.id for _, _, alert in self.changes}),
            disagreeing=shown.total() - agreeing,
        )

    def _active(self, peer: PeerId) -> tuple[tuple[str, str], ...]:
        return tuple(sorted((alert.rule, alert.id) for alert in self.alert_list(peer).alerts(active_only=True)))

    def _note(self, peer: PeerId, effect: Effect, now: float) -> None:
        if isinstance(effect, AlertChanged):
            self.changes.append((now, peer, effect.alert))
