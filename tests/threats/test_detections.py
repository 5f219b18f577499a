"""Floods, churn, spikes, sizes and poisoning of one node, by the default signatures; and an operator's own."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from peerscope.records.identity import PeerId
from peerscope.threats.activity import COUNTERS, SIGNALS, Activity
from peerscope.threats.detections import Detections
from peerscope.threats.findings import Finding
from signatures import signatures

ME = PeerId(bytes(32))
LOOK_S = 5.0


class Node:
    """A node whose activity is told in minutes, looked at every five seconds."""

    def __init__(self, own: str = "") -> None:
        self.now = 1000.0
        self.activity = Activity(self.now)
        self.detections = Detections(signatures(own), self.now)
        self.found: list[Finding] = []

    def minutes(self, count: int = 1, **amounts: float) -> dict[str, Finding]:
        """So many minutes with so much each, evenly; what stands at the end."""
        for _ in range(count * 12):
            self.now += LOOK_S
            self.activity.count(self.now - 0.1, **{name: amount / 12 for name, amount in amounts.items()})
            self.found = self.detections.find(self.activity, ME, self.now)
        return {one.detection: one for one in self.found}


@pytest.mark.parametrize(
    ("counter", "detection", "limit", "severity"),
    [
        ("opened", "connection-flood", 100, "high"),
        ("puts", "dht-flood", 1000, "high"),
        ("lookups", "dht-lookup-flood", 5000, "medium"),
    ],
)
def test_a_flood_is_found_above_its_limit_and_not_at_it(
    counter: str, detection: str, limit: int, severity: str
) -> None:
    assert detection not in Node().minutes(3, **{counter: limit})
    little, much = Node().minutes(2, **{counter: limit * 1.02}), Node().minutes(2, **{counter: limit * 2})
    assert little[detection].severity == severity
    assert 0.5 <= little[detection].confidence < much[detection].confidence


def test_lookups_are_no_puts() -> None:
    assert "dht-flood" not in Node().minutes(3, lookups=4000)


def test_churn_counts_events_not_standing_connections() -> None:
    node = Node()
    assert node.minutes(10, opened=4, closed=4) == {}
    assert node.minutes(5, opened=6, closed=6)["connection-churn"].severity == "medium"


@pytest.mark.parametrize(("inconsistent", "severity"), [(5.9, None), (6, "medium"), (15.9, "medium"), (16, "critical")])
def test_poisoning_has_two_steps(inconsistent: float, severity: str | None) -> None:
    found = Node().minutes(1, lookups=20, judged=20, inconsistent=inconsistent).get("data-poisoning")
    assert (found.severity if found else None) == severity


def test_poisoning_needs_twenty_lookups_and_is_surer_with_more() -> None:
    assert "data-poisoning" not in Node().minutes(1, judged=19, inconsistent=19)
    few = Node().minutes(1, judged=20, inconsistent=8)["data-poisoning"]
    many = Node().minutes(1, judged=2000, inconsistent=800)["data-poisoning"]
    assert few.confidence == pytest.approx(0.219, abs=0.01)  # Wilson's lower bound of 8 in 20
    assert many.confidence == pytest.approx(0.379, abs=0.01)


def test_a_spike_needs_ten_minutes_of_the_past() -> None:
    fresh, known = Node(), Node()
    fresh.minutes(9, messages=60, bytes=60_000)
    assert "traffic-spike" not in fresh.minutes(4, messages=60, bytes=600_000)
    known.minutes(12, messages=60, bytes=60_000)
    spike = known.minutes(4, messages=60, bytes=600_000)["traffic-spike"]
    assert float(dict(spike.evidence)["usual"]) == pytest.approx(1000, rel=0.1)
    assert float(dict(spike.evidence)["limit"]) < float(dict(spike.evidence)["value"])


def test_a_spike_of_four_times_is_none_and_a_burst_of_one_minute_is_none() -> None:
    node = Node()
    node.minutes(12, messages=60, bytes=60_000)
    assert "traffic-spike" not in node.minutes(5, messages=60, bytes=240_000)
    node.minutes(5, messages=60, bytes=60_000)
    for _ in range(5):
        assert "traffic-spike" not in node.minutes(1, messages=60, bytes=900_000)
        assert "traffic-spike" not in node.minutes(1, messages=60, bytes=60_000)


def test_the_size_of_messages_is_bytes_over_messages_of_the_same_window() -> None:
    node = Node()
    node.minutes(12, messages=60, bytes=60_000)
    assert "large-message" not in node.minutes(4, messages=600, bytes=600_000)  # ten times as many, none larger
    node.minutes(3, messages=60, bytes=60_000)
    assert "large-message" in node.minutes(3, messages=60, bytes=240_000)


def test_an_attack_does_not_become_usual_until_it_has_lasted_an_hour() -> None:
    node = Node()
    node.minutes(60, messages=60, bytes=60_000)
    assert "traffic-spike" in node.minutes(30, messages=60, bytes=600_000)
    assert "traffic-spike" not in node.minutes(90, messages=60, bytes=600_000)


def test_what_bursts_all_the_time_is_not_accused_of_bursts() -> None:
    node = Node()
    for _ in range(6):
        node.minutes(4, messages=60, bytes=60_000)
        node.minutes(2, messages=60, bytes=1_200_000)
    for _ in range(6):
        assert node.minutes(4, messages=60, bytes=60_000) == {}
        assert node.minutes(2, messages=60, bytes=1_200_000) == {}


def test_an_operator_adds_a_signature_and_changes_another() -> None:
    own = '[many-errors]\nsignal = "error_ratio"\nabove = {high = 0.5}\nsamples_min = 10\n'
    own += "[dht-flood]\nabove = {low = 10}\n[data-poisoning]\nenabled = false\n"
    found = Node(own).minutes(1, messages=50, bytes=1, errors=40, puts=30, judged=50, inconsistent=50)
    assert found["many-errors"].severity == "high"
    assert 0.5 < found["many-errors"].confidence < 0.8
    assert found["dht-flood"].severity == "low"
    assert "data-poisoning" not in found


def test_a_reload_keeps_what_is_known_of_the_past() -> None:
    node = Node()
    node.minutes(12, messages=60, bytes=60_000)
    node.detections.use(signatures("[traffic-spike]\nwindows = 1\n"))
    assert "traffic-spike" in node.minutes(1, messages=60, bytes=900_000)


amounts = st.dictionaries(st.sampled_from(COUNTERS), st.floats(allow_nan=True, allow_infinity=True), max_size=4)


@given(st.lists(st.tuples(st.floats(0.0, 4000.0), amounts), max_size=40))
def test_nothing_a_node_tells_raises(told: list[tuple[float, dict[str, float]]]) -> None:
    activity, detections, now = Activity(0.0), Detections(signatures(), 0.0), 0.0
    for step_s, counted in told:
        now += step_s
        activity.count(now, **counted)
        for one in detections.find(activity, ME, now):
            assert 0.0 <= one.confidence <= 1.0


@given(st.lists(st.tuples(st.floats(0.0, 30.0), st.integers(1, 9)), max_size=60), st.sampled_from([10.0, 60.0, 300.0]))
def test_a_window_holds_what_happened_in_it_to_within_a_step(told: list[tuple[float, int]], window_s: float) -> None:
    activity, now, events = Activity(0.0), 0.0, []
    for step_s, count in told:
        now += step_s
        activity.count(now, puts=count)
        events.append((now, count))
    found = SIGNALS["dht_puts"].value(activity.sums(window_s, now))
    assert found is not None
    least = sum(count for at, count in events if now - at < window_s - 5.0)
    most = sum(count for at, count in events if now - at < window_s + 5.0)
    assert least - 1e-3 <= found <= most + 1e-3
