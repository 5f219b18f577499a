"""Our links, watched: pings out, answers in, silence noticed, doubt of ourselves."""

from __future__ import annotations

from math import inf

from peerscope.mesh.detection.detector import DetectorConfig, doubt
from peerscope.mesh.detection.link import Link
from peerscope.mesh.messages import Ping, Pong
from peerscope.records.bodies import RATIO_ONE, Coordinate
from peerscope.records.identity import PeerId

LAG_HOLD_S = 10.0
PING_SLACK_S = 0.5
"""Regular pings that are due within this time go out together, and stay together: each wake-up of a process costs more
than the ping."""
PROBE_SLACK_S = 0.1
"""The same for the quicker pings in a silence."""


class Prober:
    """Every link of this peer. The peer with the smaller id pings; both probe in a silence."""

    def __init__(self, me: PeerId, config: DetectorConfig) -> None:
        self._me = me
        self._config = config
        self.links: dict[PeerId, Link] = {}
        self._doubt_until = -inf
        self._lags = 0.0
        self._next_at = inf

    def open(self, peer: PeerId, now: float) -> Link:
        """A connection stands; the link is up once the peer has said hello."""
        link = self.links.get(peer)
        if link is None:
            link = self.links[peer] = Link(peer, self._config, pings=self._me < peer, now=now)
        link.connected, link.forgotten_at = True, None
        return link

    def greeted(self, link: Link, clock_ms: int, now: float) -> None:
        """The peer has said hello: the link is watched from now on."""
        link.greeted = True
        link.told_clock(clock_ms, now)
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
        return self.links.pop(peer, None)

    def up(self) -> list[PeerId]:
        """Neighbours whose links are up, in a fixed order."""
        return sorted(peer for peer, link in self.links.items() if link.is_up)

    def ahead_s(self, peer: PeerId) -> float | None:
        """How far a peer's wall clock runs ahead of ours, as pings tell; None of whom we exchange none with."""
        if peer == self._me:
            return 0.0
        link = self.links.get(peer)
        return None if link is None or link.skew_ms is None else link.skew_ms / 1000

    def lost(self) -> list[Link]:
        """Links whose neighbour we miss."""
        return [self.links[peer] for peer in sorted(self.links) if self.links[peer].lost]

    def relayed(self, peers: frozenset[PeerId] | None) -> None:
        """Whose packets go through a relay now; None where that is not known."""
        for peer, link in self.links.items():
            link.via_relay = None if peers is None else peer in peers

    def deadline(self) -> float:
        """When to call `due` next. What is heard in between only moves it later, so it is worked out in `due`."""
        return self._next_at

    def due(
        self, now: float, clock_ms: int, ahead_ms: int = 0, coordinate: Coordinate | None = None
    ) -> tuple[list[tuple[PeerId, Ping]], list[Link]]:
        """Pings to send now, and links that are lost since the last call. A visit is never lost: it just ends."""
        pings: list[tuple[PeerId, Ping]] = []
        lost: list[Link] = []
        factor: float | None = None
        patience = self.patience(now)  # who is behind makes it worse by probing
        somebody = any(link.next_ping_at(patience) <= now + PROBE_SLACK_S for link in self.links.values())
        slack_s = PING_SLACK_S if somebody else PROBE_SLACK_S
        for link in self.links.values():
            if link.wake_at > now + slack_s:
                continue
            overdue = link.is_up and link.is_overdue(now)
            if overdue:
                factor = factor or self.doubt(now)
                if link.is_silent(now, factor):
                    link.lose(now)
                    lost.append(link)
            if link.next_ping_at(patience) <= now + (PROBE_SLACK_S if overdue else slack_s):
                seq = link.sent_ping(now)
                rtt_s = link.rtt.last_s if link.pings else None
                rtt_us = None if rtt_s is None else round(rtt_s * 1e6)
                ratio = link.loss.ratio if link.pings else None
                loss = None if ratio is None else round(ratio * RATIO_ONE)
                place = link.news_of_us(coordinate)
                pings.append((link.peer, Ping(seq, clock_ms, ahead_ms, rtt_us, loss, place)))
            link.wake_at = link.next_ping_at(patience)
            if link.is_up:  # doubt only makes it later: then it is asked once more than needed
                link.wake_at = min(link.wake_at, link.silent_at(now, factor or 1.0))
        self._next_at = min((link.wake_at for link in self.links.values()), default=inf)
        return pings, lost

    def pinged(
        self,
        link: Link,
        ping: Ping,
        now: float,
        clock_ms: int,
        ahead_ms: int = 0,
        coordinate: Coordinate | None = None,
    ) -> Pong:
        """The answer to a ping; its sender's measurements serve us too."""
        link.told_clock(ping.clock_ms, now)
        if link.rtt.smoothed_s is not None:
            theirs_ms = ping.clock_ms - ping.ahead_ms + link.rtt.smoothed_s * 500
            link.told_wall(theirs_ms - (clock_ms - ahead_ms))
        if ping.rtt_us is not None and not link.pings:
            link.rtt.sample(ping.rtt_us / 1e6)
        if ping.loss is not None:
            link.loss_told = ping.loss / RATIO_ONE
        return Pong(ping.seq, clock_ms, ahead_ms, link.news_of_us(coordinate))

    def ponged(self, link: Link, pong: Pong, now: float, wall_ms: float | None = None) -> bool:
        """An answer came; False if it answers nothing we asked. `wall_ms`: our wall clock now."""
        rtt_s = link.answered(pong.seq, now)
        if rtt_s is None:
            return False
        link.told_clock(pong.clock_ms, now)
        if wall_ms is not None:
            link.told_wall(pong.clock_ms - pong.ahead_ms + rtt_s * 500 - wall_ms)
        return True

    def lagged(self, lag_s: float, now: float) -> None:
        """Our own loop was away for `lag_s`: nobody's silence in that time counts."""
        lags = lag_s / self._config.lag_s
        self._lags = max(lags, self._lags) if now < self._doubt_until else lags
        self._doubt_until = now + LAG_HOLD_S
        for link in self.links.values():
            link.forgive(lag_s, now)

    def is_lagging(self, now: float) -> bool:
        """Our own loop ran late a short while ago."""
        return now < self._doubt_until

    def doubt(self, now: float) -> float:
        """How far we distrust our own silence; 1 is not at all."""
        links = [link for link in self.links.values() if link.is_up]
        quiet = sum(link.is_overdue(now) for link in links)
        return doubt(quiet=quiet, links=len(links), lags=self._lags_at(now), doubt_max=self._config.doubt_max)

    def patience(self, now: float) -> float:
        """How many times longer than usual others may take, since we are behind ourselves; 1 where we are not."""
        return doubt(quiet=0, links=0, lags=self._lags_at(now), doubt_max=self._config.doubt_max)

    def _lags_at(self, now: float) -> float:
        return self._lags if self.is_lagging(now) else 0.0

    def _wake(self, link: Link, now: float) -> None:
        link.wake_at = now
        self._next_at = min(self._next_at, now)
