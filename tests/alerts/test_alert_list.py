"""The list that every peer finds alike: who is believed about what, and what a liar can do."""

from dataclasses import dataclass, field

import pytest
from msgspec.structs import replace

from ledgers import WALL_S, Book, lose, meshed
from peerscope.alerts.aggregators import aggregators
from peerscope.alerts.alert_list import GRACE_S, REMEMBER_S, AlertList, uncertainty_s
from peerscope.alerts.model import Alert
from peerscope.records.alerts import Alerts, Severity, Statement
from peerscope.records.bodies import Profile, Status
from peerscope.records.identity import ref

PEERS = 10
BUSY = Statement("cpu-high", "", Severity.HIGH, 3_000, text="97% of all cores busy")


@dataclass
class Scene:
    """A network of ten, one board at peer 0."""

    book: Book = field(default_factory=lambda: meshed(PEERS))
    alert_list: AlertList = field(default_factory=AlertList)

    def numbers(self) -> list[int]:
        """Everybody, in the order of rank."""
        chosen = aggregators(self.book.snapshot(1.0)).eligible
        by_id = {self.book[number]: number for number in range(PEERS)}
        return [by_id[peer] for peer in chosen]

    def state(self, number: int, *statements: Statement, at: float = 1.0) -> None:
        self.book.say(number, Alerts(statements), at=at)

    def down(self, number: int, subject: int, *, at: float = 1.0, **changes: object) -> None:
        """One peer states that another is down."""
        said = Statement("peer-down", ref(self.book[subject]).hex(), Severity.HIGH, 1_000)
        self.state(number, replace(said, **changes), at=at)

    def look(self, now: float) -> dict[str, Alert]:
        self.alert_list.update(self.book.snapshot(now))
        return {alert.id: alert for alert in self.alert_list.alerts(active_only=True)}


@pytest.fixture
def scene() -> Scene:
    return Scene()


def test_what_a_peer_states_of_itself_is_one_alert_dated_by_its_age(scene: Scene) -> None:
    scene.state(3, BUSY, at=2.0)
    (alert,) = scene.look(5.0).values()
    assert alert.id == f"cpu-high-{scene.book[3].hex()[:16]}"
    assert (alert.type, alert.severity, alert.state) == ("resource-exhaustion", "high", "firing")
    assert alert.started_at == pytest.approx(WALL_S - 1.0)
    assert alert.peer_id == scene.book[3].hex()
    assert alert.region == "eu"
    assert alert.stated_by == (scene.book[3].hex(),)
    assert alert.description == "97% of all cores busy"
    assert alert.runbook


def test_nobody_can_state_a_rule_about_oneself_for_another(scene: Scene) -> None:
    for number in range(PEERS):
        scene.state(number, replace(BUSY, subject=ref(scene.book[3]).hex()))
    assert scene.look(2.0) == {}


def test_what_a_dead_peer_stated_of_itself_no_longer_stands(scene: Scene) -> None:
    scene.state(3, BUSY)
    assert scene.look(2.0)
    at = lose(scene.book, 3, (n for n in range(PEERS) if n != 3))
    assert scene.look(at) == {}
    (over,) = scene.alert_list.alerts()
    assert (over.state, over.metadata["ended"]) == ("resolved", "down")


def test_what_a_peer_that_left_stated_of_itself_no_longer_stands(scene: Scene) -> None:
    scene.state(3, BUSY)
    scene.look(2.0)
    scene.book.introduce(3, at=3.0, left=True)
    assert scene.look(4.0) == {}


def test_one_aggregator_alone_makes_nothing_whatever_it_says(scene: Scene) -> None:
    liar = scene.numbers()[0]
    subject = next(number for number in range(PEERS) if number not in scene.numbers())
    names = (ref(scene.book[subject]).hex(), "eu", f"group-{ref(scene.book[subject]).hex()}")
    lies = tuple(
        Statement(rule, name, Severity.CRITICAL, 1_000)
        for rule in ("peer-down", "region-critical", "network-partition", "clock-skew", "made-up")
        for name in names
    )
    scene.state(liar, *lies, *lies)
    for now in (2.0, 10.0, 60.0):
        assert scene.look(now) == {}
    assert scene.alert_list.alerts() == []


