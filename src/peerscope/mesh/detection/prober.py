"""Probes of our links: sends pings, handles answers, detects silence."""

from __future__ import annotations

from math import inf

from peerscope.mesh.detection.link import Link
from peerscope.mesh.events import LinkChanged
from peerscope.mesh.internal_events import LinkLost, SilencesChanged
from peerscope.mesh.messages import Ping, Pong
from peerscope.mesh.peer_state import PeerState
from peerscope.records.bodies import RATIO_ONE, Coordinate

PING_SLACK_S = 0.5
"""Regular pings that are due within this time go out together: a wake-up costs more than a ping."""
PROBE_SLACK_S = 0.1
"""The same for probes in a silence."""


class Prober:
    """Sends the pings of one peer, and detects lost links."""

    def __init__(self, state: PeerState) -> None:
        self._state = state
        self._links = state.links

    def deadline(self) -> float:
        """When to call `tick` next, or earlier than needed: messages from neighbours do not move it."""
        return self._links.wake_at

    def tick(self, coordinate: Coordinate | None, now: float) -> None:
        """Send the pings that are due, and lose links that were silent for too long. `coordinate`: ours."""
        lost: list[Link] = []
        factor: float | None = None
        health = self._state.local_health
        patience = health.lag_factor(now)  # more probes would make a late loop worse
        somebody = any(link.next_ping_at(patience) <= now + PROBE_SLACK_S for link in self._links.values())
        slack_s = PING_SLACK_S if somebody else PROBE_SLACK_S
        for link in self._links.values():
            if link.wake_at > now + slack_s:
                continue
            overdue = link.is_up and link.is_overdue(now)
            if overdue:
                factor = factor or health.factor(now)
                if link.is_silent(now, factor):
                    link.lose(now)
                    lost.append(link)
            if link.next_ping_at(patience) <= now + (PROBE_SLACK_S if overdue else slack_s):
                self._ping(link, coordinate, now)
            link.wake_at = link.next_ping_at(patience)
            if link.is_up:  # doubt may make it later: then one check more
                link.wake_at = min(link.wake_at, link.silent_at(now, factor or 1.0))
        self._links.wake_at = min((link.wake_at for link in self._links.values()), default=inf)
        for link in lost:
            self._state.out.add(LinkChanged(link.peer, False, f"silent for {link.quiet_s(now):.1f} s"))
            self._state.out.emit(LinkLost(link.peer))
        if lost:
            self._state.out.emit(SilencesChanged())

    def _ping(self, link: Link, coordinate: Coordinate | None, now: float) -> None:
        clock_ms, ahead_ms = self._state.clock.clock_ms(now), self._state.clock.ahead_ms(now)
        seq = link.sent_ping(now)
        rtt_s = link.rtt.last_s if link.pings else None
        rtt_us = None if rtt_s is None else round(rtt_s * 1e6)
        ratio = link.loss.ratio if link.pings else None
        loss = None if ratio is None else round(ratio * RATIO_ONE)
        ping = Ping(seq, clock_ms, ahead_ms, rtt_us, loss, link.coordinate_to_send(coordinate))
        if link.connected:
            self._state.out.send(link.peer, ping)

    def pinged(self, link: Link, ping: Ping, now: float, coordinate: Coordinate | None = None) -> None:
        """Answer a ping, and use the measurements of its sender."""
        clock_ms, ahead_ms = self._state.clock.clock_ms(now), self._state.clock.ahead_ms(now)
        link.set_clock(ping.clock_ms, now)
        if link.rtt.smoothed_s is not None:
            theirs_ms = ping.clock_ms - ping.ahead_ms + link.rtt.smoothed_s * 500
            link.sample_skew(theirs_ms - (clock_ms - ahead_ms))
        if ping.rtt_us is not None and not link.pings:
            link.rtt.sample(ping.rtt_us / 1e6)
        if ping.loss is not None:
            link.peer_loss = ping.loss / RATIO_ONE
        self._state.out.send(link.peer, Pong(ping.seq, clock_ms, ahead_ms, link.coordinate_to_send(coordinate)))

    def ponged(self, link: Link, pong: Pong, now: float) -> bool:
        """Handle an answer; False if it answers no ping of ours."""
        rtt_s = link.answered(pong.seq, now)
        if rtt_s is None:
            return False
        link.set_clock(pong.clock_ms, now)
        link.sample_skew(pong.clock_ms - pong.ahead_ms + rtt_s * 500 - self._state.clock.wall_ms(now))
        return True
