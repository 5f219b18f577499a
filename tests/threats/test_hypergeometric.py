"""The hypergeometric distribution."""

import pytest

from peerscope.threats.hypergeometric import hypergeometric_tail


def test_the_tail_of_the_hypergeometric_distribution_is_right() -> None:
    """Lady tasting tea (Fisher 1935): all four of eight cups right by chance, once in seventy."""
    assert hypergeometric_tail(4, 4, 4, 8) == pytest.approx(1 / 70)
    assert hypergeometric_tail(3, 4, 4, 8) == pytest.approx(17 / 70)
    assert hypergeometric_tail(0, 4, 4, 8) == hypergeometric_tail(8, 8, 29, 29) == 1.0
    assert hypergeometric_tail(7, 8, 6, 29) == 0.0
