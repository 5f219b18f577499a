"""Orders to forget: which of them counts, and how many are looked at."""

from collections.abc import Iterable

from hypothesis import given
from hypothesis import strategies as st

from peerscope.mesh.membership.forgetting import STANDING_MAX, STANDS_S, latest_orders
from peerscope.records.alerts import ORDERS_MAX, Forget, Orders
from peerscope.records.identity import PeerId
from peerscope.records.ledger import Ledger
from strategies import ORIGINS, unsigned

NOW = 1_000_000.0
SUBJECTS = [PeerId(bytes((number,)) * 32) for number in range(3)]


def world(said: Iterable[tuple[PeerId, Iterable[Forget]]]) -> Ledger:
    """What these peers order, all of it issued now."""
    ledger = Ledger()
    for origin, orders in said:
        body = Orders(forgotten=tuple(orders))
        ledger.merge(unsigned(origin, body, 1), body, NOW)
    return ledger


def forget(subject: PeerId, until: int, age_s: float = 0.0, *, is_lifted: bool = False) -> Forget:
    return Forget(subject, until, round(age_s * 1000), "ann", "", is_lifted)


def until(ledger: Ledger, subject: PeerId = SUBJECTS[0], *, obeyed: Iterable[PeerId] = ORIGINS) -> int | None:
    order = latest_orders(ledger, NOW, lambda by: by in set(obeyed)).get(subject)
    return None if order is None or order.is_lifted else order.until


def test_the_latest_order_about_a_peer_counts_whoever_gave_it() -> None:
    one, other, *_ = ORIGINS
    ledger = world([(one, [forget(SUBJECTS[0], 99, 60.0)]), (other, [forget(SUBJECTS[0], 17, 30.0)])])
    assert until(ledger) == 17
    assert until(ledger, obeyed=[one]) == 99
    assert until(ledger, obeyed=[]) is None
    assert until(ledger, SUBJECTS[1]) is None


def test_an_order_is_taken_back_by_a_later_one_and_not_by_an_earlier_one() -> None:
    one, other, *_ = ORIGINS
    for lifted_age_s, expected in ((10.0, None), (100.0, 17)):
        lifted = forget(SUBJECTS[0], 0, lifted_age_s, is_lifted=True)
        assert until(world([(one, [forget(SUBJECTS[0], 17, 60.0)]), (other, [lifted])])) == expected


def test_an_order_ends_after_a_week() -> None:
    one, *_ = ORIGINS
    assert until(world([(one, [forget(SUBJECTS[0], 17, STANDS_S - 1.0)])])) == 17
    assert until(world([(one, [forget(SUBJECTS[0], 17, STANDS_S + 1.0)])])) is None


def test_only_so_many_orders_are_looked_at_and_the_latest_of_them() -> None:
    origins = [PeerId(bytes((number,)) * 32) for number in range(1, 30)]
    subjects = [PeerId(number.to_bytes(32, "big")) for number in range(len(origins) * ORDERS_MAX)]
    said = [
        (origin, [forget(peer, 1, 10.0 * place) for peer in subjects[place * ORDERS_MAX :][:ORDERS_MAX]])
        for place, origin in enumerate(origins)
    ]
    found = latest_orders(world(said), NOW, lambda by: True)
    assert set(found) == set(subjects[:STANDING_MAX])


orders = st.builds(
    forget, st.sampled_from(SUBJECTS), st.integers(0, 2**53 - 1), st.integers(0, 10**6), is_lifted=st.booleans()
)
books = st.lists(
    st.tuples(st.sampled_from(ORIGINS), st.lists(orders, max_size=5)), max_size=5, unique_by=lambda b: b[0]
)


@given(books, st.data())
def test_who_is_forgotten_does_not_depend_on_the_order_of_arrival(
    said: list[tuple[PeerId, list[Forget]]], data: st.DataObject
) -> None:
    one, other = world(said), world(data.draw(st.permutations(said)))
    assert latest_orders(one, NOW, lambda by: True) == latest_orders(other, NOW, lambda by: True)
