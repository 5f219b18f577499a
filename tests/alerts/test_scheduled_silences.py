"""Silences that were ordered in advance: their windows, who may end them, and how older agents read them."""

from typing import Annotated

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Meta, Struct

from notices import WALL
from peerscope.alerts.silences import FOR_S_MAX, parse_matchers, standing
from peerscope.errors import RemoteError
from peerscope.records.alerts import WINDOWS_MAX, Orders, Silence, SilenceWindow, aged
from peerscope.records.bodies import Kind, decode_body, encode_body
from peerscope.records.identity import PeerId
from peerscope.records.ledger import Ledger
from peerscope.views.snapshot import Snapshot, SnapshotConfig
from strategies import ORIGINS, unsigned

ONE, OTHER = ORIGINS[0], ORIGINS[3]
VALUES = {"rule": ("cpu-high",)}


def scheduled(*windows: tuple[float, float], name: str = "00112233") -> Silence:
    """(begins in, lasts) in seconds."""
    found = tuple(SilenceWindow(round(begin * 1000), round(for_s * 1000)) for begin, for_s in windows)
    return Silence(name, parse_matchers(["rule=cpu-*"]), 0, 0, "ann", "upgrade", found, "FREQ=DAILY", "Europe/Berlin")


def seen(*orders: tuple[PeerId, Orders], now: float = 0.0) -> Snapshot:
    ledger = Ledger()
    for peer, body in orders:
        ledger.merge(unsigned(peer, body, kind=Kind.ORDERS), body, 0.0)
    return Snapshot(ledger, ONE, now, SnapshotConfig(wall_offset_s=WALL, down_after_s=4.0))


@pytest.mark.parametrize(
    ("now", "holds"), [(0, False), (99, False), (100, True), (159, True), (160, False), (200, True), (260, False)]
)
def test_it_holds_within_its_windows_and_at_no_other_time(now: float, holds: bool) -> None:
    orders = standing(seen((OTHER, Orders((scheduled((100, 60), (200, 60)),))), now=now))
    assert (orders.silence(VALUES) is not None) is holds
    assert len(orders.planned) == holds
    assert len(orders.silences) + len(orders.scheduled) == (now < 260)


def test_it_shows_the_window_that_holds_or_the_next_one_with_rule_and_zone() -> None:
    body = Orders((scheduled((100, 60), (200, 60)),))
    (before,) = standing(seen((OTHER, body))).scheduled
    assert (before.begun_at, before.ends_at) == (WALL + 100, WALL + 160)
    assert before.windows == ((WALL + 100, WALL + 160), (WALL + 200, WALL + 260))
    assert (before.repeats, before.zone, before.peer_id) == ("FREQ=DAILY", "Europe/Berlin", OTHER.hex())
    (within,) = standing(seen((OTHER, body), now=150)).silences
    assert (within.begun_at, within.ends_at) == (WALL + 100, WALL + 160)
    (between,) = standing(seen((OTHER, body), now=170)).scheduled
    assert (between.begun_at, between.windows) == (WALL + 200, ((WALL + 200, WALL + 260),))


def test_anybody_can_end_it_and_the_order_of_arrival_does_not_matter() -> None:
    lift = Silence("00112233", parse_matchers(["rule=cpu-*"]), 0, 0, "bob", "no")
    orders = [(ONE, Orders((scheduled((0, 3600)),))), (OTHER, Orders((lift,)))]
    for known in (orders, orders[::-1]):
        found = standing(seen(*known, now=10))
        assert (found.silences, found.scheduled, found.lifted) == ((), (), {"00112233"})
    assert standing(seen(orders[0], now=10)).silences


def test_a_window_lasts_no_longer_than_a_silence_may() -> None:
    (found,) = standing(seen((OTHER, Orders((scheduled((0, 90 * 86_400)),))), now=1)).silences
    assert found.ends_at - found.begun_at == FOR_S_MAX


def test_a_record_that_is_issued_later_keeps_the_windows_where_they_are() -> None:
    body = aged(Orders((scheduled((100, 60)),)), 30_000)
    assert isinstance(body, Orders)
    assert body.silences[0].windows == (SilenceWindow(70_000, 60_000),)


def test_too_many_windows_are_refused_at_the_edge() -> None:
    body = Orders((scheduled(*((number * 100, 60) for number in range(WINDOWS_MAX + 1))),))
    with pytest.raises(RemoteError, match="malformed-body"):
        decode_body(Kind.ORDERS, encode_body(body))


class SilenceBefore(Struct, frozen=True, array_like=True):
    """As an agent without windows knows it."""

    id: str
    matchers: tuple[tuple[str, str], ...]
    begun_ms: Annotated[int, Meta(ge=0)]
    for_ms: int
    author: str
    reason: str


@given(st.lists(st.tuples(st.integers(-1000, 10**6), st.integers(1, 10**5)), min_size=1, max_size=WINDOWS_MAX))
def test_an_older_agent_takes_it_for_one_that_is_over(windows: list[tuple[int, int]]) -> None:
    data = encode_body(Orders((scheduled(*windows),)))
    old = msgspec.msgpack.decode(data, type=list[msgspec.Raw])
    (found,) = msgspec.msgpack.decode(old[0], type=tuple[SilenceBefore, ...])
    assert (found.begun_ms, found.for_ms) == (0, 0)
    assert decode_body(Kind.ORDERS, data) == Orders((scheduled(*windows),))
