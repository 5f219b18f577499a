"""When a peer reports on itself, and what it says of its links."""

from collections import Counter
from math import inf
from random import Random

import pytest

from peerscope.mesh.detection.checks import HealthConfig
from peerscope.mesh.detection.detector import DetectorConfig
from peerscope.mesh.detection.link import Link
from peerscope.mesh.report import ReportConfig, Reporter, Situation, interval_s
from peerscope.records.bodies import (
    BODY_BYTES_MAX,
    LINKS_MAX,
    OVERLAY_MAX,
    Check,
    Kind,
    LinkReading,
    OverlayLink,
    Report,
    Status,
    decode_body,
    encode_body,
)
from peerscope.records.measures import Metrics, SystemMetrics
from strategies import ORIGINS

GOOD = (Check(Status.HEALTHY, 1000),) * 4
BAD = (Check(Status.UNHEALTHY, 9500, "cpu"), *GOOD[1:])


def late() -> Random:
    """Chance that lets nearly a whole interval pass."""
    return Random(468)


def reporter(now: float = 0.0) -> Reporter:
    fresh = Reporter(ReportConfig(), HealthConfig(), 10_000, late(), now)
    fresh.measured(GOOD, now)
    return fresh


def report(
    of: Reporter,
    now: float,
    *,
    links: tuple[tuple[Link, bool], ...] = (),
    reachable: int = 1,
    expected: int = 1,
    unreached: int = 0,
    peers: int = 10,
) -> tuple[Report, bool]:
    situation = Situation(frozenset(), None)
    return of.report(
        links, situation, reachable=reachable, expected=expected, unreached=unreached, peers=peers, now=now
    )


def test_nothing_is_reported_before_the_host_was_measured() -> None:
    fresh = Reporter(ReportConfig(), HealthConfig(), 10_000, Random(1), 0.0)
    assert fresh.deadline() == inf
    fresh.measured(GOOD, 3.0)
    assert fresh.deadline() <= 3.0


def test_a_first_measurement_that_takes_a_while_does_not_look_like_a_late_turn() -> None:
    fresh = Reporter(ReportConfig(), HealthConfig(), 10_000, Random(1), 0.0)
    fresh.measured(GOOD, 3.0)
    assert fresh.deadline() == 3.0


def test_reports_come_in_turn() -> None:
    of = reporter()
    said, urgent = report(of, 0.0)
    assert (said.interval_ms, said.status, urgent) == (15_000, Status.HEALTHY, False)
    first = of.deadline()
    assert 0.0 <= first <= 15.0
    of.measured(GOOD, 1.0)
    assert of.deadline() == first
    for _ in range(20):
        now = of.deadline()
        report(of, now)
        assert 14.25 <= of.deadline() - now <= 15.75


def test_who_started_together_soon_reports_apart_and_again_when_intervals_grow() -> None:
    peers = [Reporter(ReportConfig(), HealthConfig(), 10_000, Random(seed), 0.0) for seed in range(100)]
    for peer in peers:
        peer.measured(GOOD, 0.0)
        report(peer, 0.0)
    seconds = Counter(int(peer.deadline()) for peer in peers)
    assert max(seconds.values()) < 40
    for peer in peers:
        report(peer, 6.0, peers=1000)
    tens = Counter(int((peer.deadline() - 6.0) / 20) for peer in peers)
    assert len(tens) == 10
    assert max(tens.values()) < 25


def test_a_changed_status_is_reported_at_once_and_urgently() -> None:
    of = reporter()
    report(of, 0.0)
    of.measured(BAD, 2.0)
    assert of.deadline() == 2.0
    said, urgent = report(of, 2.0)
    assert (said.status, urgent) == (Status.UNHEALTHY, True)
    assert report(of, 7.0)[1] is False


def test_a_report_carries_what_was_measured_last() -> None:
    of = reporter()
    assert report(of, 0.0)[0].metrics is None
    for cpu in (1, 2):
        of.measured(GOOD, 1.0, Metrics(SystemMetrics(cpu)))
    assert report(of, 5.0)[0].metrics == Metrics(SystemMetrics(2))


def test_the_check_of_a_node_is_the_sixth_and_counts_like_the_others() -> None:
    of = reporter()
    assert len(report(of, 0.0)[0].checks) == 5
    of.measured(GOOD, 2.0, None, Check(Status.UNHEALTHY, None, "does not answer"))
    assert of.deadline() == 2.0
    said, urgent = report(of, 2.0)
    assert len(said.checks) == 6
    assert (said.checks[5].message, said.status, urgent) == ("does not answer", Status.UNHEALTHY, True)
    of.measured(GOOD, 3.0)
    assert len(report(of, 3.0)[0].checks) == 5


def test_links_that_change_together_are_reported_together_a_second_later() -> None:
    of = reporter()
    report(of, 0.0)
    of.links_changed(2.0)
    of.links_changed(2.4)
    assert of.deadline() == 3.0


