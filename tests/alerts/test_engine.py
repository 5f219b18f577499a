"""The engine: which rules run where, what becomes a record and when, and how aggregators take over from each other."""

from collections.abc import Iterable
from itertools import pairwise
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from ledgers import Book, lose, meshed
from peerscope.alerts.aggregators import aggregators
from peerscope.alerts.alert_list import AlertList
from peerscope.alerts.engine import LARGE_EVERY_S, LINGER_S, NOTHING, REPEAT_S, AlertEngine, Findings
from peerscope.alerts.model import ConditionReading
from peerscope.alerts.notification_log import SentNotice
from peerscope.alerts.own_signals import Own
from peerscope.alerts.rules import Rule, default_rules
from peerscope.mesh.events import Publish
from peerscope.records.alerts import Alerts, Severity, Statement
from peerscope.records.bodies import ALERTS_BYTES_MAX, Check, Kind, Profile, Status, decode_body, encode_body
from peerscope.records.identity import ref
from peerscope.records.measures import Metrics, NodeMetrics, PerformanceMetrics, SystemMetrics

BUSY = Own(metrics=Metrics(SystemMetrics(cpu=9_700)), linked=8)
CALM = Own(metrics=Metrics(SystemMetrics(cpu=1_000)), linked=8)


def said(news: Publish | None) -> Alerts:
    assert news is not None
    assert isinstance(news.body, Alerts)
    return news.body


def ranked(book: Book, now: float = 1.0, peers: int = 10) -> list[int]:
    """Peers by rank, the eligible ones."""
    by_id = {book[number]: number for number in range(peers)}
    return [by_id[peer] for peer in aggregators(book.snapshot(now)).eligible]


class Office:
    """Engines of some peers over one ledger: what each publishes all hear at once."""

    def __init__(self, book: Book, numbers: Iterable[int], rules: Iterable[Rule] | None = None) -> None:
        self.book = book
        chosen = None if rules is None else tuple(rules)
        self.engines = {number: AlertEngine(book[number], chosen) for number in numbers}
        self.alert_list = AlertList(chosen)

    def pass_time(self, start: int, end: int) -> None:
        for now in range(start, end):
            for number, engine in self.engines.items():
                news = engine.update(self.book.snapshot(float(now), number), CALM, NOTHING, float(now))
                if news is not None:
                    self.book.say(number, news.body, at=float(now))
            self.alert_list.update(self.book.snapshot(float(now)))

    def active(self) -> list[str]:
        return [alert.id for alert in self.alert_list.alerts(active_only=True)]


def test_a_busy_peer_says_so_once_and_urgently_and_again_when_it_is_over() -> None:
    book, engine = meshed(10), AlertEngine(meshed(10)[9])
    news = [engine.update(book.snapshot(float(now), 9), BUSY, NOTHING, float(now)) for now in range(40)]
    assert [now for now, one in enumerate(news) if one is not None] == [30]
    (statement,) = said(news[30]).statements
    assert news[30].urgent
    assert (statement.rule, statement.subject, statement.firing_ms) == ("cpu-high", "", 0)
    assert statement.text == "97% of all cores busy"
    news = [engine.update(book.snapshot(float(now), 9), CALM, NOTHING, float(now)) for now in range(40, 80)]
    assert [now for now, one in enumerate(news, 40) if one is not None] == [70]
    assert said(news[30]).statements[0].resolved_ms == 0
    assert news[30].urgent


def test_what_is_slight_is_not_urgent() -> None:
    slight = replace(next(rule for rule in default_rules() if rule.name == "cpu-high"), severity="medium", for_s=0.0)
    book, engine = meshed(10), AlertEngine(meshed(10)[9], [slight])
    news = engine.update(book.snapshot(1.0, 9), BUSY, NOTHING, 1.0)
    assert said(news).statements
    assert not news.urgent


def test_a_disabled_rule_is_not_looked_at() -> None:
    off = [replace(rule, enabled=False) for rule in default_rules()]
    book, engine = meshed(10), AlertEngine(meshed(10)[9], off)
    assert all(engine.update(book.snapshot(float(n), 9), BUSY, NOTHING, float(n)) is None for n in range(100))