def test_one_aggregator_cannot_hide_what_the_others_say_nor_change_its_time_or_severity(scene: Scene) -> None:
    one, other, liar = scene.numbers()[:3]
    at = lose(scene.book, 9 if 9 not in (one, other, liar) else 8, (n for n in range(PEERS) if n < 8))
    subject = 9 if 9 not in (one, other, liar) else 8
    scene.down(one, subject, at=at)
    scene.down(other, subject, at=at, firing_ms=1_200)
    scene.down(liar, subject, at=at, firing_ms=10**12, severity=Severity.LOW)
    (alert,) = scene.look(at).values()
    assert alert.severity == "high"
    assert alert.started_at == pytest.approx(WALL_S + at - 1.2)
    scene.down(liar, subject, at=at + 1.0, resolved_ms=0)
    assert list(scene.look(at + 2.0)) == [alert.id]


def test_peers_of_low_rank_are_not_asked_about_others(scene: Scene) -> None:
    low = [number for number in range(PEERS) if number not in scene.numbers()]
    for number in low:
        scene.state(number, Statement("region-critical", "eu", Severity.CRITICAL, 0))
    assert scene.look(2.0) == {}


def test_two_aggregators_that_agree_make_an_alert_about_a_region(scene: Scene) -> None:
    for number in scene.numbers()[:2]:
        scene.state(number, Statement("region-critical", "eu", Severity.CRITICAL, 0))
    (alert,) = scene.look(2.0).values()
    assert (alert.region, alert.peer_id, alert.severity) == ("eu", None, "critical")
    assert len(alert.stated_by) == 2


def test_our_own_evidence_denies_that_somebody_is_down_who_speaks_to_us(scene: Scene) -> None:
    subject = next(number for number in range(PEERS) if number not in scene.numbers())
    for number in scene.numbers()[:3]:
        scene.down(number, subject, at=4.0)
    scene.book.report(subject, *(n for n in range(PEERS) if n != subject), at=5.0)
    assert scene.look(5.5) == {}


def test_what_nobody_states_any_more_is_over_after_a_grace_and_comes_back_as_the_same_alert(scene: Scene) -> None:
    speakers = scene.numbers()[:2]
    said = Statement("region-critical", "eu", Severity.CRITICAL, 0)
    for number in speakers:
        scene.state(number, said)
    (alert,) = scene.look(2.0).values()
    scene.state(speakers[0], at=3.0)
    assert scene.look(3.0).keys() == {alert.id}
    assert scene.look(3.0 + GRACE_S - 0.1).keys() == {alert.id}
    scene.state(speakers[0], replace(said, firing_ms=7_000), at=8.0)
    assert scene.look(8.0)[alert.id].started_at == alert.started_at
    scene.state(speakers[0], at=9.0)
    scene.look(9.0)
    assert scene.look(9.1 + GRACE_S) == {}
    (over,) = scene.alert_list.alerts()
    assert over.resolved_at == pytest.approx(WALL_S + 9.0)


def test_what_enough_say_is_over_is_over_at_once(scene: Scene) -> None:
    speakers = scene.numbers()[:3]
    said = Statement("region-critical", "eu", Severity.CRITICAL, 0)
    for number in speakers:
        scene.state(number, said)
    assert scene.look(2.0)
    for number in speakers[:2]:
        scene.state(number, replace(said, firing_ms=9_000, resolved_ms=500), at=10.0)
    assert scene.look(10.0) == {}
    assert scene.alert_list.alerts()[0].resolved_at == pytest.approx(WALL_S + 9.5)


def test_with_one_living_peer_its_word_is_enough() -> None:
    book = meshed(2)
    at = lose(book, 1, [0])
    book.say(0, Alerts((Statement("peer-down", ref(book[1]).hex(), Severity.HIGH, 0),)), at=at)
    board = AlertList()
    board.update(book.snapshot(at))
    assert [alert.peer_id for alert in board.alerts(active_only=True)] == [book[1].hex()]


