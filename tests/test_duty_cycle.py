"""How often to look on a machine that has time, and on one that has none."""

import pytest

from peerscope.host.duty_cycle import SHARE, DutyCycle


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_quick_look_is_taken_as_often_as_usual_and_a_slow_one_less_often() -> None:
    clock = Clock()
    pace = DutyCycle(clock=clock)
    assert pace.wait_s(1.0) == 1.0
    with pace.looking():
        clock.now += 0.01
    assert pace.wait_s(1.0) == 1.0
    with pace.looking():
        clock.now += 2.0
    wait_s = pace.wait_s(1.0)
    assert 2.0 / (2.0 + wait_s) == pytest.approx(SHARE)
    with pace.looking():
        clock.now += 0.01
    assert pace.wait_s(1.0) == 1.0, "the crowd is over"


def test_a_look_that_fails_counts_as_well() -> None:
    clock = Clock()
    pace = DutyCycle(clock=clock)

    def look() -> None:
        with pace.looking():
            clock.now += 3.0
            raise ValueError("of a peer's making")

    with pytest.raises(ValueError, match="of a peer"):
        look()
    assert pace.wait_s(1.0) == pytest.approx(27.0)
