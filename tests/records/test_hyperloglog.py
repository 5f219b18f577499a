"""HyperLogLog: estimates within its error, and unions that count nobody twice."""

from hypothesis import given
from hypothesis import strategies as st

from peerscope.records.hyperloglog import REGISTERS, estimate, merged, registers


def ids(start: int, end: int) -> list[bytes]:
    return [number.to_bytes(32, "big") for number in range(start, end)]


def test_an_empty_set_has_nobody() -> None:
    assert estimate(registers([])) == 0.0


def test_estimates_are_within_three_standard_errors() -> None:
    for count in (1, 10, 100, 1_000, 20_000):
        assert abs(estimate(registers(ids(0, count))) - count) <= max(1, 0.39 * count)


def test_a_peer_in_two_sets_is_one_peer() -> None:
    one, other = registers(ids(0, 600)), registers(ids(300, 900))
    assert merged([one, other]) == registers(ids(0, 900))


@given(st.binary(min_size=REGISTERS, max_size=REGISTERS))
def test_whatever_registers_a_peer_tells_there_is_an_estimate(told: bytes) -> None:
    assert estimate(told) >= 0
    assert merged([told, told]) == told