def test_a_rule_of_a_newer_version_is_shown_with_what_it_carries(scene: Scene) -> None:
    scene.state(4, Statement("entropy-low", "", Severity.MEDIUM, 0, text="9 bits", metadata=(("type", "randomness"),)))
    (alert,) = scene.look(2.0).values()
    assert (alert.type, alert.title, alert.description) == ("randomness", "entropy low", "9 bits")


def test_who_comes_late_sees_what_was_resolved_but_is_told_nothing(scene: Scene) -> None:
    scene.state(3, replace(BUSY, resolved_ms=1_000))
    assert scene.alert_list.update(scene.book.snapshot(2.0)) == []
    assert [alert.state for alert in scene.alert_list.alerts()] == ["resolved"]


def test_every_change_is_told_once(scene: Scene) -> None:
    scene.state(3, BUSY)
    assert [a.state for a in scene.alert_list.update(scene.book.snapshot(2.0))] == ["firing"]
    assert scene.alert_list.update(scene.book.snapshot(3.0)) == []
    scene.state(3, replace(BUSY, severity=Severity.CRITICAL), at=4.0)
    assert [a.severity for a in scene.alert_list.update(scene.book.snapshot(5.0))] == ["critical"]
    scene.state(3, replace(BUSY, resolved_ms=0), at=6.0)
    assert [a.state for a in scene.alert_list.update(scene.book.snapshot(7.0))] == ["resolved"]
    assert scene.alert_list.update(scene.book.snapshot(8.0)) == []


def test_what_was_resolved_is_forgotten_after_a_day(scene: Scene) -> None:
    scene.state(3, replace(BUSY, resolved_ms=0))
    scene.look(2.0)
    scene.state(3, at=3.0)
    scene.look(REMEMBER_S - 10.0)
    assert scene.alert_list.alerts()
    scene.look(REMEMBER_S + 10.0)
    assert scene.alert_list.alerts() == []


def test_a_flood_of_statements_about_oneself_is_cut(scene: Scene) -> None:
    scene.state(3, *(Statement(f"made-up-{number}", "", Severity.CRITICAL, 0) for number in range(256)))
    assert len(scene.look(2.0)) == 64


def test_times_of_others_may_be_off_by_the_hops_they_came(scene: Scene) -> None:
    scene.state(3, BUSY)
    scene.state(0, BUSY)
    shown = {alert.peer_id: alert.uncertainty_s for alert in scene.look(2.0).values()}
    assert shown[scene.book[0].hex()] == 0.0
    assert shown[scene.book[3].hex()] == uncertainty_s(scene.book.snapshot(2.0)) == pytest.approx(5 * 0.0005)


class TestAggregators:
    """Who speaks for a zone."""

    def test_unhealthy_and_suspected_peers_are_passed_over(self, scene: Scene) -> None:
        first, second = scene.numbers()[:2]
        scene.book.report(first, *(n for n in range(PEERS) if n != first), worst=Status.UNHEALTHY, at=1.0)
        scene.book.accuse(5 if second != 5 else 6, [second], at=2.0, silence_s=2.0)
        chosen = aggregators(scene.book.snapshot(2.0))
        assert set(chosen.passed) >= {scene.book[first], scene.book[second]}
        assert not {scene.book[first], scene.book[second]} & set(chosen.eligible)

    def test_where_fewer_than_three_are_well_all_that_live_may(self, scene: Scene) -> None:
        for number in range(2, PEERS):
            others = (n for n in range(PEERS) if n != number)
            scene.book.report(number, *others, worst=Status.UNHEALTHY, at=1.0)
        assert len(aggregators(scene.book.snapshot(2.0)).eligible) == 6

    def test_one_that_fails_is_followed_by_the_next_and_nobody_else_moves(self, scene: Scene) -> None:
        before = aggregators(scene.book.snapshot(1.0)).acting
        gone = scene.numbers()[0]
        lose(scene.book, gone, (n for n in range(PEERS) if n != gone))
        after = aggregators(scene.book.snapshot(7.0)).acting
        assert after[:2] == before[1:]
        assert len(after) == 3

    def test_another_zone_has_others(self, scene: Scene) -> None:
        for number in (7, 8, 9):
            scene.book.say(number, Profile((), "eu", "1.0", 0, zone="far"), at=1.0)
        far = {scene.book[number] for number in (7, 8, 9)}
        assert set(aggregators(scene.book.snapshot(2.0, me=7)).acting) == far
        assert not set(aggregators(scene.book.snapshot(2.0)).eligible) & far