def test_changed_rules_count_from_the_next_look_on_and_one_that_is_gone_is_stated_no_more() -> None:
    rule = replace(next(rule for rule in default_rules() if rule.name == "cpu-high"), for_s=0.0, clear_for_s=0.0)
    book, engine = meshed(10), AlertEngine(meshed(10)[9], [rule])
    (statement,) = said(engine.update(book.snapshot(1.0, 9), BUSY, NOTHING, 1.0)).statements
    assert statement.severity == rule.rank
    engine.use([replace(rule, severity="critical")])
    (statement,) = said(engine.update(book.snapshot(2.0, 9), BUSY, NOTHING, 2.0)).statements
    assert (statement.severity, statement.resolved_ms) == (Severity.CRITICAL, None)
    engine.use([replace(rule, above=0.98, clear=None)])
    (statement,) = said(engine.update(book.snapshot(3.0, 9), BUSY, NOTHING, 3.0)).statements
    assert statement.resolved_ms == 0
    engine.use([])
    assert said(engine.update(book.snapshot(4.0, 9), BUSY, NOTHING, 4.0)).statements == ()


def test_only_aggregators_speak_of_others() -> None:
    book = meshed(10)
    at = int(lose(book, 9, range(9)))
    office = Office(book, range(9))
    office.pass_time(at, at + 8)
    speakers = {n for n in range(9) if (e := book.ledger.get(book[n], Kind.ALERTS)) and e.body.statements}
    assert speakers == set(ranked(book, at + 1.0)[:3])
    assert office.active() == [f"peer-down-{ref(book[9]).hex()}"]
    (alert,) = office.alert_list.alerts()
    assert set(alert.confirmed_by) == {book[n].hex() for n in range(9)}


def test_an_aggregator_that_dies_is_followed_without_a_gap_or_a_second_alert() -> None:
    """Its successor states at once, and with their time, what the two that are left state."""
    book = meshed(10)
    at = int(lose(book, 9, range(9)))
    slow = [replace(rule, for_s=20.0) if rule.name == "peer-down" else rule for rule in default_rules()]
    office = Office(book, range(9), slow)
    office.pass_time(at, at + 25)
    (alert,) = office.alert_list.alerts(active_only=True)
    first, second, third, fourth = ranked(book, at + 1.0)[:4]
    for number in (n for n in range(9) if n != first):
        book.accuse(number, [9, first], at=at + 26.0, silence_s=6.0)
        book.report(number, *(n for n in range(9) if n not in (number, first)), at=at + 26.0)
    del office.engines[first]
    office.pass_time(at + 26, at + 34)
    entry = book.ledger.get(book[fourth], Kind.ALERTS)
    fires = next(one for one in entry.body.statements if one.subject == ref(book[9]).hex())
    assert entry.heard_at - fires.firing_ms / 1000 == pytest.approx(at + 20.0)
    (still,) = [one for one in office.alert_list.alerts(active_only=True) if one.id == alert.id]
    assert still.started_at == alert.started_at
    assert set(still.stated_by) == {book[n].hex() for n in (second, third, fourth)}


def test_a_new_aggregator_does_not_take_over_what_a_single_one_states() -> None:
    book = meshed(10)
    liar, _, third = ranked(book)[:3]
    at = lose(book, 9, range(9))
    book.say(liar, Alerts((Statement("peer-down", ref(book[9]).hex(), Severity.HIGH, 10**6),)), at=at)
    slow = [replace(rule, for_s=60.0) for rule in default_rules() if rule.name == "peer-down"]
    engine = AlertEngine(book[third], slow)
    assert engine.update(book.snapshot(at, third), CALM, NOTHING, at) is None


