"""The five health checks: names, limits, and how a number becomes a status."""

from __future__ import annotations

from msgspec import Struct

from peerscope.errors import ConfigError
from peerscope.records.bodies import RATIO_ONE, Check, Status

MESSAGE_MAX = 160


class Thresholds(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Ratios above which a check is degraded or unhealthy."""

    degraded: float
    unhealthy: float


class HealthConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Limits of the five checks."""

    cpu: Thresholds = Thresholds(degraded=0.75, unhealthy=0.90)
    """Share of all cores busy over the interval."""
    memory: Thresholds = Thresholds(degraded=0.75, unhealthy=0.90)
    """Used of total."""
    storage: Thresholds = Thresholds(degraded=0.85, unhealthy=0.95)
    """Used of total, on the volume of the state directory."""
    network: Thresholds = Thresholds(degraded=0.01, unhealthy=0.05)
    """Errors and drops per packet of the host's interfaces, over the interval. TCP throughput falls to a fraction
    at 1 % loss; at 5 % little works."""
    links_lost: int = 3
    """Links lost within the last minute that make the network check degraded."""
    p2p_degraded_below: float = 0.8
    p2p_unhealthy_below: float = 0.5
    """Share of the expected neighbours that are reachable."""

    def __post_init__(self) -> None:
        if not 0 <= self.p2p_unhealthy_below <= self.p2p_degraded_below <= 1:
            raise ConfigError(
                f"health.p2p_unhealthy_below is {self.p2p_unhealthy_below} and health.p2p_degraded_below is "
                f"{self.p2p_degraded_below}; both must lie between 0 and 1, the first not above the second"
            )
        for name in ("cpu", "memory", "storage", "network"):
            limits = getattr(self, name)
            if not 0 <= limits.degraded <= limits.unhealthy:
                raise ConfigError(
                    f"health.{name} is degraded {limits.degraded}, unhealthy {limits.unhealthy}; "
                    "must be 0 or more, and degraded not above unhealthy"
                )


def judge(ratio: float, limits: Thresholds, message: str) -> Check:
    """A check whose high values are bad. A healthy check has no message."""
    status = Status.HEALTHY
    if ratio > limits.unhealthy:
        status = Status.UNHEALTHY
    elif ratio > limits.degraded:
        status = Status.DEGRADED
    return Check(status, quantised(ratio), message[:MESSAGE_MAX] if status is not Status.HEALTHY else None)


def failed(reason: str) -> Check:
    """A check that could not run."""
    return Check(Status.UNKNOWN, None, printable(reason)[:MESSAGE_MAX])


def judge_p2p(reachable: int, expected: int, config: HealthConfig, *, alone: str) -> Check:
    """The p2p check. A peer without expected neighbours is healthy, with the message `alone`."""
    if expected == 0:
        return Check(Status.HEALTHY, RATIO_ONE, alone)
    ratio = reachable / expected
    status = Status.HEALTHY
    if reachable == 0 or ratio < config.p2p_unhealthy_below:
        status = Status.UNHEALTHY
    elif ratio < config.p2p_degraded_below:
        status = Status.DEGRADED
    message = f"{reachable} of {expected} neighbours reachable" if status is not Status.HEALTHY else None
    return Check(status, quantised(ratio), message)


def quantised(ratio: float) -> int:
    """A ratio in the integers of a record."""
    return min(1_000_000, max(0, round(ratio * RATIO_ONE)))


def printable(text: str) -> str:
    """Text of the operating system without control characters, which records refuse."""
    return "".join(character if character.isprintable() else " " for character in text)
