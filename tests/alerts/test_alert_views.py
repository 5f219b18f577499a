"""Texts of alerts by the evidence of now: what holds is counted anew, what is over says so, what is unknown stays."""

import pytest
from msgspec.structs import replace

from ledgers import Book, lose, meshed
from peerscope.alerts.alert_record import body
from peerscope.alerts.alert_views import describe_now
from peerscope.alerts.conditions import Conditions
from peerscope.alerts.model import Alert, ConditionReading
from peerscope.alerts.rules import Rule, default_rules
from peerscope.alerts.subjects import anchor_name
from peerscope.views.regions import RegionConfig, RegionHealth, region_health
from peerscope.views.snapshot import Snapshot

RULES = {rule.name: rule for rule in default_rules()}
STALE = "11 of 12 observers no longer hear somebody"


def stated(rule: str, subject: str, **fields: object) -> Alert:
    """An alert in the words of a minute ago."""
    alert = Alert(
        id=f"{rule}-{subject}",
        type=RULES[rule].type,
        rule=rule,
        severity="high",
        title="",
        description=STALE,
        peer_id=None,
        region=None,
        state="firing",
        started_at=0.0,
        described_at=1.0,
    )
    return replace(alert, **fields)


def regions(snapshot: Snapshot) -> list[RegionHealth]:
    return region_health(snapshot, RegionConfig(), 4)


def now(alert: Alert, snapshot: Snapshot) -> Alert:
    (told,) = describe_now([alert], snapshot, RULES, lambda: regions(snapshot))
    return told


def test_who_misses_a_peer_is_counted_anew() -> None:
    book = meshed(4)
    told = now(stated("peer-down", book[0].hex()[:16]), book.snapshot(lose(book, 0, [1, 2, 3])))
    assert told.description.startswith("3 of 3 observers no longer hear")
    assert set(told.confirmed_by) == {book[n].hex() for n in (1, 2, 3)}
    assert (told.clearing, told.described_at) == (False, None)


def test_a_peer_that_is_only_suspected_is_not_down_and_its_accusers_are_counted() -> None:
    book = meshed(5)
    at = lose(book, 0, [1, 2], silence_s=5.0)
    for number in (3, 4):
        book.report(number, 0, at=at)
    snapshot = book.snapshot(at)
    assert snapshot.verdict(book[0]).value == "suspect"
    told = now(stated("peer-down", book[0].hex()[:16]), snapshot)
    assert told.clearing
    assert told.description.startswith("over for now")
    assert "2 of 4 observers no longer hear" in told.description


def test_a_group_has_its_present_size_also_when_its_namesake_is_back() -> None:
    book = meshed(9)
    lost, living = [1, 2, 3, 4], [0, 5, 6, 7, 8]
    at = 6.0
    for number in living:
        book.report(number, *(other for other in living if other != number), at=at)
        book.accuse(number, lost, at=at, silence_s=5.0)
    snapshot = book.snapshot(at)
    assert [len(group.peers) for group in snapshot.partitions] == [4]
    for namesake in (1, 8):
        told = now(stated("network-partition", anchor_name(book[namesake])), snapshot)
        assert (told.description, told.clearing) == ("4 peers fell silent together", False)
        assert set(told.confirmed_by) == {book[number].hex() for number in living}


@pytest.mark.parametrize("rule", ["peer-down", "network-partition"])
def test_of_a_peer_that_lives_it_is_over_and_no_old_count_stays(rule: str) -> None:
    book = meshed(4)
    subject = book[0].hex()[:16] if rule == "peer-down" else anchor_name(book[0])
    told = now(stated(rule, subject), book.snapshot(1.0))
    assert told.clearing
    assert told.description == f"over for now; the alert ends once that has lasted {RULES[rule].clear_for_s:g} s"
    assert told.state == "firing"


def test_a_region_has_the_counts_of_its_peers_whether_it_is_critical_or_not() -> None:
    book = meshed(4)
    alert = stated("region-critical", "eu", region="eu")
    well = now(alert, book.snapshot(1.0))
    assert well.clearing
    assert "4 of 4 peers healthy, 0 degraded, 0 unhealthy, 0 down" in well.description
    at = lose(book, 0, [1, 2, 3])
    for number in (1, 2):
        book.accuse(3, [0, number], at=at, silence_s=5.0)
    snapshot = book.snapshot(at)
    (eu,) = regions(snapshot)
    told = now(alert, snapshot).description
    assert f"{eu.healthy_peers} of 4 peers healthy" in told
    assert f"{eu.unhealthy_peers} unhealthy, {eu.down_peers} down" in told
    assert now(replace(alert, id="region-critical-us", region="us"), snapshot).clearing  # nobody is left there


@pytest.mark.parametrize(
    ("rule", "subject", "fields"),
    [
        ("peer-down", "0123456789abcdef", {}),  # nobody here knows it
        ("peer-down", "no peer at all", {}),
        ("network-partition", "group-0123456789abcdef", {}),
        ("cpu-high", "0123456789abcdef", {}),  # its own business
        ("peer-down", "", {"state": "resolved", "resolved_at": 5.0}),
    ],
)
def test_what_is_not_known_here_and_what_has_ended_keep_their_words(
    rule: str, subject: str, fields: dict[str, object]
) -> None:
    alert = stated(rule, subject, **fields)
    assert now(alert, meshed(4).snapshot(1.0)) is alert


def test_a_rule_that_this_peer_does_not_have_is_left_alone() -> None:
    alert = stated("peer-down", Book()[0].hex()[:16])
    assert describe_now([alert], meshed(4).snapshot(1.0), {}, list) == [alert]


OWN = Rule(name="full", type="x", signal="storage_ratio", above=0.9, clear_for_s=20.0, severity="low", title="full")


def test_a_statement_has_the_newest_numbers_and_says_when_they_are_of_the_past() -> None:
    conditions = Conditions()
    conditions.observe(OWN, [ConditionReading(0.95, text="95 %")], 0.0)
    conditions.observe(OWN, [ConditionReading(0.95, text="95 %")], 1.0)
    revision = conditions.revision
    conditions.observe(OWN, [ConditionReading(0.99, text="99 %")], 2.0)
    assert conditions.revision == revision  # another number alone is no reason for another record
    (said,) = body(list(conditions), (), {OWN.name}, 2.0).statements
    assert said.text == "99 %"
    conditions.observe(OWN, [ConditionReading(0.5, text="50 %")], 3.0)
    (said,) = body(list(conditions), (), {OWN.name}, 4.0).statements
    assert (said.text, said.resolved_ms) == ("over for now; it was: 99 %", None)
    conditions.observe(OWN, [ConditionReading(0.5, text="50 %")], 30.0)
    (said,) = body(list(conditions), (), {OWN.name}, 30.0).statements
    assert said.text == "99 %"
    assert said.resolved_ms is not None
