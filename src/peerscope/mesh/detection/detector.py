"""Failure detection of one link: the arithmetic, without state.

**The observers of a subject share the work.** A ping and its answer show both ends that the other one lives. Let k
observers exchange one with the subject every P seconds, at times that chance spreads. Then the first of them asks a
dead subject after P / (k + 1) seconds in the mean. Its first unanswered probe makes the others look at once
(`doubts.py`), so they need not wait for their own turn:

    majority = P / (k + 1)            the first observer asks in vain
             + timeout                it notices; round trip and four deviations, 0.1 s at least
             + one round of gossip    the others hear its doubt
             + probes / 4 + timeout   each needs some unanswered probes of its own
             + one round of gossip    the accusations travel

For P = k / 2 the first term stays below half a second, so few observers ask more often, and many share:

    observers k                  1     2     3     4     8 or more
    period P (seconds)           1.25  1.25  1.5   2.0   4.0
    first question in vain       0.6   0.4   0.4   0.4   0.4

SWIM (Das, Gupta, Motivala 2002) has every member probe one random member per period. Its first detection takes
e / (e - 1) periods in the mean, whatever the size. Here the observers are fixed, so the time is bounded. SWIM asks k
others to probe in the place of one whose probe failed. Our doubt does that, and each observer then judges its own link.
Doubt of ourselves stretches the limit (Lifeguard's local health, Dadgar et al. 2018).

**A link is lost** after `silence_limit_s`, if its measured loss explains the unanswered probes less than once in a
million. A phi-accrual detector (Hayashibara et al. 2004) asks the same question of arrival times; counted losses need
no assumption about their distribution.

**Silence begins** at most `ping_interval_s` before the first unanswered probe, however long nobody asked. So a pause of
`down_after_s` minus that is never a death, whatever the period.
"""

from __future__ import annotations

from math import ceil, isfinite, log

from msgspec import Struct

from peerscope.errors import ConfigError


class DetectorConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Timing of pings, probes and verdicts."""

    ping_interval_s: float = 1.0  # memberlist's LAN default for a probe
    """Time between pings of a lost link; the most of a silence that counts before its first unanswered probe."""
    ping_period_s: float = 4.0  # measured: detection as with a ping a second, for a third of the messages
    """Longest time between pings of a quiet link. Peers with few observers are asked more often: `period_s`."""
    probe_interval_s: float = 0.25  # a guess: some probes fit between the first miss and a verdict
    """Time between pings once one was not answered."""
    silence_floor_s: float = 1.5  # measured: `kill -9` noticed in 1.6-2.4 s with no false loss
    """Shortest silence that loses a link. Keep above `ping_interval_s`."""
    chance: float = 1e-6
    """Most probability that the measured loss may give to the unanswered probes."""
    doubt_max: float = 8.0  # Lifeguard's limit of its awareness multiplier
    """Most that doubt of ourselves stretches the limit."""
    lag_s: float = 0.5
    """A turn of our own loop that comes this late counts against us. Doubt grows by one for each such delay, for a
    while."""
    down_after_s: float = 4.0
    """Silence, as the observers measure it, after which a suspected peer is down. Nobody gets a page for a pause of
    three seconds."""
    flap_hold_s: float = 60.0
    """Losses of a link within this time stretch its next silence limit, up to four times. A flapping link is no dead
    peer."""

    def __post_init__(self) -> None:
        for name in ("ping_interval_s", "ping_period_s", "probe_interval_s", "silence_floor_s", "down_after_s"):
            if not isfinite(getattr(self, name)):
                raise ConfigError(f"detector.{name} is {getattr(self, name)}; must be a number of seconds")
        if not self.doubt_max >= 1:
            raise ConfigError(f"detector.doubt_max is {self.doubt_max}; must be 1 or more")
        if self.ping_interval_s <= 0 or self.probe_interval_s <= 0:
            raise ConfigError("detector.ping_interval_s and detector.probe_interval_s must be above 0")
        if self.ping_period_s < self.ping_interval_s:
            raise ConfigError(
                f"detector.ping_period_s is {self.ping_period_s}; must not be below "
                f"detector.ping_interval_s {self.ping_interval_s}"
            )
        if self.silence_floor_s <= self.ping_interval_s:
            raise ConfigError(
                f"detector.silence_floor_s is {self.silence_floor_s}; must exceed "
                f"detector.ping_interval_s {self.ping_interval_s}, or every quiet second would be a loss"
            )
        if not 0 < self.chance < 1:
            raise ConfigError(f"detector.chance is {self.chance}; must lie between 0 and 1")
        if self.down_after_s < self.silence_floor_s:
            raise ConfigError(
                f"detector.down_after_s is {self.down_after_s}; must not be below "
                f"detector.silence_floor_s {self.silence_floor_s}"
            )


OBSERVERS_PER_S = 2.0
"""A subject is asked so often by all of its observers together, if `ping_interval_s` is one second."""
SHORTEST = 1.25
"""Shortest period, in units of `ping_interval_s`: with drawn intervals that is one ping in each."""


def period_s(observers: int, config: DetectorConfig) -> float:
    """Longest time between pings of a quiet link whose ends have so many observers at least, in seconds."""
    shortest_s = SHORTEST * config.ping_interval_s
    return max(shortest_s, min(config.ping_period_s, observers / OBSERVERS_PER_S * config.ping_interval_s))


def silence_limit_s(rtt_s: float, deviation_s: float, *, floor_s: float, doubt: float) -> float:
    """Seconds of silence after which a link may be lost, stretched by our own `doubt` of 1 or more.

    RTT plus four deviations (as TCP's retransmission timer, RFC 6298), never under `floor_s`.
    """
    return max(floor_s, rtt_s + 4 * deviation_s) * doubt


def probes_needed(loss_ratio: float, chance: float) -> int:
    """Unanswered probes in a row that are less likely than `chance` at this loss."""
    bounded = min(max(loss_ratio, 1e-3), 0.6)  # beyond 60 % loss a link is useless
    return ceil(log(chance) / log(bounded))


def doubt(*, quiet: int, links: int, lags: float, doubt_max: float) -> float:
    """How far to distrust our own silence: 1 is not at all.

    `quiet` of `links` neighbours went silent together: one failure of ours is more likely than all of theirs. `lags`:
    the worst recent delay of our own loop, in units of `lag_s`.
    """
    factor = 1.0
    if links >= 3 and quiet * 2 > links:
        factor += quiet / links
    return min(factor + lags, doubt_max)
