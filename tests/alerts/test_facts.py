"""The facts and words of an alert are those of its author, and the same at every peer that shows it."""

from collections.abc import Sequence

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from ledgers import WALL_S, Book, meshed
from peerscope.alerts.aggregators import aggregators
from peerscope.alerts.alert_list import AlertList
from peerscope.alerts.engine import NOTHING, AlertEngine, Findings
from peerscope.alerts.facts import UNITS, merged, number
from peerscope.alerts.model import FACTS, Alert, ConditionReading, page_path
from peerscope.alerts.network_signals import NETWORK_SIGNALS
from peerscope.alerts.own_signals import OWN_SIGNALS, Own
from peerscope.alerts.rules import FINDING, Rule, default_rules, parse_rules
from peerscope.records.alerts import METADATA_MAX, Alerts, Severity, Statement
from peerscope.records.bodies import ALERTS_BYTES_MAX, Kind, decode_body, encode_body
from peerscope.records.identity import ref
from peerscope.records.measures import Metrics, SystemMetrics
from peerscope.records.texts import Number
from peerscope.threats.findings import finding, from_alert, readings
from peerscope.threats.signatures import Signature, packaged_wordings

ME = 9
QUIET = replace(next(rule for rule in default_rules() if rule.name == "cpu-high"), for_s=0.0, clear_for_s=0.0)
MORE = """[cpu-warm]
type = "heat"
signal = "cpu_ratio"
above = 0.5
severity = "low"
title = "It is warm"
runbook = "Open a window."
"""
FAN = Signature(name="fan", signal="dht_puts", title="The fan is loud", above={"high": 3.0}, runbook="Clean it.")


def busy(cpu: int = 9_700) -> Own:
    return Own(metrics=Metrics(SystemMetrics(cpu=cpu)), linked=8)


def stated(book: Book, own: Own, rules: Sequence[Rule], found: Findings = NOTHING) -> None:
    """What peer 9 publishes under these rules."""
    news = AlertEngine(book[ME], rules).update(book.snapshot(1.0, ME), own, found, 1.0)
    assert news is not None
    book.say(ME, news.body, at=1.0)


def shown(book: Book, rules: Sequence[Rule] | None = None) -> Alert:
    """The one alert, as a peer with these rules shows it two seconds later."""
    board = AlertList(rules, packaged_wordings())
    board.update(book.snapshot(3.0))
    (alert,) = board.alerts()
    return alert


def words(alert: Alert) -> tuple[object, ...]:
    return alert.type, alert.title, alert.runbook, alert.metadata, alert.url, alert.severity


def test_every_alert_has_its_facts_from_its_author_whatever_the_limits_of_the_reader() -> None:
    book = meshed(10)
    stated(book, busy(), [replace(QUIET, above=0.8, clear=None, for_s=0.0)])
    alert = shown(book)
    assert alert.metadata == {
        "value": "0.97",
        "threshold": "0.8",
        "unit": "ratio",
        "for_s": "0",
        "since": "2023-11-14T22:13:21Z",
    }
    assert tuple(alert.metadata) == FACTS
    assert words(alert) == words(shown(book, [replace(QUIET, above=0.99, clear=None)]))
    assert alert.url == f"/#alert=cpu-high-{ref(book[ME]).hex()}"


def test_a_rule_of_one_operator_has_its_words_everywhere() -> None:
    book, own_rules = meshed(10), parse_rules(MORE, "more")
    stated(book, busy(), own_rules)
    alert = shown(book)
    assert (alert.title, alert.runbook, alert.metadata["unit"]) == ("It is warm", "Open a window.", "ratio")
    assert words(alert) == words(shown(book, own_rules))


def test_a_long_runbook_of_one_operator_is_cut_alike_where_it_was_written() -> None:
    book, own_rules = meshed(10), parse_rules(MORE.replace("Open a", "Open a" * 80), "more")
    stated(book, busy(), own_rules)
    assert words(shown(book)) == words(shown(book, own_rules))
    assert 0 < len(shown(book).runbook) <= 160


def test_a_changed_title_of_a_packaged_rule_is_for_the_peer_that_changed_it() -> None:
    book = meshed(10)
    stated(book, busy(), [replace(QUIET, title="Call Ann")])
    assert shown(book).title == QUIET.title


@pytest.mark.parametrize("name", sorted(packaged_wordings()))
def test_every_packaged_detection_has_its_words_at_peers_that_did_not_find_it(name: str) -> None:
    book = meshed(10)
    stated(book, busy(0), default_rules(), Findings(own=(ConditionReading(rule=name, text="seen"),)))
    alert, wording = shown(book), packaged_wordings()[name]
    assert (alert.type, alert.title, alert.runbook) == ("security-threat", wording.title, wording.runbook)
    assert set(alert.metadata) == set(FACTS)


