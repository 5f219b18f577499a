"""Signals of the checks, the links and the node: each can page, and none speaks without a measurement."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from ledgers import GOOD, INTERVAL_MS, Book, lose, meshed
from peerscope.alerts.alert_list import AlertList
from peerscope.alerts.engine import NOTHING, AlertEngine
from peerscope.alerts.lifecycle import UNKNOWN_S
from peerscope.alerts.overlay import NEIGHBOURS, OverlaySight, overlay_neighbours
from peerscope.alerts.own_signals import OWN_SIGNALS, Own, SignalContext
from peerscope.alerts.rules import default_rules
from peerscope.records.bodies import CHECKS, Check, OverlayLink, Profile, Report, Status

HOST = (GOOD,) * 5
SILENT = Check(Status.UNHEALTHY, None, "telemetry: the node has sent no telemetry for 70 s")
PARTLY = Check(Status.DEGRADED, None, "beam: the log is gone")
WAITS = Check(Status.UNKNOWN, None, "telemetry: the node has sent no telemetry yet")
ANSWERS = Check(Status.HEALTHY)
ME = 5


def read(name: str, own: Own, book: Book | None = None) -> list[tuple[float | None, str]]:
    sight = SignalContext((book or meshed(6)).snapshot(1.0, ME), own)
    return [(reading.value, reading.text) for reading in OWN_SIGNALS[name](sight)]


def with_check(name: str, check: Check) -> Own:
    return Own(checks=tuple(check if one == name else GOOD for one in CHECKS))


@pytest.mark.parametrize("name", CHECKS)
@pytest.mark.parametrize(
    ("status", "value"),
    [(Status.HEALTHY, 0.0), (Status.DEGRADED, 1.0), (Status.UNHEALTHY, 2.0), (Status.UNKNOWN, None)],
)
def test_every_check_has_its_status_as_a_number(name: str, status: Status, value: float | None) -> None:
    assert read(f"{name}_status", with_check(name, Check(status, None, "why"))) == [(value, "why")]


@pytest.mark.parametrize("name", CHECKS)
def test_before_the_first_measurement_no_check_has_a_status(name: str) -> None:
    assert read(f"{name}_status", Own()) == []


@pytest.mark.parametrize("name", ["network_error_ratio", "p2p_ratio", "link_loss_ratio", "relayed_ratio"])
def test_what_was_not_measured_is_unknown(name: str) -> None:
    assert read(name, Own()) == [(None, "")]
    assert read(name, Own(checks=(Check(Status.UNKNOWN),) * 6)) == [(None, "")]


def test_ratios_come_from_their_checks_and_links() -> None:
    assert read("network_error_ratio", with_check("network", Check(2, 700)))[0][0] == 0.07
    few = Check(Status.UNHEALTHY, 2_500, "2 of 8 neighbours reachable")
    assert read("p2p_ratio", with_check("p2p", few)) == [(0.25, "2 of 8 neighbours reachable")]
    assert read("link_loss_ratio", Own(loss_ratio=0.125)) == [(0.125, "half of the links lose 12.5% of pings or more")]
    assert read("relayed_ratio", Own(relayed_ratio=0.75)) == [(0.75, "75% of the links go through a relay")]
    assert read("memory_kills", Own(kills=2, kills_text="two")) == [(2.0, "two")]
    assert read("memory_kills", Own()) == []


def test_a_peer_alone_in_its_network_reaches_all_of_its_neighbours() -> None:
    alone = Book()
    alone.introduce(ME)
    lonely = with_check("p2p", Check(Status.HEALTHY, 10_000, "no other peer known"))
    assert read("p2p_ratio", lonely, alone)[0][0] == 1.0


def test_a_container_without_room_for_processes_is_a_full_memory_check() -> None:
    full = Check(Status.UNHEALTHY, 9_800, "98 of the container's 100 processes and threads used")
    assert read("memory_ratio", with_check("memory", full)) == [(0.98, full.message)]


@pytest.mark.parametrize(
    ("check", "down", "degraded"),
    [(ANSWERS, 0.0, 0.0), (PARTLY, 1.0, 1.0), (SILENT, 2.0, 0.0), (WAITS, None, None)],
)
def test_a_node_that_is_down_is_not_degraded_as_well(check: Check, down: float | None, degraded: float | None) -> None:
    own = with_check("node", check)
    assert [value for value, _ in read("node_status", own)] == [down]
    assert [value for value, _ in read("node_degraded", own)] == [degraded]


def test_without_a_node_there_is_nothing_to_say_of_it() -> None:
    assert read("node_status", Own(checks=HOST)) == []
    assert read("node_degraded", Own(checks=HOST)) == []


class Town:
    """One peer with a node, and what it publishes and shows."""

    def __init__(self) -> None:
        self.book = meshed(6)
        rules = [rule for rule in default_rules() if rule.name.startswith("node-")]
        self.engine, self.board = AlertEngine(self.book[ME], rules), AlertList()

    def run(self, start: int, end: int, *checks: Check) -> list[str]:
        """Alerts that fire at the end, while the node's check was this."""
        for now in range(start, end):
            own = Own(checks=(*HOST, *checks), linked=5, overlay=frozenset({"n0", "n1", "stranger"}))
            news = self.engine.update(self.book.snapshot(float(now), ME), own, NOTHING, float(now))
            if news is not None:
                self.book.say(ME, news.body, at=float(now))
            self.board.update(self.book.snapshot(float(now)))
        return [alert.rule for alert in self.board.alerts(active_only=True)]


