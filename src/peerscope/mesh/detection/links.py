"""All links of one peer, and its local health (Lifeguard): how far it trusts its own measurements."""

from __future__ import annotations

from math import inf

from peerscope.mesh.detection.detector import DetectorConfig, doubt
from peerscope.mesh.detection.link import Link
from peerscope.records.identity import PeerId

LAG_HOLD_S = 10.0


class Links(dict[PeerId, Link]):
    """Every link of this peer, by the neighbour. The peer with the smaller id pings; both probe in doubt."""

    def __init__(self, me: PeerId, config: DetectorConfig) -> None:
        super().__init__()
        self._me = me
        self._config = config
        self.wake_at = inf
        """When the prober has something to do."""

    def open(self, peer: PeerId, now: float) -> Link:
        """A connection is there; the link is up after the hello of the peer."""
        link = self.get(peer)
        if link is None:
            link = self[peer] = Link(peer, self._config, pings=self._me < peer, now=now)
        link.connected, link.forgotten_at = True, None
        return link

    def greeted(self, link: Link, clock_ms: int, now: float) -> None:
        """The peer sent its hello: watch the link from now on."""
        link.greeted = True
        link.set_clock(clock_ms, now)
        self._wake(link, now)

    def heard(self, link: Link, now: float) -> bool:
        """Any message ends a silence; True if the link was lost."""
        link.heard(now)
        if not link.lost:
            return False
        link.regain(now)
        self._wake(link, now)
        return True

    def ask(self, link: Link, now: float) -> None:
        """Let the prober ask this peer soon: something may be wrong."""
        link.urge(now)
        self._wake(link, now)

    def up(self) -> list[PeerId]:
        """Neighbours whose links are up, in a fixed order."""
        return sorted(peer for peer, link in self.items() if link.is_up)

    def lost(self) -> list[Link]:
        return [self[peer] for peer in sorted(self) if self[peer].lost]

    def ahead_s(self, peer: PeerId) -> float | None:
        """Seconds that a peer's wall clock runs ahead of ours, measured by pings; None without pings."""
        if peer == self._me:
            return 0.0
        link = self.get(peer)
        return None if link is None or link.skew_ms is None else link.skew_ms / 1000

    def relayed(self, peers: frozenset[PeerId] | None) -> None:
        """Note the peers whose packets go through a relay; None if unknown."""
        for peer, link in self.items():
            link.via_relay = None if peers is None else peer in peers

    def _wake(self, link: Link, now: float) -> None:
        link.wake_at = now
        self.wake_at = min(self.wake_at, now)


class LocalHealth:
    """Doubt of ourselves: a late loop, or many silent neighbours at once, is first our own fault."""

    def __init__(self, config: DetectorConfig, links: Links) -> None:
        self._config = config
        self._links = links
        self._doubt_until = -inf
        self._lags = 0.0

    def lagged(self, lag_s: float, now: float) -> None:
        """Our own loop came `lag_s` late: silence in that time does not count."""
        lags = lag_s / self._config.lag_s
        self._lags = max(lags, self._lags) if now < self._doubt_until else lags
        self._doubt_until = now + LAG_HOLD_S
        for link in self._links.values():
            link.forgive(lag_s, now)

    def is_lagging(self, now: float) -> bool:
        """Our own loop recently ran late."""
        return now < self._doubt_until

    def factor(self, now: float) -> float:
        """The doubt of ourselves, 1 or more."""
        links = [link for link in self._links.values() if link.is_up]
        quiet = sum(link.is_in_doubt(now) for link in links)
        return doubt(quiet=quiet, links=len(links), lags=self._lags_at(now), doubt_max=self._config.doubt_max)

    def lag_factor(self, now: float) -> float:
        """The doubt that our late loop alone causes, 1 or more."""
        return doubt(quiet=0, links=0, lags=self._lags_at(now), doubt_max=self._config.doubt_max)

    def _lags_at(self, now: float) -> float:
        return self._lags if self.is_lagging(now) else 0.0