class TestForgotten:
    """A peer that is forgotten never came back: its alerts end, and are not resolved."""

    GONE = 9

    def ended(self, scene: Scene, *metadata: tuple[tuple[str, str], ...], known: bool) -> Alert:
        """Peer 9 is down, and the first aggregators say that this is over, with so much metadata each."""
        speakers = [number for number in scene.numbers() if number != self.GONE]
        at = lose(scene.book, self.GONE, range(self.GONE))
        for number in speakers[:3]:
            scene.down(number, self.GONE, at=at)
        assert [alert.state for alert in scene.look(at).values()] == ["firing"]
        if not known:
            scene.book.ledger.forget(scene.book[self.GONE])
        for number, said in zip(speakers, metadata, strict=False):
            scene.down(number, self.GONE, at=at + 1, resolved_ms=0, metadata=said)
        changed = scene.alert_list.update(scene.book.snapshot(at + 1))
        (alert,) = scene.alert_list.alerts()
        assert changed == [alert]
        return alert

    TOLD = (("ended", "forgotten"),)

    def test_where_aggregators_say_so_it_is_forgotten_and_still_names_the_peer(self, scene: Scene) -> None:
        over = self.ended(scene, self.TOLD, self.TOLD, self.TOLD, known=False)
        assert (over.state, over.metadata["ended"]) == ("forgotten", "forgotten")
        assert (over.peer_id, over.region) == (scene.book[self.GONE].hex(), "eu")
        assert over.resolved_at is not None

    def test_where_they_say_that_it_is_over_it_is_resolved(self, scene: Scene) -> None:
        assert self.ended(scene, (), (), (), known=True).state == "resolved"

    def test_one_of_them_alone_makes_no_peer_forgotten_that_we_know(self, scene: Scene) -> None:
        assert self.ended(scene, self.TOLD, (), (), known=True).state == "resolved"

    def test_an_older_aggregator_that_says_resolved_of_a_forgotten_peer_is_not_believed(self, scene: Scene) -> None:
        assert self.ended(scene, (), (), self.TOLD, known=False).state == "forgotten"

    def test_what_aggregators_of_earlier_versions_still_say_of_a_buried_peer_does_not_stand(self, scene: Scene) -> None:
        at = lose(scene.book, self.GONE, range(self.GONE))
        for number in [number for number in scene.numbers() if number != self.GONE][:3]:
            scene.down(number, self.GONE, at=at)
        assert scene.look(at)
        gone, ledger = scene.book[self.GONE], scene.book.ledger
        ledger.forget(gone)
        assert scene.look(at + 1), "it may be that we have only just started"
        ledger.bury(ref(gone), 2**53 - 1, until=at + 1000)
        scene.look(at + 2)
        assert scene.look(at + 2 + GRACE_S) == {}
        assert [alert.state for alert in scene.alert_list.alerts()] == ["forgotten"]

    def test_an_own_alert_that_nobody_states_any_more_ends_with_its_peer(self, scene: Scene) -> None:
        scene.state(3, BUSY)
        assert scene.look(2.0)
        scene.book.ledger.forget(scene.book[3])
        scene.look(3.0)
        assert scene.look(3.0 + GRACE_S) == {}
        (over,) = scene.alert_list.alerts()
        assert (over.state, over.peer_id) == ("forgotten", scene.book[3].hex())
