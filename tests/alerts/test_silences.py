"""Silences and acknowledgements: what holds, for how long, and who may end it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from notices import WALL, alert, incident
from peerscope.alerts.notification import groups
from peerscope.alerts.silences import (
    FIELDS,
    FOR_S_MAX,
    StandingAcknowledgement,
    StandingOrders,
    alert_digest,
    fits,
    mark,
    mark_incidents,
    matches,
    order_key,
    parse_matchers,
    standing,
)
from peerscope.errors import ConfigError
from peerscope.records.alerts import ACKNOWLEDGED_MAX, ORDERS_MAX, Acknowledgement, Orders, Silence
from peerscope.records.bodies import Kind, body_bytes_max, decode_body, encode_body
from peerscope.records.identity import PeerId
from peerscope.records.ledger import Ledger
from peerscope.views.snapshot import Snapshot, SnapshotConfig
from strategies import ORIGINS, unsigned

ONE, OTHER = ORIGINS[0], ORIGINS[3]
HOUR_MS = 3_600_000


def silence(name: str = "00112233", *matchers: str, for_ms: int = HOUR_MS, begun_ms: int = 0) -> Silence:
    return Silence(name, parse_matchers(matchers or ("rule=cpu-*",)), begun_ms, for_ms, "ann@host", "maintenance")


def known(*orders: tuple[PeerId, Orders], at: float = 0.0) -> Ledger:
    ledger = Ledger()
    for peer, body in orders:
        ledger.merge(unsigned(peer, body, kind=Kind.ORDERS), body, at)
    return ledger


def seen(ledger: Ledger, now: float = 0.0) -> Snapshot:
    return Snapshot(ledger, ONE, now, SnapshotConfig(wall_offset_s=WALL, down_after_s=4.0))


def test_a_silence_holds_everywhere_until_it_ends() -> None:
    ledger = known((OTHER, Orders((silence(begun_ms=600_000),))), at=100.0)
    (holds,) = standing(seen(ledger, 100.0)).silences
    assert (holds.begun_at, holds.ends_at) == (WALL - 500, WALL + 3100)
    assert (holds.author, holds.reason, holds.peer_id) == ("ann@host", "maintenance", OTHER.hex())
    assert standing(seen(ledger, 3099.0)).silences
    assert not standing(seen(ledger, 3100.0)).silences


def test_anybody_can_end_a_silence_and_the_order_of_arrival_does_not_matter() -> None:
    orders = [(ONE, Orders((silence(),))), (OTHER, Orders((silence(for_ms=0),)))]
    assert not standing(seen(known(*orders), 1.0)).silences
    assert not standing(seen(known(*orders[::-1]), 1.0)).silences
    assert standing(seen(known(orders[0]), 1.0)).silences


def test_its_own_peer_ends_a_silence_by_listing_it_no_more() -> None:
    ledger = known((ONE, Orders((silence(),))))
    ledger.merge(unsigned(ONE, Orders(), 2, kind=Kind.ORDERS), Orders(), 1.0)
    assert not standing(seen(ledger, 1.0)).silences


def test_no_silence_lasts_longer_than_thirty_days() -> None:
    (holds,) = standing(seen(known((ONE, Orders((silence(for_ms=2**53 - 1),)))))).silences
    assert holds.ends_at == WALL + FOR_S_MAX


def test_only_orders_of_trusted_peers_count() -> None:
    ledger = known((ONE, Orders((silence(),))), (OTHER, Orders((silence("aabbccdd"),))))
    assert [s.id for s in standing(seen(ledger), lambda peer: peer == OTHER).silences] == ["aabbccdd"]


def test_all_matchers_must_fit_and_stars_stand_for_anything() -> None:
    def silenced(*matchers: str, **values: object) -> bool:
        orders = standing(seen(known((ONE, Orders((silence("00112233", *matchers),))))))
        (marked,) = mark([alert("cpu-high-aa", **values)], orders)  # type: ignore[arg-type]
        return marked.silenced_by == "00112233"

    assert silenced("rule=cpu-high")
    assert silenced("rule=cpu-*", "region=eu-*", "severity=high", "type=resource-*")
    assert silenced("id=cpu-high-aa")
    assert silenced("peer=" + "aa" * 32)
    assert silenced("peer=" + "a" * 10), "the short id that people see"
    assert silenced("peer=aa*")
    assert silenced("severity=*")
    assert not silenced("rule=cpu-*", "region=us-*")
    assert not silenced("rule=memory-*")
    assert not silenced("peer=" + "a" * 9)
    assert not silenced("region=eu-west", region=None)
    assert not silenced("peer=aa*", peer_id=None)


def test_a_field_of_a_newer_version_silences_nothing() -> None:
    assert not fits((("colour", "*"),), {"rule": ("cpu-high",)})


@given(st.text("ab*", max_size=8), st.text("ab", max_size=10))
def test_patterns_match_as_their_definition_says(pattern: str, text: str) -> None:
    def defined(pattern: str, text: str) -> bool:
        if not pattern:
            return not text
        if pattern[0] == "*":
            return any(defined(pattern[1:], text[n:]) for n in range(len(text) + 1))
        return bool(text) and text[0] == pattern[0] and defined(pattern[1:], text[1:])

    assert matches(pattern, text) == defined(pattern, text)


def test_a_hostile_pattern_costs_no_more_than_any_other() -> None:
    assert not matches("*a" * 31 + "*b", "a" * 64)  # a backtracking match would take years


@pytest.mark.parametrize(
    ("texts", "wish"),
    [
        (["cpu-high"], "FIELD=VALUE"),
        (["colour=red"], "one of id, type, rule, peer, region, severity"),
        (["rule="], "1 to 64"),
        (["rule=" + "x" * 65], "1 to 64"),
        (["rule=\x1b[31m"], "printable"),
        ([], "1 to 8"),
        (["rule=x"] * 9, "9 matchers"),
    ],
)
def test_a_matcher_that_is_none_is_told_with_the_mend(texts: list[str], wish: str) -> None:
    with pytest.raises(ConfigError, match=wish):
        parse_matchers(texts)


def test_matchers_are_read_as_people_write_them() -> None:
    assert parse_matchers(["rule = cpu-*", "region=a=b"]) == (("rule", "cpu-*"), ("region", "a=b"))
    assert {field for field, _ in parse_matchers(f"{field}=x" for field in FIELDS)} == set(FIELDS)


def test_an_acknowledgement_counts_for_the_time_the_alert_fires_now() -> None:
    ledger = known((OTHER, Orders((), (Acknowledgement("cpu-high-aa", 60_000, "bob@host"),))), at=100.0)
    orders = standing(seen(ledger, 100.0))
    before, after = alert(started_at=WALL + 30), alert(started_at=WALL + 60)
    assert [marked.acknowledged_by for marked in mark([before, after], orders)] == ["bob@host", None]


def test_of_two_acknowledgements_the_newer_one_is_shown() -> None:
    ledger = known(
        (ONE, Orders((), (Acknowledgement("cpu-high-aa", 9_000, "ann"),))),
        (OTHER, Orders((), (Acknowledgement("cpu-high-aa", 1_000, "bob"),))),
    )
    assert standing(seen(ledger)).acknowledgements["cpu-high-aa"].author == "bob"


def test_a_group_is_silent_when_all_that_fires_in_it_is() -> None:
    alerts = [alert("cpu-high-aa"), alert("memory-high-aa"), alert("old-aa", state="resolved")]
    pattern = incident("pattern-1", *alerts, names=("region-outage-eu-1",))

    def told(*orders: Orders) -> tuple[bool, bool]:
        found = standing(seen(known(*zip(ORIGINS, orders, strict=False))))
        (group,) = groups(mark(alerts, found), [pattern], found)
        assert [a.id for a in group.alerts] == ["cpu-high-aa", "memory-high-aa", "old-aa"]
        return group.silenced, group.acknowledged

    cpu, memory = silence("00000001", "rule=cpu-*"), silence("00000002", "rule=memory-*")
    assert told() == (False, False)
    assert told(Orders((cpu,))) == (False, False)
    assert told(Orders((cpu,)), Orders((memory,))) == (True, False)
    assert told(Orders((silence("00000003", "id=pattern-1"),))) == (True, False)
    assert told(Orders((), (Acknowledgement("pattern-1", 0, "ann"),))) == (False, True)
    acknowledged = tuple(Acknowledgement(a.id, 0, "ann") for a in alerts[:2])
    assert told(Orders((), acknowledged[:1])) == (False, False)
    assert told(Orders((), acknowledged)) == (False, True)


def test_alerts_stand_alone_or_in_one_incident_and_closed_incidents_speak_for_what_ended_in_them() -> None:
    alerts = [alert("a-1"), alert("b-1"), alert("c-1"), alert("d-1", state="resolved"), alert("e-1", state="pending")]
    a, b, _, d, _ = alerts
    incidents = [
        incident("open-1", a, alert("gone-1"), names=("region-1",)),
        incident("closed-1", b, d, state="closed", names=("region-1",)),
    ]
    found = {group.key: group for group in groups(alerts, incidents, StandingOrders(), url="https://peers.example")}
    assert sorted(found) == ["b-1", "c-1", "closed-1", "open-1"]
    assert found["b-1"].earlier_groups == (("closed-1", WALL), ("region-1", WALL))
    assert found["c-1"].earlier_groups == ()
    assert (found["open-1"].state, found["closed-1"].state) == ("firing", "resolved")
    assert {group.url for group in found.values()} == {"https://peers.example"}


def test_as_many_orders_as_a_peer_may_have_fit_into_its_record() -> None:
    body = Orders(tuple(silence(f"{n:08x}") for n in range(ORDERS_MAX)))
    data = encode_body(body)
    assert len(data) <= body_bytes_max(Kind.ORDERS)
    assert decode_body(Kind.ORDERS, data) == body


def test_an_acknowledged_incident_leaves_its_alerts_acknowledged_in_any_other_one() -> None:
    """An operator acknowledged the first two. The third came later, and so did the incident that holds all three."""
    first, second = alert("cpu-high-aa"), alert("cpu-high-bb")
    third = alert("cpu-high-cc", started_at=WALL + 60)
    known_alerts = tuple(alert_digest(one.id) for one in (first, second))
    given = Orders((), (Acknowledgement("pattern-1", 0, "ann", "", known_alerts),))
    found = standing(seen(known((ONE, given), at=10.0), 10.0))
    marked = mark([first, second, third], found)
    assert [one.acknowledged_by for one in marked] == ["ann", "ann", None]
    elsewhere = mark_incidents([incident("host-7", *marked[:2]), incident("host-8", *marked)], marked, found)
    assert [one.acknowledged_by for one in elsewhere] == ["ann", None]
    again = alert("cpu-high-aa", started_at=WALL + 600)
    assert mark([again], found)[0].acknowledged_by is None, "another time is not acknowledged"


def test_an_acknowledgement_of_an_earlier_release_holds_for_what_its_incident_held_then() -> None:
    """It names the incident alone: alerts that came later are not acknowledged."""
    first = alert("cpu-high-aa", incident="pattern-1")
    late = alert("cpu-high-bb", started_at=WALL + 60, incident="pattern-1")
    given = Orders((), (Acknowledgement("pattern-1", 0, "ann"),))
    found = standing(seen(known((ONE, given), at=10.0), 10.0))
    marked = mark([first, late], found)
    assert [one.acknowledged_by for one in marked] == ["ann", None]
    assert mark_incidents([incident("pattern-1", first)], [first], found)[0].acknowledged_by == "ann"
    assert mark_incidents([incident("pattern-1", *marked)], marked, found)[0].acknowledged_by is None


def test_the_alerts_of_a_large_incident_fit_into_one_acknowledgement() -> None:
    many = tuple(alert_digest(f"peer-down-{n}") for n in range(ACKNOWLEDGED_MAX))
    body = Orders((), (Acknowledgement("k" * 64, 0, "a" * 64, "r" * 160, many),))
    data = encode_body(body)
    assert decode_body(Kind.ORDERS, data) == body
    assert len(data) * 4 < body_bytes_max(Kind.ORDERS), "four of the largest fit, beside other orders"


def test_an_id_too_long_for_a_record_is_acknowledged_under_a_short_form_that_all_find_alike() -> None:
    long, other = "region-outage-" + "x" * 64 + "-1", "region-outage-" + "x" * 64 + "-2"
    assert len(order_key(long)) == 64 != len(long)
    assert order_key(long) != order_key(other)
    assert order_key("cpu-high-aa") == "cpu-high-aa"
    known = StandingAcknowledgement(order_key(long), WALL, "ann", "", "aa" * 32)
    orders = StandingOrders((), {known.key: known})
    assert orders.acknowledgement(long, WALL) is known
    assert orders.acknowledgement(other, WALL) is None
