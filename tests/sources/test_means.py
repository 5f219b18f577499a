"""Means between two looks, and how long the last one stays."""

import pytest

from peerscope.sources.means import LastMean, RunningMean

AGE_S_MAX = 600.0


def test_a_mean_stays_with_its_age_for_ten_minutes() -> None:
    last = LastMean()
    assert last.at(0.0) == (None, None)
    last.note(0.2, 100.0)
    assert last.at(100.0) == (0.2, None)
    last.note(None, 130.0)
    assert last.at(130.0) == (0.2, 30.0)
    assert last.at(100.0 + AGE_S_MAX) == (0.2, AGE_S_MAX)
    assert last.at(100.1 + AGE_S_MAX) == (None, None)


@pytest.mark.parametrize("mean_s", [-0.1, 3600.1, float("nan"), float("inf")])
def test_what_can_be_no_latency_changes_nothing(mean_s: float) -> None:
    last = LastMean()
    last.note(mean_s, 1.0)
    assert last.at(1.0) == (None, None)


def mean(*looks: dict[str, tuple[float, float]]) -> tuple[float | None, float | None]:
    running = RunningMean()
    for now, totals in enumerate(looks):
        running.note(totals, 1.0, float(now))
    return running.at(float(len(looks) - 1))


LIFE = {"a": (1000.0, 1000.0)}
"""One second for each of a thousand messages."""


def test_the_mean_is_of_the_time_between_two_looks() -> None:
    assert mean(LIFE) == (None, None)
    assert mean(LIFE, {"a": (1001.0, 1010.0)}) == (pytest.approx(0.1), None)


def test_a_look_without_the_series_makes_no_mean_over_the_whole_life() -> None:
    assert mean(LIFE, {}, LIFE) == (None, None)
    assert mean(LIFE, {}, LIFE, {"a": (1001.0, 1010.0)}) == (pytest.approx(0.1), None)


def test_one_of_several_series_that_comes_back_does_not_count() -> None:
    both = LIFE | {"b": (5.0, 5.0)}
    assert mean(both, {"b": (6.0, 15.0)}, {"a": (1000.0, 1000.0), "b": (7.0, 25.0)}) == (pytest.approx(0.1), None)


def test_a_restart_leaves_the_last_mean() -> None:
    assert mean(LIFE, {"a": (1001.0, 1010.0)}, {"a": (50.0, 1.0)}) == (pytest.approx(0.1), 1.0)
    assert mean(LIFE, {"a": (1001.0, 1010.0)}, {"a": (0.0, 2000.0)}) == (pytest.approx(0.1), 1.0)


def test_without_new_messages_the_last_mean_ages() -> None:
    grown = {"a": (1001.0, 1010.0)}
    assert mean(LIFE, grown, grown, grown) == (pytest.approx(0.1), 2.0)