def test_links_that_change_all_the_time_are_reported_once_a_measurement() -> None:
    of = reporter()
    report(of, 0.0)
    of.links_changed(0.2)
    assert of.deadline() == 2.5
    report(of, 2.5)
    of.links_changed(2.6)
    assert of.deadline() == 7.5


@pytest.mark.parametrize(
    ("peers", "expected"), [(1, 5.0), (25, 5.0), (100, 20.0), (1000, 200.0), (2000, 300.0), (6000, 360.0)]
)
def test_the_interval_stretches_to_spare_processors_but_not_beyond_five_minutes(peers: int, expected: float) -> None:
    assert interval_s(peers, shortest_s=5.0, budget_bytes_s=10_000, reports_s_max=5.0) == expected


@pytest.mark.parametrize(("peers", "expected"), [(1, 5.0), (83, 5.0), (100, 6.0), (2000, 120.0)])
def test_the_interval_stretches_with_the_network_to_keep_the_budget(peers: int, expected: float) -> None:
    assert interval_s(peers, shortest_s=5.0, budget_bytes_s=10_000) == expected


def test_links_travel_as_short_names_and_whole_numbers() -> None:
    link = Link(ORIGINS[0], DetectorConfig(), pings=True, now=0.0)
    link.answered(link.sent_ping(0.0), 0.0123456)
    for watches in (True, False):
        said, _ = report(reporter(), 0.0, links=((link, watches),))
        assert said.links == (LinkReading(ORIGINS[0][:8], 12346, 0, watches),)


def test_loss_that_nobody_measured_is_not_zero() -> None:
    for pings in (True, False):
        link = Link(ORIGINS[0], DetectorConfig(), pings=pings, now=0.0)
        assert report(reporter(), 0.0, links=((link, True),))[0].links[0].loss is None


@pytest.mark.parametrize(
    ("reachable", "expected", "unreached", "status", "message"),
    [
        (0, 0, 0, Status.HEALTHY, "no other peer known"),
        (0, 0, 2, Status.UNHEALTHY, "none of 2 bootstrap peers reachable"),
        (0, 8, 0, Status.UNHEALTHY, "0 of 8 neighbours reachable"),
        (5, 8, 0, Status.DEGRADED, "5 of 8 neighbours reachable"),
    ],
)
def test_the_p2p_check_says_whom_it_cannot_reach(
    reachable: int, expected: int, unreached: int, status: Status, message: str
) -> None:
    said, _ = report(reporter(), 0.0, reachable=reachable, expected=expected, unreached=unreached)
    assert len(said.checks) == 5
    assert (said.checks[4].status, said.checks[4].message) == (status, message)


def test_links_that_come_and_go_degrade_the_network_check_for_a_minute() -> None:
    of = reporter()
    for second in (1.0, 2.0):
        of.link_regained(second)
    assert report(of, 3.0)[0].checks[3].status == Status.HEALTHY
    of.link_regained(4.0)
    check = report(of, 5.0)[0].checks[3]
    assert (check.status, check.message) == (Status.DEGRADED, "3 links lost and regained in the last minute")
    assert report(of, 61.5)[0].checks[3].status == Status.HEALTHY


def test_the_node_beside_us_is_the_sixth_check_with_its_neighbours() -> None:
    of = reporter()
    assert report(of, 0.0)[0].overlay == ()
    overlay = (OverlayLink("one", 1000), OverlayLink("two"))
    of.measured(GOOD, 1.0, node=Check(Status.HEALTHY), overlay=overlay)
    said, _ = report(of, 1.0)
    assert said.checks[5:] == (Check(Status.HEALTHY),)
    assert said.overlay == overlay


def test_a_node_that_stops_answering_is_told_at_once_and_leaves_the_other_checks_alone() -> None:
    of = reporter()
    of.measured(GOOD, 0.0, node=Check(Status.HEALTHY))
    before, _ = report(of, 0.0)
    of.measured(GOOD, 1.0, node=Check(Status.UNHEALTHY, None, "gone"))
    assert of.deadline() == 1.0
    said, urgent = report(of, 1.0)
    assert urgent
    assert (said.checks[:5], said.status) == (before.checks[:5], Status.UNHEALTHY)


def test_a_report_of_all_neighbours_there_can_be_still_fits_into_a_record() -> None:
    of = reporter()
    links = []
    for number in range(LINKS_MAX):
        link = Link(bytes((number,)) * 32, DetectorConfig(), pings=True, now=0.0)
        link.answered(link.sent_ping(0.0), 0.3)
        links.append((link, True))
    bad = tuple(Check(Status.UNHEALTHY, 9999, "x" * 160) for _ in range(5))
    overlay = tuple(OverlayLink(f"{number:080}", 100_000) for number in range(OVERLAY_MAX))
    of.measured(bad[:4], 0.0, node=bad[4], overlay=overlay)
    said, _ = report(of, 0.0, links=tuple(links))
    assert len(said.links) == LINKS_MAX
    assert 0 < len(said.overlay) < OVERLAY_MAX
    assert len(encode_body(said)) <= BODY_BYTES_MAX
    assert decode_body(Kind.REPORT, encode_body(said)) == said
