"""One link, as this end measures it: round-trip time, loss, silence, and the time of the next ping.

The end with the smaller id pings, at drawn times within the period of the link, and each ping carries the time of the
next. The other end asks by itself when that ping does not come. A ping without an answer puts the link *in doubt*:
both its ends probe then. Anything heard ends the doubt.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from enum import IntEnum
from math import inf

from peerscope.mesh.coordinates.vivaldi import is_news
from peerscope.mesh.detection.detector import DetectorConfig, probes_needed, silence_limit_s
from peerscope.mesh.detection.samples import Loss, RoundTrip
from peerscope.mesh.messages import WIRE_VERSION_MIN
from peerscope.records.bodies import Coordinate
from peerscope.records.certificates import Certificate
from peerscope.records.identity import PeerId
from peerscope.records.record import VERSION_MAX

OUTSTANDING_MAX = 64
FLAPS_MAX = 3
NONCES_MAX = 4
RESEND_EVERY = 16
"""A coordinate that stays the same goes with every so-manieth ping or pong."""
GRACE_S = 0.25
"""The other end waits so much longer for a ping before it asks by itself."""
HEARD_S = 0.5
"""A peer that was heard within this time need not be asked."""
DOUBTED_S = 0.2
"""The same where others doubt it."""
MEASURED_PERIODS = 4
"""The round trip is measured at least once in so many periods, however often the peer is heard."""
WIDE_CHANCE = 1e-3
"""Loss that explains the unanswered pings less often than this makes a doubt worth the cost of spreading it."""
PROBES_USUAL = 4
"""Probes that a link without much loss needs to be lost."""
PROBE_SHARE_MIN = 0.4
"""A lossy link is probed faster, down to this part of the interval."""
YOUNG = 6
"""A link has short periods until so many exchanges have measured it."""


class DoubtLevel(IntEnum):
    """How far others know that a ping to a peer went unanswered."""

    NONE = 0
    NEAR = 1
    """The observers of the peer that are linked with us."""
    WIDE = 2
    """All of them, through others."""


class Link:
    """The state of one link."""

    __slots__ = (
        "_asked",
        "_asked_at",
        "_due_at",
        "_measured_at",
        "_clock_at",
        "_clock_ms",
        "_config",
        "_outstanding",
        "_seq",
        "_sent_place",
        "_urged_at",
        "acked",
        "_since_sent",
        "awaits_challenge",
        "certificate",
        "connected",
        "doubt",
        "exchanges",
        "forgotten_at",
        "greeted",
        "last_heard",
        "last_sent",
        "loss",
        "peer_loss",
        "lost",
        "_lost_at",
        "nonces",
        "skew_ms",
        "wake_at",
        "opened_at",
        "peer",
        "period_s",
        "pings",
        "ponged",
        "rtt",
        "via_relay",
        "visit",
        "zone",
        "wire",
    )

    def __init__(self, peer: PeerId, config: DetectorConfig, *, pings: bool, now: float) -> None:
        self.peer = peer
        self.pings = pings
        self._config = config
        self._seq = 0
        self._outstanding: OrderedDict[int, float] = OrderedDict()
        self.rtt = RoundTrip()
        self.loss = Loss()
        self.peer_loss: float | None = None
        """Loss as the other end measured it, where that end pings."""
        self.connected = True
        """The transport has a connection. Without one, pings count as unanswered."""
        self.greeted = False
        """The peer sent its hello: it is a member."""
        self.visit = False
        """The connection of a guest, or ours as a guest: pings, and nothing else."""
        self.nonces: deque[bytes] = deque(maxlen=NONCES_MAX)
        """Nonces for the peer's proofs of the secret, each good for one proof."""
        self.awaits_challenge = False
        """We dialled, and send our hello after the challenge."""
        self.certificate: Certificate | None = None
        """The certificate in the peer's last hello."""
        self.zone = ""
        """The zone that the peer last sent."""
        self.via_relay: bool | None = None
        """Packets go through a relay; None if unknown."""
        self.wire = WIRE_VERSION_MIN
        """The wire version of this link: messages to the peer must not be newer."""
        self._sent_place: Coordinate | None = None
        self._since_sent = 0
        """Pings and pongs since we sent our coordinate."""
        self.opened_at = now
        self.last_heard = now
        self.last_sent = -inf
        self._asked_at: float | None = None
        """When we sent the first ping since the peer was last heard."""
        self._asked = 0
        """Pings since then."""
        self._due_at = now
        """When the next regular ping of either end is due."""
        self._measured_at = now
        self._urged_at: float | None = None
        """Since when to ask soon: others doubt the peer, or its connection is gone."""
        self.acked: int | None = None
        """Number of our last ping with an answer."""
        self.ponged: int | None = None
        """Number of the neighbour's last ping that we answered."""
        self.exchanges = 0
        """Pings that were answered, by either end."""
        self.period_s = config.ping_interval_s
        """Longest time between pings while nothing is wrong."""
        self.doubt = DoubtLevel.NONE
        """How far others know that a ping went unanswered."""
        self._clock_ms = 0
        self._clock_at = now
        self.lost = False
        self.forgotten_at: float | None = None
        """When we forgot the peer of this lost link."""
        self.wake_at = inf
        """When `Prober.tick` checks this link again."""
        self.skew_ms: float | None = None
        """How far the neighbour's wall clock is ahead of ours, smoothed."""
        self._lost_at: deque[float] = deque(maxlen=FLAPS_MAX)

    @property
    def is_up(self) -> bool:
        """The other end is a neighbour, and not silent."""
        return self.greeted and not self.lost and not self.visit

    @property
    def loss_ratio(self) -> float | None:
        """As the pinging end measured it; None before it sent that."""
        return self.loss.ratio if self.pings else self.peer_loss

    @property
    def is_young(self) -> bool:
        return self.exchanges < YOUNG

    @property
    def silent_since(self) -> float:
        """When the silence began, as far as it counts: see `detector.py`."""
        if self._asked_at is None:
            return self.last_heard
        # Less an answer's time: a peer that stands still for just `down_after_s` less the interval answers in time.
        before_s = max(0.0, self._config.ping_interval_s - self.rtt.timeout_s)
        return max(self.last_heard, self._asked_at - before_s)

    def heard(self, now: float) -> None:
        self.last_heard = now
        self._asked_at, self._asked, self._urged_at, self.doubt = None, 0, None, DoubtLevel.NONE

    def set_clock(self, clock_ms: int, now: float) -> None:
        """Note the version clock in a ping, pong or hello."""
        self._clock_ms, self._clock_at = clock_ms, now

    def coordinate_to_send(self, place: Coordinate | None) -> Coordinate | None:
        """Our coordinate, if it moved or the last one sent is old (datagrams are lost)."""
        self._since_sent += 1
        if place is None:
            return None
        known = self._sent_place if self._since_sent < RESEND_EVERY else None
        if known is not None and not is_news(place, known, self.rtt.smoothed_s or 0.0):
            return None
        self._sent_place, self._since_sent = place, 0
        return place

    def heard_ms(self) -> int:
        """The neighbour's version clock when its silence began, counted on from the last one it sent."""
        since_ms = max(0, round((self.silent_since - self._clock_at) * 1000))
        return min(self._clock_ms + since_ms, VERSION_MAX)  # a neighbour may send any time

    def quiet_s(self, now: float) -> float:
        return now - self.silent_since

    def is_in_doubt(self, now: float) -> bool:
        """A ping has had time for its answer, and nothing was heard since it was sent."""
        return self._asked_at is not None and now >= self._asked_at + self.rtt.timeout_s

    @property
    def is_calm(self) -> bool:
        """Nothing is wrong that we know: no ping waits for its answer, and nobody doubts the peer."""
        return self._asked_at is None and self._urged_at is None

    def urge(self, now: float) -> None:
        """Ask soon: something may be wrong."""
        self._urged_at = now

    def plan(self, wait_s: float, now: float) -> None:
        """The next regular ping is due after so many seconds."""
        self._due_at = now + wait_s

    def next_ping_at(self, patience: float = 1.0) -> float:
        """When to send the next ping: faster in doubt, by `patience` of 1 or more; slowly once the link is lost."""
        if self.lost:
            return self.last_sent + self._config.ping_interval_s
        if self._urged_at is not None and self._asked_at is None:
            return max(self._urged_at, self.last_heard + DOUBTED_S)
        if self._asked_at is None:
            at = max(self._due_at, self.last_heard + min(HEARD_S, self.period_s / 2))
            if not self.pings:
                return at + GRACE_S
            return min(at, self._measured_at + MEASURED_PERIODS * self.period_s)
        answered_by = self._asked_at + self.rtt.timeout_s * patience
        if self._asked == 1:
            return answered_by
        return max(answered_by, self.last_sent + self._probe_interval_s() * patience)

    def sent_ping(self, now: float) -> int:
        """Note a ping that goes out now, and return its sequence number."""
        self._seq = (self._seq + 1) % 2**32
        self._outstanding[self._seq] = now
        if len(self._outstanding) > OUTSTANDING_MAX:
            self._outstanding.popitem(last=False)
        self.last_sent = now
        self._asked += 1
        if self._asked_at is None:
            self._asked_at = now
        return self._seq

    def answered(self, seq: int, now: float) -> float | None:
        """A pong came: the round-trip time in seconds, or None if it answers no ping of ours."""
        sent_at = self._outstanding.pop(seq, None)
        if sent_at is None:
            return None
        timeout_s = self.rtt.timeout_s
        for other, at in list(self._outstanding.items()):
            if now - at > timeout_s:
                del self._outstanding[other]
                if not self.lost:
                    self.loss.sample(missed=True)
        self.loss.sample(missed=False)
        self.rtt.sample(now - sent_at)
        self._measured_at = now
        self.acked = seq
        self.exchanges += 1
        return now - sent_at

    def is_silent(self, now: float, doubt: float) -> bool:
        """The link is silent beyond its limit, and too many probes lack an answer."""
        if self.quiet_s(now) < self._limit_s(doubt, now):
            return False
        return self._unanswered(now) >= self._needed(self._config.chance)

    def is_in_wide_doubt(self, now: float) -> bool:
        """So many pings lack an answer that all observers of the peer should look."""
        return self._unanswered(now) >= self._needed(WIDE_CHANCE)

    def silent_at(self, now: float, doubt: float) -> float:
        """When to ask `is_silent` or `is_in_wide_doubt` again; infinite while every ping was answered."""
        if self._asked_at is None:
            return inf
        timeout_s = self.rtt.timeout_s
        ripe = (sent + timeout_s for sent in self._outstanding.values() if sent > self.last_heard)
        at = min((at for at in ripe if at > now), default=inf)
        limit_at = self.silent_since + self._limit_s(doubt, now)
        return min(at, limit_at) if limit_at > now else at

    def lose(self, now: float) -> None:
        """The link is lost. Its unanswered pings do not count as loss."""
        self.lost = True
        if self._asked_at is None:
            self._asked_at = now
        self._lost_at.append(now)
        self._outstanding.clear()

    def regain(self, now: float) -> None:
        self.lost = False
        self._outstanding.clear()
        self._due_at = now

    def flaps(self, now: float) -> int:
        """Recent losses of this link. Each makes its silence limit longer."""
        while self._lost_at and self._lost_at[0] < now - self._config.flap_hold_s:
            self._lost_at.popleft()
        return len(self._lost_at)

    def sample_skew(self, ahead_ms: float) -> None:
        """Add one measurement of how far the neighbour's wall clock is ahead. A step counts at once."""
        if self.skew_ms is None or abs(ahead_ms - self.skew_ms) > 1000:
            self.skew_ms = ahead_ms
        else:
            self.skew_ms += (ahead_ms - self.skew_ms) / 8

    def forgive(self, lag_s: float, now: float) -> None:
        """Our own loop stood still for `lag_s` until now: extend all deadlines."""
        self.last_heard = min(now, self.last_heard + lag_s)
        if self._asked_at is not None:
            self._asked_at = min(now, self._asked_at + lag_s)
        for seq, sent in self._outstanding.items():
            self._outstanding[seq] = min(now, sent + lag_s)

    def _limit_s(self, doubt: float, now: float) -> float:
        rtt_s = self.rtt.smoothed_s or 0.0
        doubt *= 1 + self.flaps(now)
        floor_s = self._config.silence_floor_s
        return silence_limit_s(rtt_s, self.rtt.deviation_s, floor_s=floor_s, doubt=doubt)

    def _probe_interval_s(self) -> float:
        """Shorter on a lossy link, which needs more probes."""
        share = max(PROBE_SHARE_MIN, min(1.0, PROBES_USUAL / self._needed(self._config.chance)))
        return self._config.probe_interval_s * share

    def _needed(self, chance: float) -> int:
        return probes_needed(max(self.loss.cautious, self.peer_loss or 0.0), chance)

    def _unanswered(self, now: float) -> int:
        ripe = now - self.rtt.timeout_s
        return sum(1 for sent in self._outstanding.values() if self.last_heard < sent <= ripe)
