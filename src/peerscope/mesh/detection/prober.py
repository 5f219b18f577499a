"""Probes of our links: sends pings, handles answers, detects silence."""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from random import Random

from peerscope.mesh.detection.detector import SHORTEST, period_s
from peerscope.mesh.detection.link import DoubtLevel, Link
from peerscope.mesh.events import LinkChanged
from peerscope.mesh.internal_events import LinkDoubted, LinkLost, SilencesChanged
from peerscope.mesh.messages import LOAD_WIRE, Load, Ping, Pong
from peerscope.mesh.peer_state import PeerState
from peerscope.records.bodies import RATIO_ONE, Coordinate
from peerscope.records.identity import PeerId

PROBE_SLACK_S = 0.02
"""Pings that are due within this time go out together: a wake-up costs more than a ping."""
DRAWN = (0.6, 1.0)
"""Pings are drawn within these parts of the period, so that the observers of a peer do not ask at one moment."""
Carry = Callable[[PeerId, float], Load | None]
"""The news to send along to a neighbour now."""


class Prober:
    """Sends the pings of one peer, and detects lost links."""

    def __init__(self, state: PeerState, rng: Random) -> None:
        self._state = state
        self._links = state.links
        self._rng = rng

    def deadline(self) -> float:
        """When to call `tick` next, or earlier than needed: messages from neighbours do not move it."""
        return self._links.wake_at

    def tick(self, coordinate: Coordinate | None, carry: Carry, now: float) -> None:
        """Send the pings that are due, and lose links that were silent for too long. `coordinate`: ours."""
        lost: list[Link] = []
        factor: float | None = None
        health, asks_all = self._state.local_health, False
        patience = health.lag_factor(now)  # more probes would make a late loop worse
        for link in self._links.values():
            if link.wake_at > now + PROBE_SLACK_S:
                continue
            if link.is_up and link.is_in_doubt(now):
                asks_all |= self._doubt(link, now)
                factor = factor or health.factor(now)
                if link.is_silent(now, factor):
                    link.lose(now)
                    lost.append(link)
            if link.next_ping_at(patience) <= now + PROBE_SLACK_S:
                self._ping(link, coordinate, carry, now)
            self._plan(link, factor or 1.0, patience, now)
        if asks_all:  # perhaps we are the one that hears nobody
            for link in self._links.values():
                if link.is_up and link.is_calm:
                    link.urge(now)
                    if link.next_ping_at(patience) <= now + PROBE_SLACK_S:
                        self._ping(link, coordinate, carry, now)
                    self._plan(link, factor or 1.0, patience, now)
        self._links.wake_at = min((link.wake_at for link in self._links.values()), default=inf)
        for link in lost:
            self._state.out.add(LinkChanged(link.peer, False, f"silent for {link.quiet_s(now):.1f} s"))
            self._state.out.emit(LinkLost(link.peer))
        if lost:
            self._state.out.emit(SilencesChanged())

    def pinged(self, link: Link, ping: Ping, now: float, coordinate: Coordinate | None, carry: Carry) -> None:
        """Answer a ping, and use the measurements of its sender."""
        clock_ms, ahead_ms = self._state.clock.clock_ms(now), self._state.clock.ahead_ms(now)
        link.set_clock(ping.clock_ms, now)
        if link.rtt.smoothed_s is not None:
            theirs_ms = ping.clock_ms - ping.ahead_ms + link.rtt.smoothed_s * 500
            link.sample_skew(theirs_ms - (clock_ms - ahead_ms))
        if ping.rtt_us is not None and not link.pings:
            link.rtt.sample(ping.rtt_us / 1e6)
            link.exchanges += 1
        if ping.loss is not None:
            link.peer_loss = ping.loss / RATIO_ONE
        if link.pings:
            link.plan(self._drawn_s(link, now), now)
        else:
            link.plan(self._promised_s(ping), now)
        load = carry(link.peer, now) if link.wire >= LOAD_WIRE and link.is_up else None
        link.ponged = ping.seq
        self._state.out.send(link.peer, Pong(ping.seq, clock_ms, ahead_ms, link.coordinate_to_send(coordinate), load))

    def ponged(self, link: Link, pong: Pong, now: float) -> bool:
        """Handle an answer; False if it answers no ping of ours."""
        rtt_s = link.answered(pong.seq, now)
        if rtt_s is None:
            return False
        link.set_clock(pong.clock_ms, now)
        link.sample_skew(pong.clock_ms - pong.ahead_ms + rtt_s * 500 - self._state.clock.wall_ms(now))
        return True

    def doubted(self, peer: PeerId, now: float) -> None:
        """Another observer asked this peer in vain: ask it as well, unless we have just heard it."""
        link = self._links.get(peer)
        if link is not None and link.is_up and link.is_calm:
            self._links.ask(link, now)

    def _doubt(self, link: Link, now: float) -> bool:
        """Let the other observers look; True if it is time to ask all our neighbours."""
        if link.doubt == DoubtLevel.NONE:
            link.doubt = DoubtLevel.NEAR
            self._state.out.emit(LinkDoubted(link.peer, is_wide=False))
        if link.doubt == DoubtLevel.NEAR and link.is_in_wide_doubt(now):
            link.doubt = DoubtLevel.WIDE
            self._state.out.emit(LinkDoubted(link.peer, is_wide=True))
            return True
        return False

    def _plan(self, link: Link, factor: float, patience: float, now: float) -> None:
        at = link.next_ping_at(patience)
        if link.is_calm:
            link.wake_at = self._state.grid.after(at)
        elif link.is_up:  # doubt of ourselves may make it later: then one check more
            link.wake_at = min(at, link.silent_at(now, factor))
        else:
            link.wake_at = at

    def _ping(self, link: Link, coordinate: Coordinate | None, carry: Carry, now: float) -> None:
        clock_ms, ahead_ms = self._state.clock.clock_ms(now), self._state.clock.ahead_ms(now)
        seq = link.sent_ping(now)
        rtt_s = link.rtt.last_s if link.pings else None
        rtt_us = None if rtt_s is None else round(rtt_s * 1e6)
        ratio = link.loss.ratio if link.pings else None
        loss = None if ratio is None else round(ratio * RATIO_ONE)
        wait_s = self._drawn_s(link, now)
        link.plan(wait_s, now)
        load = carry(link.peer, now) if link.wire >= LOAD_WIRE and link.is_up and link.connected else None
        place = link.coordinate_to_send(coordinate)
        ping = Ping(
            seq, clock_ms, ahead_ms, rtt_us, loss, place, round(wait_s * 1000) if link.pings else None, link.acked, load
        )
        if link.connected:
            self._state.out.send(link.peer, ping)

    def _drawn_s(self, link: Link, now: float) -> float:
        """Draw the time until the next regular ping, which the grid then delays a little."""
        config = self._state.detector
        if link.wire < LOAD_WIRE:  # it expects a ping in each interval
            return config.ping_interval_s
        link.period_s = SHORTEST * config.ping_interval_s if link.is_young else self._period_s(link)
        return self._state.grid.after(now + link.period_s * self._rng.uniform(*DRAWN)) - now

    def _promised_s(self, ping: Ping) -> float:
        """When the sender pings again, within our own limits: a liar would name a day, and hide its death."""
        config = self._state.detector
        wait_s = config.ping_interval_s if ping.next_ms is None else ping.next_ms / 1000
        return max(config.ping_interval_s / 2, min(wait_s, config.ping_period_s))

    def _period_s(self, link: Link) -> float:
        """The period for the end with fewer observers."""
        report = self._state.ledger.report(link.peer)
        theirs = sum(one.watches for one in report.links) if report is not None else 0
        ours = sum(other.is_up for other in self._links.values())
        return period_s(min(ours, theirs), self._state.detector)