@pytest.mark.parametrize("signature", [FAN, msgspec.structs.replace(FAN, name="sybil", title="Too many fans")])
def test_a_detection_of_one_operator_has_its_words_everywhere(signature: Signature) -> None:
    book = meshed(10)
    evidence = (("value", "7"), ("limit", "3"), ("window_s", "60"), ("samples", "7"))
    one = finding(signature, book[ME], confidence=0.9, text="7 puts", evidence=evidence)
    stated(book, busy(0), default_rules(), Findings(own=tuple(readings([one]))))
    alert = shown(book)
    assert (alert.title, alert.runbook) == (signature.title, "Clean it.")
    assert [alert.metadata[name] for name in ("value", "threshold", "unit", "limit")] == ["7", "3", "puts", "3"]
    there = from_alert(alert)
    assert (there.title, there.runbook, there.unit) == (one.title, one.runbook, one.unit)
    assert dict(there.evidence) == dict(one.evidence)


def test_a_detection_with_all_its_evidence_keeps_it_beside_its_type_and_title() -> None:
    book = meshed(10)
    evidence = tuple((f"name-{number}", "x" * 64) for number in range(METADATA_MAX - 2))
    one = finding(FAN, book[ME], confidence=0.9, text="t", evidence=evidence)
    stated(book, busy(0), default_rules(), Findings(own=tuple(readings([one]))))
    assert dict(from_alert(shown(book)).evidence) == dict(evidence)


def test_another_number_alone_is_no_news() -> None:
    """A value that moves every second must not fill the network with records."""
    book, engine = meshed(10), AlertEngine(meshed(10)[ME], [QUIET])
    news = [
        engine.update(book.snapshot(float(now), ME), busy(9_100 + 50 * (now % 17)), NOTHING, float(now))
        for now in range(1, 300)
    ]
    assert [now for now, one in enumerate(news, 1) if one is not None] == [1]


def test_an_author_of_an_earlier_version_gives_no_value_and_none_is_made_up() -> None:
    book = meshed(10)
    old = msgspec.msgpack.encode([[["cpu-high", "", 2, 1000]]])
    body = decode_body(Kind.ALERTS, old)
    assert body == Alerts((Statement("cpu-high", "", Severity.HIGH, 1000),))
    book.say(ME, body, at=1.0)
    alert = shown(book)
    assert alert.metadata == {"unit": "ratio", "since": "2023-11-14T22:13:20Z"}
    assert (alert.title, alert.runbook) == (QUIET.title, QUIET.runbook)


def test_one_liar_of_three_aggregators_sets_neither_numbers_nor_words() -> None:
    book = meshed(10)
    subject = ref(book[0]).hex()
    for place, peer in enumerate(aggregators(book.snapshot(1.0)).eligible[:3]):
        lie = {"title": "!" if place == 1 else "Fans", "value": "9" if place == 1 else "3"}
        said = Statement(
            "fan",
            subject,
            Severity.HIGH,
            1_000,
            metadata=(("type", "security-threat"), ("title", lie["title"])),
            value=lie["value"],
            threshold="2",
            for_ms=0,
            episode=round(WALL_S * 1000),
        )
        book.say(next(n for n in range(10) if book[n] == peer), Alerts((said,)), at=1.0)
    alert = shown(book)
    assert (alert.title, alert.metadata["value"], alert.metadata["threshold"]) == ("Fans", "3", "2")


def test_every_signal_has_a_unit_and_no_other() -> None:
    assert UNITS.keys() == {FINDING, *OWN_SIGNALS, *NETWORK_SIGNALS}


def test_alerts_about_a_hundred_peers_of_a_zone_still_fit_into_one_record() -> None:
    book = meshed(6)
    one = Statement(
        "peer-down",
        ref(book[0]).hex(),
        Severity.HIGH,
        3_600_000,
        text=f"8 of 8 observers no longer hear {book[0].hex()[:10]}",
        confirmed_by=(ref(book[1]),) * 8,
        episode=round(WALL_S * 1000),
    )
    told = replace(one, value="1", threshold="0", for_ms=3_000)
    extra = len(encode_body(Alerts((told,)))) - len(encode_body(Alerts((one,))))
    assert extra <= 8
    assert len(encode_body(Alerts((told,) * 80))) < ALERTS_BYTES_MAX


def test_an_address_of_an_alert_survives_any_region() -> None:
    assert page_path("region-critical-a b/c&d#é") == "/#alert=region-critical-a%20b%2Fc%26d%23%C3%A9"


@given(st.floats() | st.integers(-(10**18), 10**18) | st.none())
def test_a_number_is_one_that_all_peers_accept_and_means_the_same(value: float | None) -> None:
    text = number(value)
    if text is not None and value is not None:
        assert msgspec.msgpack.decode(msgspec.msgpack.encode(text), type=Number) == text
        assert float(text) == pytest.approx(value, rel=1e-3, abs=1e-6)


@given(st.lists(st.tuples(st.integers(0, 99), st.integers(0, 9)), min_size=1, max_size=6), st.randoms())
def test_facts_do_not_depend_on_the_order_of_their_authors(numbers: list[tuple[int, int]], rng: object) -> None:
    said = [
        Statement("x", "y", 1, 1, value=str(value), threshold=str(limit), for_ms=limit * 1000)
        for value, limit in numbers
    ]
    mixed = said[:]
    rng.shuffle(mixed)  # type: ignore[attr-defined]
    assert merged(said, "s", 1.0) == merged(mixed, "s", 1.0)
