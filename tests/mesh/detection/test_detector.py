"""The arithmetic of failure detection, as tables."""

from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from peerscope.errors import ConfigError
from peerscope.mesh.detection.detector import DetectorConfig, doubt, probes_needed, silence_limit_s


@pytest.mark.parametrize(
    ("rtt_s", "deviation_s", "doubt", "limit_s"),
    [
        (0.0, 0.0, 1.0, 1.5),
        (0.02, 0.005, 1.0, 1.5),
        (0.3, 0.3, 1.0, 1.5),
        (0.5, 0.5, 1.0, 2.5),
        (2.0, 0.0, 1.0, 2.0),
        (0.02, 0.0, 2.0, 3.0),
        (0.5, 0.5, 2.0, 5.0),
    ],
)
def test_a_silence_may_last_as_long_as_an_answer_could_take(
    rtt_s: float, deviation_s: float, doubt: float, limit_s: float
) -> None:
    assert silence_limit_s(rtt_s, deviation_s, floor_s=1.5, doubt=doubt) == limit_s


@pytest.mark.parametrize(
    ("loss_ratio", "probes"),
    [(0.0, 2), (0.001, 2), (0.01, 3), (0.05, 5), (0.1, 6), (0.25, 10), (0.5, 20), (0.6, 28), (1.0, 28)],
)
def test_a_lossy_link_needs_more_unanswered_probes(loss_ratio: float, probes: int) -> None:
    assert probes_needed(loss_ratio, 1e-6) == probes


@given(st.floats(0.001, 0.6), st.floats(1e-12, 0.5))
def test_so_many_misses_are_rarer_than_the_chance_and_one_fewer_is_not(loss_ratio: float, chance: float) -> None:
    needed = probes_needed(loss_ratio, chance)
    assert loss_ratio**needed <= chance * (1 + 1e-9)
    assert needed == 1 or loss_ratio ** (needed - 1) > chance * (1 - 1e-9)


@pytest.mark.parametrize(
    ("quiet", "links", "lags", "expected"),
    [
        (0, 8, 0.0, 1.0),
        (1, 8, 0.0, 1.0),
        (4, 8, 0.0, 1.0),
        (5, 8, 0.0, 1.625),
        (8, 8, 0.0, 2.0),
        (8, 8, 1.0, 3.0),
        (0, 8, 1.0, 2.0),
        (0, 0, 0.0, 1.0),
        (1, 1, 0.0, 1.0),
        (2, 2, 0.0, 1.0),
        (2, 3, 0.0, 1 + 2 / 3),
    ],
)
def test_we_doubt_ourselves_when_most_go_quiet_at_once_or_we_ran_late(
    quiet: int, links: int, lags: float, expected: float
) -> None:
    assert doubt(quiet=quiet, links=links, lags=lags, doubt_max=8.0) == pytest.approx(expected)


def test_doubt_has_a_limit() -> None:
    assert doubt(quiet=8, links=8, lags=1.0, doubt_max=2.5) == 2.5


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"silence_floor_s": 1.0}, "silence_floor_s is 1.0; must exceed detector.ping_interval_s 1.0"),
        ({"ping_interval_s": 0.0}, "ping_interval_s"),
        ({"probe_interval_s": -1.0}, "probe_interval_s"),
        ({"chance": 0.0}, "detector.chance is 0.0"),
        ({"chance": 1.0}, "detector.chance is 1.0"),
        ({"down_after_s": 1.4}, "detector.down_after_s is 1.4"),
        ({"ping_interval_s": inf}, "ping_interval_s is inf"),
    ],
)
def test_settings_that_contradict_each_other_are_named(fields: dict[str, float], named: str) -> None:
    with pytest.raises(ConfigError, match=named):
        DetectorConfig(**fields)
