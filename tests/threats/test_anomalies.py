"""The anomaly rate: nothing at first, next to nothing for the usual, much for what never was."""

from math import cos, pi
from random import Random

from peerscope.records.identity import PeerId
from peerscope.records.measures import AgentMetrics, Metrics, PerformanceMetrics, SystemMetrics
from peerscope.threats.anomalies import Anomalies
from signatures import signatures

MINUTE_S = 60.0


def measured(rng: Random, scale: float = 1.0) -> Metrics:
    def some(usual: float) -> int:
        return max(0, round(usual * scale * rng.gauss(1.0, 0.1)))

    traffic = {"received_bytes_s": some(50_000), "sent_bytes_s": some(40_000)}
    system = SystemMetrics(cpu=some(2000), connections=some(30), **traffic)
    performance = PerformanceMetrics(some(20_000), some(10), some(90_000))
    return Metrics(system, None, performance, AgentMetrics(lag_us=some(3000)))


def live(anomalies: Anomalies, begin: int, minutes: int, rng: Random, scale: float = 1.0) -> None:
    for minute in range(begin, begin + minutes):
        anomalies.measure(measured(rng, scale), minute * MINUTE_S)


def test_nothing_is_unusual_while_nothing_is_known() -> None:
    anomalies = Anomalies()
    assert anomalies.ratio is None
    live(anomalies, 0, 8, Random(1))
    assert anomalies.ratio is None


def test_a_change_of_everything_is_rated_high_and_found() -> None:
    anomalies, rng = Anomalies(), Random(2)
    (signature,) = signatures().of("anomaly_ratio")
    live(anomalies, 0, 120, rng)
    assert anomalies.ratio is not None
    assert anomalies.ratio < 0.05
    live(anomalies, 120, 11, rng, scale=8.0)
    assert anomalies.ratio > 0.8
    (found,) = anomalies.find(signature, PeerId(bytes(32)))
    assert found.severity == "medium"
    assert 0.5 < found.confidence < 1.0


def test_a_drift_is_followed() -> None:
    anomalies, rng, worst = Anomalies(), Random(3), 0.0
    for minute in range(1000):
        anomalies.measure(measured(rng, 1.0 + minute / 200), minute * MINUTE_S)
        worst = max(worst, anomalies.ratio or 0.0)
    assert worst < 0.2


def test_the_time_of_day_is_known_after_a_day() -> None:
    """An hour at noon is ten times as busy: strange on the first day, usual from then on."""
    anomalies, rng, rated = Anomalies(), Random(4), []
    for minute in range(3 * 1440):
        hour = minute // 60 % 24
        scale = 10.0 if hour == 12 else 1.0 + 0.1 * cos(2 * pi * hour / 24)
        anomalies.measure(measured(rng, scale), minute * MINUTE_S)
        if hour == 12 and minute % 60 == 12:
            rated.append(anomalies.ratio)
    assert rated[0] is not None
    assert rated[0] > 0.5
    assert rated[2] is not None
    assert rated[2] < 0.1
