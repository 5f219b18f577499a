"""The table of all links of one peer, and how far the peer trusts its own silence (Lifeguard's local health)."""

from __future__ import annotations

from math import inf

from peerscope.mesh.detection.detector import DetectorConfig, doubt
from peerscope.mesh.detection.link import Link
from peerscope.records.identity import PeerId

LAG_HOLD_S = 10.0


class Links(dict[PeerId, Link]):
    """Every link of this peer, by the neighbour. The peer with the smaller id pings; both probe in a silence."""

    def __init__(self, me: PeerId, config: DetectorConfig) -> None:
        super().__init__()
        self._me = me
        self._config = config
        self.wake_at = inf
        """When the prober has something to do. A neighbour that is heard moves that only later."""

    def open(self, peer: PeerId, now: float) -> Link:
        """A connection stands; the link is up once the peer has said hello."""
        link = self.get(peer)
        if link is None:
            link = self[peer] = Link(peer, self._config, pings=self._me < peer, now=now)
        link.connected, link.forgotten_at = True, None
        return link

    def greeted(self, link: Link, clock_ms: int, now: float) -> None:
        """The peer has said hello: the link is watched from now on."""
        link.greeted = True
        link.set_clock(clock_ms, now)
        self._wake(link, now)

    def heard(self, link: Link, now: float) -> bool:
        """Anything from the neighbour ends a silence; True if the link was lost."""
        link.heard(now)
        if not link.lost:
            return False
        link.regain(now)
        self._wake(link, now)
        return True

    def close(self, peer: PeerId) -> Link | None:
        """Forget a link: closed on purpose, or of no interest any more."""
        return self.pop(peer, None)

    def up(self) -> list[PeerId]:
        """Neighbours whose links are up, in a fixed order."""
        return sorted(peer for peer, link in self.items() if link.is_up)

    def lost(self) -> list[Link]:
        """Links whose neighbour we miss."""
        return [self[peer] for peer in sorted(self) if self[peer].lost]

    def ahead_s(self, peer: PeerId) -> float | None:
        """How far a peer's wall clock runs ahead of ours, measured by pings; None where no pings are exchanged."""
        if peer == self._me:
            return 0.0
        link = self.get(peer)
        return None if link is None or link.skew_ms is None else link.skew_ms / 1000

    def relayed(self, peers: frozenset[PeerId] | None) -> None:
        """Note whose packets go through a relay; None where that is not known."""
        for peer, link in self.items():
            link.via_relay = None if peers is None else peer in peers

    def _wake(self, link: Link, now: float) -> None:
        link.wake_at = now
        self.wake_at = min(self.wake_at, now)


class LocalHealth:
    """Doubt of our own silence: a late loop of ours, or many neighbours silent at once, is our fault first."""

    def __init__(self, config: DetectorConfig, links: Links) -> None:
        self._config = config
        self._links = links
        self._doubt_until = -inf
        self._lags = 0.0

    def lagged(self, lag_s: float, now: float) -> None:
        """Our own loop was away for `lag_s`: no neighbour's silence in that time counts."""
        lags = lag_s / self._config.lag_s
        self._lags = max(lags, self._lags) if now < self._doubt_until else lags
        self._doubt_until = now + LAG_HOLD_S
        for link in self._links.values():
            link.forgive(lag_s, now)

    def is_lagging(self, now: float) -> bool:
        """Our own loop ran late a short while ago."""
        return now < self._doubt_until

    def factor(self, now: float) -> float:
        """How far to distrust our own silence; 1 is not at all."""
        links = [link for link in self._links.values() if link.is_up]
        quiet = sum(link.is_overdue(now) for link in links)
        return doubt(quiet=quiet, links=len(links), lags=self._lags_at(now), doubt_max=self._config.doubt_max)

    def lag_factor(self, now: float) -> float:
        """How many times longer than usual others may take because our own loop is late; 1 where it is not."""
        return doubt(quiet=0, links=0, lags=self._lags_at(now), doubt_max=self._config.doubt_max)

    def _lags_at(self, now: float) -> float:
        return self._lags if self.is_lagging(now) else 0.0