def test_a_node_that_dies_pages_after_a_while_and_is_over_when_it_answers() -> None:
    town = Town()
    assert town.run(0, 60, ANSWERS) == []
    assert town.run(60, 79, SILENT) == []
    assert town.run(79, 85, SILENT) == ["node-down"]
    (alert,) = town.board.alerts()
    assert (alert.severity, alert.title) == ("high", "The node is down")
    assert alert.description == SILENT.message
    assert [alert.metadata[name] for name in ("value", "threshold", "unit", "for_s")] == ["2", "1", "status", "20"]
    assert town.run(85, 120, ANSWERS) == []


@pytest.mark.parametrize("after", [(), (ANSWERS,), (PARTLY,)])
def test_a_node_that_answered_once_late_or_is_no_longer_attached_is_not_down(after: tuple[Check, ...]) -> None:
    town = Town()
    town.run(0, 10, SILENT)
    assert "node-down" not in town.run(10, 60, *after)


def test_an_agent_that_waits_for_the_first_telemetry_pages_nobody() -> None:
    town = Town()
    assert town.run(0, 200, WAITS) == []


def test_a_dead_node_of_which_nothing_is_known_any_more_does_not_fire_for_ever() -> None:
    town = Town()
    town.run(0, 30, SILENT)
    assert town.run(30, 60, WAITS) == ["node-down"]
    assert town.run(60, 40 + int(UNKNOWN_S), WAITS) == []


def test_a_source_that_fails_beside_one_that_answers_is_another_alert() -> None:
    assert Town().run(0, 70, PARTLY) == ["node-degraded"]


