"""One link: what its round trips, losses and silences come to."""

import pytest

from peerscope.mesh.detection.detector import DetectorConfig
from peerscope.mesh.detection.link import DOUBTED_S, GRACE_S, HEARD_S, OUTSTANDING_MAX, RESEND_EVERY, Link
from peerscope.mesh.detection.samples import Loss, RoundTrip
from peerscope.records.bodies import Coordinate
from strategies import ORIGINS

PEER = ORIGINS[0]
RTT_S = 0.02


def link_after(seconds: int, *, pings: bool = True, every: int = 0, config: DetectorConfig | None = None) -> Link:
    """A greeted link that has run well until `seconds`; with `every`, each so-manieth pong was lost."""
    link = Link(PEER, config or DetectorConfig(), pings=pings, now=0.0)
    link.greeted = True
    for second in range(1, seconds + 1):
        if pings:
            number = link.sent_ping(second - RTT_S)
            if not every or second % every:
                link.answered(number, second)
                link.heard(second)
        else:
            link.rtt.sample(RTT_S)
            link.heard(second)
    return link


def lost_after(link: Link, now: float, *, doubt: float = 1.0) -> float:
    """Ping as the link asks, never answered, until it is lost: the silence by then, in seconds."""
    until = now + 60
    while now < until:
        now = min(link.next_ping_at(), link.silent_at(now, doubt))
        if link.is_silent(now, doubt):
            return link.quiet_s(now)
        if link.next_ping_at() <= now:
            link.sent_ping(now)
    raise AssertionError("never lost")


@pytest.mark.parametrize("rtt_s", [0.001, 0.05, 0.4])
def test_the_round_trip_estimate_converges(rtt_s: float) -> None:
    trip = RoundTrip()
    trip.sample(2.0)
    for _ in range(100):
        trip.sample(rtt_s)
    assert trip.smoothed_s == pytest.approx(rtt_s, rel=0.01, abs=1e-4)
    assert trip.deviation_s == pytest.approx(0, abs=1e-3)
    assert trip.last_s == rtt_s
    assert 0.1 <= trip.timeout_s <= max(0.1, 1.1 * rtt_s)


def test_the_first_round_trip_sets_the_estimate_as_in_rfc_6298() -> None:
    trip = RoundTrip()
    assert trip.smoothed_s is None
    trip.sample(0.2)
    assert (trip.smoothed_s, trip.deviation_s) == (0.2, 0.1)
    trip.sample(0.4)
    assert (trip.smoothed_s, trip.deviation_s) == pytest.approx((0.225, 0.125))


@pytest.mark.parametrize("every", [2, 4, 10])
def test_the_loss_ratio_is_the_share_of_pings_without_an_answer(every: int) -> None:
    assert link_after(400, every=every).loss_ratio == pytest.approx(1 / every, abs=0.05)


def test_a_link_without_losses_says_zero_and_one_without_pings_says_nothing() -> None:
    assert link_after(20).loss_ratio == 0.0
    assert link_after(20, pings=False).loss_ratio is None
    assert Loss().ratio is None
    assert Loss().cautious > 0.01


def test_only_an_answer_to_our_own_ping_is_measured() -> None:
    link = link_after(3)
    number = link.sent_ping(3.5)
    assert link.answered(number + 1, 3.6) is None
    assert link.answered(number, 3.6) == pytest.approx(0.1)
    assert link.answered(number, 3.7) is None


def test_unanswered_pings_are_remembered_only_so_far() -> None:
    link = link_after(1)
    numbers = [link.sent_ping(2.0) for _ in range(OUTSTANDING_MAX + 5)]
    assert [link.answered(number, 2.1) for number in numbers[:5]] == [None] * 5
    assert link.answered(numbers[5], 2.1) == pytest.approx(0.1)


@pytest.mark.parametrize("pings", [True, False])
def test_a_good_link_is_lost_soon_after_its_limit_and_never_before(pings: bool) -> None:
    assert 1.5 <= lost_after(link_after(60, pings=pings), 60.0) < 2.0


def test_a_link_is_not_lost_before_enough_probes_lack_an_answer() -> None:
    link = link_after(60)
    assert not link.is_silent(75.0, doubt=1.0)  # we asked nothing, so nothing is missing
    first = link.sent_ping(75.0)
    assert not link.is_silent(75.2, doubt=1.0)
    link.sent_ping(75.25)
    link.sent_ping(75.5)
    link.sent_ping(75.75)
    assert not link.is_silent(75.8, doubt=1.0)  # the last has had no time to be answered
    assert link.is_silent(75.9, doubt=1.0)
    assert link.answered(first, 75.9) == pytest.approx(0.9)


def test_a_lossy_link_is_asked_more_often_before_it_is_lost() -> None:
    asked = []
    for every in (0, 3):
        link = link_after(200, every=every)
        before = link.sent_ping(200.0)
        lost_after(link, 200.0)
        asked.append(link.sent_ping(210.0) - before - 1)
    good, lossy = asked
    assert lossy > good + 5


def test_the_limit_grows_with_our_doubt() -> None:
    assert 3.0 <= lost_after(link_after(60), 60.0, doubt=2.0) < 3.5


