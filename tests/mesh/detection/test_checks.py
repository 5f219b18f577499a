"""From numbers to statuses: the limits, and what lies exactly on them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from peerscope.errors import ConfigError
from peerscope.mesh.detection.checks import HealthConfig, Thresholds, failed, judge, judge_p2p, quantised
from peerscope.records.bodies import Check, Kind, Report, Status, decode_body, encode_body

HEALTHY, DEGRADED, UNHEALTHY, UNKNOWN = Status
CONFIG = HealthConfig()


@pytest.mark.parametrize(
    ("limits", "ratio", "expected"),
    [
        (CONFIG.cpu, 0.0, HEALTHY),
        (CONFIG.cpu, 0.75, HEALTHY),
        (CONFIG.cpu, 0.7501, DEGRADED),
        (CONFIG.cpu, 0.90, DEGRADED),
        (CONFIG.cpu, 0.9001, UNHEALTHY),
        (CONFIG.cpu, 1.0, UNHEALTHY),
        (CONFIG.memory, 0.75, HEALTHY),
        (CONFIG.memory, 0.76, DEGRADED),
        (CONFIG.memory, 0.90, DEGRADED),
        (CONFIG.memory, 0.91, UNHEALTHY),
        (CONFIG.storage, 0.85, HEALTHY),
        (CONFIG.storage, 0.8501, DEGRADED),
        (CONFIG.storage, 0.95, DEGRADED),
        (CONFIG.storage, 0.9501, UNHEALTHY),
        (CONFIG.network, 0.01, HEALTHY),
        (CONFIG.network, 0.02, DEGRADED),
        (CONFIG.network, 0.05, DEGRADED),
        (CONFIG.network, 0.06, UNHEALTHY),
    ],
)
def test_a_ratio_above_its_limit_is_worse_and_one_on_it_is_not(
    limits: Thresholds, ratio: float, expected: Status
) -> None:
    check = judge(ratio, limits, "why")
    assert check == Check(expected, quantised(ratio), None if expected is HEALTHY else "why")


@pytest.mark.parametrize(
    ("reachable", "expected", "status"),
    [
        (8, 8, HEALTHY),
        (7, 8, HEALTHY),
        (4, 5, HEALTHY),
        (6, 8, DEGRADED),
        (4, 8, DEGRADED),
        (1, 2, DEGRADED),
        (3, 8, UNHEALTHY),
        (1, 8, UNHEALTHY),
        (0, 8, UNHEALTHY),
        (0, 1, UNHEALTHY),
        (1, 1, HEALTHY),
        (0, 0, HEALTHY),
    ],
)
def test_reachable_neighbours_decide_the_p2p_check(reachable: int, expected: int, status: Status) -> None:
    check = judge_p2p(reachable, expected, CONFIG, alone="nobody else here")
    assert check.status is status
    assert check.ratio == (quantised(reachable / expected) if expected else 10_000)
    if expected == 0:
        assert check.message == "nobody else here"
    elif status is HEALTHY:
        assert check.message is None
    else:
        assert check.message == f"{reachable} of {expected} neighbours reachable"


def test_no_reachable_neighbour_is_unhealthy_whatever_the_limits() -> None:
    lenient = HealthConfig(p2p_degraded_below=0.0, p2p_unhealthy_below=0.0)
    assert judge_p2p(0, 8, lenient, alone="").status is UNHEALTHY


@given(st.text(max_size=400))
def test_a_check_that_failed_says_why_in_words_that_may_travel(reason: str) -> None:
    check = failed(reason)
    report = Report(5000, (check,))
    assert (check.status, check.ratio) == (UNKNOWN, None)
    assert decode_body(Kind.REPORT, encode_body(report)) == report


@pytest.mark.parametrize(("ratio", "travels"), [(0.0, 0), (0.12344, 1234), (1.0, 10_000), (-0.5, 0), (1e9, 1_000_000)])
def test_ratios_travel_as_bounded_ten_thousandths(ratio: float, travels: int) -> None:
    assert quantised(ratio) == travels


@pytest.mark.parametrize(("degraded", "unhealthy"), [(0.9, 0.75), (-0.1, 0.5)])
def test_limits_the_wrong_way_round_are_named(degraded: float, unhealthy: float) -> None:
    with pytest.raises(ConfigError, match=f"health.cpu is degraded {degraded}, unhealthy {unhealthy}"):
        HealthConfig(cpu=Thresholds(degraded=degraded, unhealthy=unhealthy))