class TestOverlay:
    """Peers 0 to 2 have nodes around the one of peer 5."""

    def town(self, *still: int, at: float = 0.5, layer: str = "beam") -> Book:
        book = meshed(6)
        for number in (0, 1, 2, ME):
            node = f"n{number}"
            book.say(number, Profile((), "eu", "1", 1, node=layer if number != ME else "beam", node_id=node), at=at)
            listed = (OverlayLink("far"), *([OverlayLink(f"n{ME}")] if number in still else []))
            book.say(number, Report(INTERVAL_MS, HOST, overlay=listed if number != ME else ()), at=at)
        return book

    def told(self, book: Book, before: str | None = "3", now: float = 1.0) -> str:
        return OverlaySight(book.snapshot(now)).confirmation(book[ME], {} if before is None else {NEIGHBOURS: before})

    def test_neighbours_that_still_list_it_are_counted(self) -> None:
        assert self.told(self.town(0, 2)) == "2 of 3 overlay neighbours still list it"
        assert self.told(self.town(0), None) == "1 of 1 overlay neighbour still list it"

    def test_nobody_lists_it_any_more(self) -> None:
        assert self.told(self.town()) == "no overlay neighbour lists it any more"

    def test_where_nobody_can_see_it_nothing_is_said(self) -> None:
        assert self.told(meshed(6)) == ""
        assert self.told(self.town(), None) == "", "it may never have had a neighbour that we know"
        assert self.told(self.town(0, layer="kubo")) == "", "another network has other ids"

    def test_reports_of_the_dead_do_not_count(self) -> None:
        book = self.town(0, 1)
        now = lose(book, 1, [0, 2, 3, 4]) + 0.1  # later than the reports that this made
        for number in (0, 2):
            listed = (OverlayLink("far"), *([OverlayLink(f"n{ME}")] if number == 0 else []))
            book.say(number, Report(INTERVAL_MS, HOST, overlay=listed), at=now)
        assert self.told(book, now=now) == "1 of 3 overlay neighbours still list it"

    @pytest.mark.parametrize("said", ["", "-1", "many", "9" * 60, "²"])
    def test_a_count_that_is_none_is_passed_over(self, said: str) -> None:
        assert self.told(self.town(0), said) == "1 of 1 overlay neighbour still list it"

    def test_neighbours_are_peers_of_the_same_layer(self) -> None:
        snapshot = self.town(0).snapshot(1.0, ME)
        named = {"n0", "n2", "far", f"n{ME}"}
        assert overlay_neighbours(snapshot, snapshot.me, named) == {self.town(0)[0], self.town(0)[2]}
        assert overlay_neighbours(snapshot, snapshot.me, ()) == frozenset()

    def test_the_alert_carries_the_count_and_every_reader_adds_what_it_sees(self) -> None:
        town = Town()
        town.book = self.town(0, at=18.0)
        town.run(0, 25, SILENT)
        (alert,) = town.board.alerts()
        assert alert.metadata[NEIGHBOURS] == "2"
        assert alert.description == f"{SILENT.message}; 1 of 2 overlay neighbours still list it"


checks = st.builds(Check, st.integers(0, 3), st.none() | st.integers(0, 1_000_000), st.none() | st.text(max_size=20))


@given(st.lists(checks, max_size=6), st.none() | st.floats(0, 1), st.none() | st.integers(0, 99))
def test_any_state_gives_each_signal_one_reading_at_most_and_an_unknown_check_no_value(
    found: list[Check], ratio: float | None, kills: int | None
) -> None:
    own = Own(checks=tuple(found), loss_ratio=ratio, relayed_ratio=ratio, kills=kills)
    sight = SignalContext(BOOK.snapshot(1.0, ME), own)
    for name in (
        "memory_ratio",
        "network_error_ratio",
        "p2p_ratio",
        "link_loss_ratio",
        "relayed_ratio",
        "memory_kills",
    ):
        assert len(list(OWN_SIGNALS[name](sight))) <= 1
    for at, name in enumerate(CHECKS):
        readings = list(OWN_SIGNALS[f"{name}_status"](sight))
        assert len(readings) == (at < len(found))
        assert all((one.value is None) == (found[at].status == Status.UNKNOWN) for one in readings)


BOOK = meshed(6)


def test_a_rule_of_any_check_fires_on_an_unhealthy_one() -> None:
    rule = replace(next(one for one in default_rules() if one.name == "node-down"), for_s=0.0)
    for name in CHECKS:
        engine = AlertEngine(BOOK[ME], [replace(rule, signal=f"{name}_status")])
        own = with_check(name, Check(Status.UNHEALTHY, 9_000, "bad"))
        assert engine.update(BOOK.snapshot(1.0, ME), own, NOTHING, 1.0) is not None