def test_a_slow_link_is_given_its_round_trip() -> None:
    link = Link(PEER, DetectorConfig(), pings=True, now=0.0)
    for second in range(30):
        link.answered(link.sent_ping(second), second + (1.6, 2.4)[second % 2])
        link.heard(second + 2.4)
    assert lost_after(link, link.last_heard) > 3.0


def test_a_regular_ping_goes_out_when_it_is_planned_and_not_just_after_the_peer_was_heard() -> None:
    link = link_after(10)
    link.period_s = 4.0
    link.plan(3.0, 10.0)
    assert link.next_ping_at() == 13.0
    link.heard(12.8)
    assert link.next_ping_at() == 12.8 + HEARD_S


def test_the_round_trip_is_measured_however_often_the_peer_is_heard() -> None:
    link = link_after(10)
    link.period_s = 4.0
    for second in range(11, 40):
        link.heard(float(second))
        link.plan(3.0, float(second))
    assert link.next_ping_at() == 10.0 + 4 * 4.0


def test_an_unanswered_ping_is_followed_by_another_at_once_and_then_by_four_a_second() -> None:
    link = link_after(10)
    link.sent_ping(11.0)
    assert not link.is_in_doubt(11.05)
    at = link.next_ping_at()
    assert at == pytest.approx(11.0 + link.rtt.timeout_s)
    assert link.is_in_doubt(at)
    link.sent_ping(at)
    assert link.next_ping_at() == pytest.approx(at + 0.25)
    link.heard(at + 0.1)
    assert not link.is_in_doubt(at + 0.2)


def test_the_other_end_asks_only_when_a_ping_did_not_come() -> None:
    link = link_after(10, pings=False)
    link.period_s = 4.0
    link.plan(3.0, 10.0)
    assert link.next_ping_at() == 13.0 + GRACE_S
    link.heard(12.9)
    assert link.next_ping_at() == 12.9 + HEARD_S + GRACE_S


def test_a_doubted_peer_is_asked_at_once_unless_it_was_just_heard() -> None:
    link = link_after(10)
    link.plan(3.0, 10.0)
    link.urge(12.0)
    assert link.next_ping_at() == 12.0
    link.heard(12.0)
    assert link.next_ping_at() == 13.0
    link.urge(12.1)
    assert link.next_ping_at() == 12.0 + DOUBTED_S


@pytest.mark.parametrize("quiet_s", [0.5, 1.0, 4.0, 30.0])
def test_a_silence_counts_from_a_second_before_the_first_vain_ping(quiet_s: float) -> None:
    """However long nobody asked: else a pause of a moment would be a long silence."""
    link = link_after(10)
    link.set_clock(1_000_000, 10.0)
    link.sent_ping(10.0 + quiet_s)
    began = max(10.0, 10.0 + quiet_s - 1.0 + link.rtt.timeout_s)
    assert link.quiet_s(20.0 + quiet_s) == pytest.approx(20.0 + quiet_s - began)
    assert link.heard_ms() == pytest.approx(1_000_000 + (began - 10.0) * 1000, abs=1)
    link.lose(20.0 + quiet_s)
    link.sent_ping(25.0 + quiet_s)
    assert link.silent_since == pytest.approx(began)


def test_a_lost_link_is_asked_once_a_second_and_is_regained() -> None:
    link = link_after(10)
    link.sent_ping(12.0)
    link.lose(31.0)
    assert (link.is_up, link.flaps(31.0), link.next_ping_at()) == (False, 1, 13.0)
    link.heard(20.0)
    link.regain(31.0)
    assert link.is_up
    assert not link.is_silent(20.1, doubt=1.0)


def test_pings_into_a_lost_link_say_nothing_about_a_living_one() -> None:
    link = link_after(60)
    lost_after(link, 60.0)
    link.lose(31.0)
    for second in range(62, 80):
        number = link.sent_ping(float(second))
    link.answered(number, 79.02)
    assert link.loss_ratio == 0.0


def test_time_in_which_we_were_away_ourselves_is_forgiven() -> None:
    link = link_after(60)
    link.sent_ping(61.0)
    link.forgive(3.0, 64.0)
    assert link.quiet_s(64.0) == pytest.approx(1.0 - link.rtt.timeout_s)
    assert not link.is_silent(64.0, doubt=1.0)
    link.forgive(1000.0, 64.0)
    assert link.last_heard == 64.0


def test_the_neighbours_clock_runs_on_from_what_it_last_told_us() -> None:
    link = Link(PEER, DetectorConfig(), pings=True, now=100.0)
    link.set_clock(1_000_000, 100.0)
    assert link.heard_ms() == 1_000_000
    link.heard(102.5)
    assert link.heard_ms() == 1_002_500


def test_a_neighbour_is_told_our_place_when_it_moved_or_was_not_told_for_long() -> None:
    link = Link(PEER, DetectorConfig(), pings=True, now=0.0)
    link.rtt.sample(0.1)  # of which a twenty-fifth is 4 ms
    place, near, far = (Coordinate((x, 0), 1000, 2000) for x in (0, 3000, 6000))
    assert link.coordinate_to_send(None) is None
    assert link.coordinate_to_send(place) == place
    assert link.coordinate_to_send(near) is None
    assert link.coordinate_to_send(far) == far
    assert [link.coordinate_to_send(far) for _ in range(RESEND_EVERY)] == [None] * (RESEND_EVERY - 1) + [far]
    assert link.coordinate_to_send(Coordinate((6000, 0), 1000, 2600)) is not None
