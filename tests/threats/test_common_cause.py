"""More traffic at one node is a finding; more at all nodes at once is one cause, and no attack on one of them."""

from random import Random

import pytest

from ledgers import INTERVAL_MS, Book
from peerscope.records.alerts import Severity
from peerscope.records.bodies import Check, Profile, Report
from peerscope.records.measures import Metrics, NodeMetrics, PerformanceMetrics
from peerscope.threats.findings import Finding
from peerscope.threats.threats import ThreatConfig, Threats
from signatures import signatures

USUAL = 100_000
LOOK_S = 5.0


class Town:
    """A node whose traffic comes in minutes, and the reports of eleven others."""

    def __init__(self, others: int = 11, node: str = "kubo") -> None:
        self.book, self.now, self._rng = Book(), 0.0, Random(1)
        for number in range(others + 1):
            self.book.say(number, Profile((), "eu", "1", 1, node=node if number else "kubo"))
        self.others = others
        self.threats = Threats(ThreatConfig(), signatures(), self.book[0], 0.0)

    def minutes(self, count: int, mine: float, *theirs: float) -> dict[str, Finding]:
        """So many minutes with so many bytes a second; the last of `theirs` holds for the rest."""
        found: list[Finding] = []
        for _ in range(count * 12):
            self.now += LOOK_S
            moved = mine * LOOK_S * self._rng.uniform(0.9, 1.1)
            self.threats.activity.count(self.now - 0.1, messages=moved / 500, bytes=moved)
            found = self._look(mine, theirs)
        return {one.detection: one for one in found}

    def usual_day(self) -> None:
        """A day in which all nodes have the usual traffic, looked at once a minute."""
        for _ in range(25 * 60):
            self.now += 60.0
            moved = USUAL * 60 * self._rng.uniform(0.9, 1.1)
            self.threats.activity.count(self.now - 0.1, messages=moved / 500, bytes=moved)
            assert not self._look(USUAL, (USUAL,))

    def _look(self, mine: float, theirs: tuple[float, ...]) -> list[Finding]:
        for number in range(self.others + 1):
            rate = (theirs[min(number, len(theirs)) - 1] if number else mine) * self._rng.uniform(0.9, 1.1)
            metrics = Metrics(node=NodeMetrics(), performance=PerformanceMetrics(throughput_bytes_s=round(rate)))
            self.book.say(number, Report(INTERVAL_MS, (Check(0),) * 6, metrics=metrics), at=self.now)
        return self.threats.own(self.book.snapshot(self.now), self.now)


def test_pure_noise_is_nothing() -> None:
    assert Town().minutes(60, USUAL, USUAL) == {}


def test_a_spike_at_one_node_keeps_its_severity() -> None:
    town = Town()
    town.minutes(15, USUAL, USUAL)
    spike = town.minutes(4, 8 * USUAL, USUAL)["traffic-spike"]
    assert "common" not in dict(spike.evidence)


def test_more_traffic_at_all_nodes_is_said_to_be_common() -> None:
    town = Town()
    town.minutes(15, USUAL, USUAL)
    spike = town.minutes(4, 8 * USUAL, 8 * USUAL)["traffic-spike"]
    assert spike.severity == Severity.LOW.name.lower()
    assert spike.text.endswith("; so do 11 of 11 other nodes")
    evidence = dict(spike.evidence)
    assert evidence["common"] == "11 of 11 other nodes"
    assert {"value", "limit", "usual"} <= evidence.keys()


@pytest.mark.parametrize("liars", [1, 5])
def test_fewer_than_half_of_liars_do_not_make_an_attack_common(liars: int) -> None:
    town = Town()
    town.minutes(15, USUAL, USUAL)
    lies = (100.0 * USUAL,) * liars
    assert "common" not in dict(town.minutes(4, 8 * USUAL, *lies, USUAL)["traffic-spike"].evidence)


def test_three_other_nodes_or_nodes_of_another_kind_say_nothing() -> None:
    for town in (Town(3), Town(11, "tor")):
        town.minutes(15, USUAL, USUAL)
        assert "common" not in dict(town.minutes(4, 8 * USUAL, 8 * USUAL)["traffic-spike"].evidence)


def test_one_node_that_restarts_is_no_attack() -> None:
    town = Town()
    town.minutes(15, USUAL, USUAL)
    assert town.minutes(2, 0, USUAL) == {}
    assert town.minutes(5, USUAL, USUAL) == {}


def test_a_common_rise_that_lasts_never_becomes_an_attack_on_one_node() -> None:
    town = Town()
    town.usual_day()
    seen = []
    for _ in range(75):
        spike = town.minutes(1, 7 * USUAL, 7 * USUAL).get("traffic-spike")
        seen.append(None if spike is None else spike.severity)
    assert seen[:3] == [None, None, "low"]
    assert set(seen[3:]) <= {None, "low"}
    assert seen[50] == "low"


def test_after_a_common_rise_ended_a_spike_at_one_node_keeps_its_severity() -> None:
    town = Town()
    town.usual_day()
    town.minutes(10, 7 * USUAL, 7 * USUAL)
    town.minutes(10, USUAL, USUAL)
    assert town.minutes(4, 20 * USUAL, USUAL)["traffic-spike"].severity == "medium"


@pytest.mark.parametrize("idle", [(0.0, 1.0), (20.0, 500.0)])
def test_idle_nodes_that_do_a_little_more_do_not_make_a_spike_common(idle: tuple[float, float]) -> None:
    town = Town()
    town.minutes(15, USUAL, *(idle[0],) * 7, USUAL)
    spike = town.minutes(4, 8 * USUAL, *(idle[1],) * 7, USUAL)["traffic-spike"]
    assert "common" not in dict(spike.evidence)
