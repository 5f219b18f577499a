"""When silence means loss: the arithmetic of failure detection, without state.

Both ends of a link expect to hear something every ping interval. When it does not come, either end probes four
times a second; the link is lost when it has been silent for `silence_limit_s` *and* so many probes went unanswered
that the link's own measured loss would explain them less than once in a million. A phi-accrual detector
(Hayashibara et al. 2004) asks the same question of arrival times; asking it of counted losses needs no
assumption about their distribution. Doubt of ourselves stretches the limit (Lifeguard's local health, Dadgar et
al. 2018).
"""

from __future__ import annotations

from math import ceil, isfinite, log

from msgspec import Struct

from peerscope.errors import ConfigError


class DetectorConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How links are watched."""

    ping_interval_s: float = 1.0  # memberlist's LAN default for a probe
    """Time between pings of one link. Lower finds failures sooner; traffic grows on every peer."""
    probe_interval_s: float = 0.25  # a guess: six probes fit between the first miss and a verdict
    """Time between pings once something expected did not come."""
    silence_floor_s: float = 1.5  # measured: `kill -9` noticed in 1.6-2.4 s with no false loss
    """Shortest silence that loses a link. Keep above `ping_interval_s`."""
    chance: float = 1e-6
    """How unlikely the unanswered probes must be under the link's measured loss."""
    doubt_max: float = 8.0  # Lifeguard's limit of its awareness multiplier
    """Most that doubt of ourselves stretches the limit."""
    lag_s: float = 0.5
    """A turn of our own loop that comes this late is held against us, not against the neighbours: as many times this
    as it came late, so much more we doubt our own silence for a while."""
    down_after_s: float = 4.0
    """Silence, as the observers saw it, after which a suspected peer is down. A pause of three seconds must not
    page anybody."""
    flap_hold_s: float = 60.0
    """Losses of a link within this time stretch its next silence limit, up to four times: a link that comes and
    goes is a bad link, not a dead peer."""

    def __post_init__(self) -> None:
        for name in ("ping_interval_s", "probe_interval_s", "silence_floor_s", "down_after_s"):
            if not isfinite(getattr(self, name)):
                raise ConfigError(f"detector.{name} is {getattr(self, name)}; must be a number of seconds")
        if not self.doubt_max >= 1:
            raise ConfigError(f"detector.doubt_max is {self.doubt_max}; must be 1 or more")
        if self.ping_interval_s <= 0 or self.probe_interval_s <= 0:
            raise ConfigError("detector.ping_interval_s and detector.probe_interval_s must be above 0")
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


def silence_limit_s(rtt_s: float, deviation_s: float, *, floor_s: float, doubt: float) -> float:
    """Seconds of silence after which a link may be lost: RTT plus four deviations (as TCP's retransmission timer,
    RFC 6298), never under `floor_s`, stretched by our own `doubt` of 1 or more."""
    return max(floor_s, rtt_s + 4 * deviation_s) * doubt


def probes_needed(loss_ratio: float, chance: float) -> int:
    """How many unanswered probes in a row are less likely than `chance` where `loss_ratio` of them are lost anyway."""
    bounded = min(max(loss_ratio, 1e-3), 0.6)  # beyond 60 % loss a link carries nothing worth waiting for
    return ceil(log(chance) / log(bounded))


def doubt(*, quiet: int, links: int, lags: float, doubt_max: float) -> float:
    """How far to distrust our own silence: 1 is not at all.

    `quiet` of `links` neighbours went silent together: that many failures at once are less likely than one failure
    of ours. `lags`: how many times `lag_s` our own loop ran late, at worst, a short while ago; a machine with too much
    to do starves its neighbours as well.
    """
    factor = 1.0
    if links >= 3 and quiet * 2 > links:
        factor += quiet / links
    return min(factor + lags, doubt_max)