def test_one_that_ceases_to_be_an_aggregator_goes_on_for_a_while_and_then_says_nothing() -> None:
    book = meshed(10)
    at = int(lose(book, 9, range(9)))
    first = ranked(book, at + 1.0)[0]
    office = Office(book, [first])
    office.pass_time(at, at + 6)
    for now in range(at + 6, at + 6 + int(LINGER_S) + 4):
        for number in range(9):
            worst = Status.UNHEALTHY if number == first else Status.HEALTHY
            book.report(number, *(n for n in range(9) if n != number), worst=worst, at=float(now))
        office.pass_time(now, now + 1)
        if now == at + 6 + int(LINGER_S) - 3:
            assert book.ledger.get(book[first], Kind.ALERTS).body.statements
    assert book.ledger.get(book[first], Kind.ALERTS).body == Alerts()


def test_a_partition_is_one_alert_under_one_name_while_it_grows_and_nobody_in_it_is_down() -> None:
    book = meshed(12)
    office = Office(book, range(7))
    lost = [11, 10, 9, 8]
    for number in range(7):
        book.report(number, *(n for n in range(8) if n != number), at=6.0)
        book.accuse(number, lost, at=6.0, silence_s=5.0)
    office.pass_time(6, 16)
    (name,) = office.active()
    assert name.startswith("network-partition-group-")
    for number in range(7):
        book.report(number, *(n for n in range(7) if n != number), at=17.0)
        book.accuse(number, [*lost, 7], at=17.0, silence_s=16.0)
    office.pass_time(17, 30)
    assert office.active() == [name]
    (alert,) = office.alert_list.alerts()
    assert alert.metadata["peers"] == "5"
    assert alert.peer_id is None


def test_findings_run_under_their_own_name_and_carry_their_type() -> None:
    book, engine = meshed(10), AlertEngine(meshed(10)[9])
    found = ConditionReading(rule="flood", severity=Severity.CRITICAL, text="9,000 messages a second", confidence=0.9)
    (statement,) = said(engine.update(book.snapshot(1.0, 9), CALM, Findings(own=(found,)), 1.0)).statements
    assert (statement.rule, statement.severity, statement.confidence) == ("flood", Severity.CRITICAL, 9_000)
    assert ("type", "security-threat") in statement.metadata


def test_findings_about_others_need_two_aggregators_as_everything_about_others_does() -> None:
    book = meshed(10)
    first, second = ranked(book)[:2]
    found = Findings(network=(ConditionReading(rule="sybil", subject=ref(book[5]).hex(), severity=Severity.HIGH),))
    board = AlertList()
    for number, expected in ((first, 0), (second, 1)):
        news = AlertEngine(book[number]).update(book.snapshot(1.0, number), CALM, found, 1.0)
        book.say(number, said(news), at=1.0)
        board.update(book.snapshot(1.0))
        assert len(board.alerts(active_only=True)) == expected
    assert board.alerts()[0].type == "security-threat"


def test_a_message_that_was_sent_is_told_at_once() -> None:
    book, engine = meshed(4), AlertEngine(meshed(4)[3])
    assert engine.record(1.0) is None
    engine.notices = [SentNotice("peer-down-00/firing", 0.5, Severity.HIGH)]
    news = engine.update(book.snapshot(1.0, 3), CALM, NOTHING, 1.0)
    assert said(news).notices[0].sent_ms == 500
    assert news.urgent
    assert engine.record(2.0) is None


def test_a_large_record_goes_out_at_most_every_other_second() -> None:
    book, engine = meshed(10), AlertEngine(meshed(10)[9])
    times = []
    for step in range(100):
        now = 1.0 + step / 10
        found = tuple(
            ConditionReading(rule=f"made-{n}", severity=Severity.HIGH, text="x" * 150) for n in range(40 + step)
        )
        if engine.update(book.snapshot(now, 9), CALM, Findings(own=found), now):
            times.append(now)
    assert len(times) > 3
    assert all(later - earlier >= LARGE_EVERY_S - 1e-6 for earlier, later in pairwise(times))


def test_a_stop_of_the_process_fires_nothing() -> None:
    book, engine = meshed(10), AlertEngine(meshed(10)[9])
    engine.update(book.snapshot(1.0, 9), BUSY, NOTHING, 1.0)
    assert engine.update(book.snapshot(60.0, 9), BUSY, NOTHING, 60.0) is None
    assert engine.update(book.snapshot(61.0, 9), CALM, NOTHING, 61.0) is None


def test_storage_is_judged_by_the_check_which_knows_what_is_reserved() -> None:
    book, engine = meshed(10), AlertEngine(meshed(10)[9])
    full = Own(checks=(Check(0), Check(0), Check(2, 9_700), Check(0)), linked=8)
    news = [engine.update(book.snapshot(float(n), 9), full, NOTHING, float(n)) for n in range(31)]
    assert [s.rule for s in said(news[30]).statements] == ["storage-high"]


@given(st.integers(0, 2**32), st.integers(1, 600))
def test_a_record_is_always_within_its_bounds_and_keeps_the_gravest(seed: int, count: int) -> None:
    rng, book = Random(seed), meshed(2)
    engine = AlertEngine(book[1])
    found = tuple(
        ConditionReading(
            rule=f"made-{number}",
            severity=Severity(rng.randrange(4)),
            text="\x00é" * rng.randrange(200),
            metadata=tuple(("\n" * 70, "y" * rng.randrange(90)) for _ in range(rng.randrange(12))),
            confirmed_by=tuple(book[0] for _ in range(rng.randrange(30))),
            confidence=rng.uniform(-1, 2),
        )
        for number in range(count)
    )
    engine.notices = [SentNotice("n" * 80, float(number), Severity.LOW) for number in range(rng.randrange(300))]
    body = said(engine.update(book.snapshot(400.0, 1), CALM, Findings(own=found), 400.0))
    data = encode_body(body)
    assert len(data) <= ALERTS_BYTES_MAX
    assert decode_body(Kind.ALERTS, data) == body
    assert len(body.statements) + body.omitted == count
    kept = sorted((statement.severity for statement in body.statements), reverse=True)
    assert kept == sorted((int(one.severity) for one in found), reverse=True)[: len(kept)]


def test_a_zone_of_its_own_has_its_own_aggregators() -> None:
    book = meshed(10)
    for number in (7, 8):
        book.say(number, Profile((), "eu", "1.0", 0, zone="far"), at=1.0)
    engine = AlertEngine(book[7])
    engine.update(book.snapshot(2.0, 7), CALM, NOTHING, 2.0)
    assert engine.is_acting


def test_an_alert_that_stands_is_published_again_before_newcomers_would_refuse_it() -> None:
    book = meshed(3)
    engine = AlertEngine(book[0])
    published: list[int] = []
    for now in range(0, 3 * round(REPEAT_S), 9):
        news = engine.update(book.snapshot(float(now), 0), BUSY, NOTHING, float(now))
        if news is not None:
            published.append(now)
            (statement,) = said(news).statements
            assert 0 <= statement.firing_ms / 1000 - (now - published[0]) < 9  # it began between two looks
    assert [round((later - earlier) / REPEAT_S, 2) for earlier, later in pairwise(published)] == [1.0, 1.0]


def test_where_nothing_stands_nothing_is_published_again() -> None:
    book = meshed(3)
    engine = AlertEngine(book[0])
    news = [
        engine.update(book.snapshot(float(t), 0), CALM, NOTHING, float(t)) for t in range(0, 2 * round(REPEAT_S), 9)
    ]
    assert set(news) == {None}


def test_a_node_that_is_attached_is_not_compared_with_the_traffic_of_the_mesh() -> None:
    """Ten minutes of a busy mesh, then a node with a tenth of it: no traffic has fallen."""
    book = meshed(3)
    rule = next(rule for rule in default_rules() if rule.name == "throughput-drop")

    def fires(node: NodeMetrics | None) -> bool:
        engine, found = AlertEngine(book[0], [rule]), []
        for now in range(0, 1200, 5):
            mesh = Metrics(performance=PerformanceMetrics(None, None, 100_000))
            late = Metrics(node=node, performance=PerformanceMetrics(None, None, 10_000))
            own = Own(metrics=mesh if now < 900 else late, linked=8)
            found.append(engine.update(book.snapshot(float(now), 0), own, NOTHING, float(now)))
        return any(news is not None for news in found)

    assert fires(None)
    assert not fires(NodeMetrics())
