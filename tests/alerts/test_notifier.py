"""Who tells people: one message for one alert, whatever becomes of the notifiers."""

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from notices import STEP_S, WALL, Office, alert, group, peer
from peerscope.alerts.episodes import CLAIM_S
from peerscope.alerts.notification import Notification, NotificationGroup
from peerscope.alerts.notification_log import Heard, Roster, SentNotice, notice_key, ranked
from peerscope.alerts.notifier import RANK_S, RETRY_S, Notifier, NotifierState
from peerscope.alerts.notifier_config import NotifierConfig
from peerscope.errors import ConfigError
from peerscope.records.alerts import NOTICES_MAX, Severity
from peerscope.records.identity import PeerId

KEY = "cpu-high-aa"


def order(office: Office, key: str = KEY) -> list[PeerId]:
    return ranked(key, office.notifiers)


def test_one_of_five_tells_after_the_wait_for_company_and_the_others_never() -> None:
    office = Office(5)
    office.groups = [group()]
    office.run(300)
    ((at, author, key),) = office.told()
    assert 3.0 <= at <= 3.0 + 2 * STEP_S
    assert (author, key) == (order(office)[0], KEY)


def test_every_key_has_an_order_of_its_own_that_a_loss_does_not_shuffle() -> None:
    peers = [peer(n) for n in range(1, 21)]
    orders = {tuple(ranked(f"cpu-high-{n}", peers)) for n in range(20)}
    assert len(orders) == 20
    whole = ranked(KEY, peers)
    assert ranked(KEY, [p for p in reversed(peers) if p != whole[3]]) == whole[:3] + whole[4:]


def test_a_notifier_killed_before_it_sent_is_replaced_within_twenty_seconds() -> None:
    office = Office(5)
    office.groups = [group()]
    office.run(1)
    office.kill(order(office)[0])  # and nobody ever calls it down
    office.run(300)
    ((at, author, _),) = office.told()
    assert author == order(office)[1]
    assert at <= 20


def test_the_next_one_does_not_wait_once_the_first_is_known_to_be_down() -> None:
    office = Office(5)
    office.groups = [group()]
    office.run(1)
    office.kill(order(office)[0])
    office.run(5)
    office.gone = {order(office)[0]}
    office.run(60)
    ((at, author, _),) = office.told()
    assert author == order(office)[1]
    assert at <= 6 + 2 * STEP_S


def test_a_notifier_killed_with_the_message_in_its_hands_takes_nothing_with_it() -> None:
    office = Office(5)
    office.groups = [group()]
    first, second, *_ = order(office)
    office.answers = lambda author, message: None if author == first else True
    office.run(4)
    assert [author for _, author, _ in office.told()] == [first]
    office.kill(first)
    office.run(4)
    assert len(office.told()) == 1, "it claimed the message and may yet deliver it"
    office.gone = {first}
    office.run(300)
    assert [author for _, author, _ in office.told()] == [first, second]


def test_a_slow_channel_does_not_make_others_send() -> None:
    office = Office(5)
    office.groups = [group()]
    office.answers = lambda author, message: True if office.now > 3 + CLAIM_S - 10 else None
    office.run(300)
    assert len(office.told()) == 1


def test_a_channel_that_hangs_for_minutes_is_given_up() -> None:
    office = Office(2)
    office.groups = [group()]
    first, second = order(office)
    office.answers = lambda author, message: None if author == first else True
    office.run(3 * CLAIM_S)
    assert [author for _, author, _ in office.told()] == [first, second]


def test_when_all_channels_of_the_first_fail_the_next_one_sends_at_once_and_alone() -> None:
    office = Office(5)
    office.groups = [group()]
    first, second, *_ = order(office)
    office.answers = lambda author, message: (False if office.now > 30 else None) if author == first else True
    office.run(400)
    assert [author for _, author, _ in office.told()] == [first, second]
    assert office.told()[1][0] <= 30 + 1.0 + 3 * STEP_S


def test_while_all_channels_of_all_fail_they_take_turns_and_one_message_arrives_when_they_work_again() -> None:
    office = Office(3)
    office.groups = [group()]
    office.answers = lambda author, message: office.now > 200
    office.run(200)
    tries = office.told()
    assert {author for _, author, _ in tries} == set(office.notifiers)
    for name in office.notifiers:
        mine = [at for at, author, _ in tries if author == name]
        assert all(b - a >= RETRY_S for a, b in pairwise(mine)), "no storm of attempts"
    office.run(300)
    assert len([at for at, _, _ in office.told() if at > 200]) == 1


def test_low_severity_is_not_told_unless_wanted() -> None:
    office = Office(2)
    office.groups = [group(severity="low")]
    office.run(60)
    assert office.told() == []
    office = Office(2, NotifierConfig(min_severity="low"))
    office.groups = [group(severity="low")]
    office.run(60)
    assert len(office.told()) == 1


def test_what_grows_is_told_again_only_when_it_gets_worse() -> None:
    office = Office(3)
    key = "pattern-peer-down-1"

    def incident(size: int, severity: str) -> None:
        members = tuple(alert(f"peer-down-{n:02}", "medium") for n in range(size))
        office.groups = [group(key, severity, alerts=members, incident="pattern")]
        office.run(60)

    incident(5, "medium")
    incident(50, "medium")
    assert len(office.told()) == 1
    incident(60, "high")
    incident(60, "medium")
    incident(60, "high")
    assert [(m.severity.name, m.reason) for _, _, m in office.sent] == [("MEDIUM", "new"), ("HIGH", "worse")]


def test_an_alert_told_alone_that_joins_an_incident_is_told_once_more_under_its_name() -> None:
    office = Office(3)
    office.groups = [group("peer-down-01")]
    office.run(20)
    members = (alert("peer-down-01"), alert("peer-down-02"))
    incident = group("region-outage-eu-1", alerts=members, incident="region-outage")
    office.groups = [incident]
    office.run(60)
    _, last = (message for _, _, message in office.sent)
    assert (last.reason, last.updates) == ("update", ("peer-down-01",))
    # The incident closes while one of its alerts still fires: people have heard of it.
    closed = replace(incident, state="resolved", resolved_at=WALL + office.now)
    office.groups = [closed, group("peer-down-02", earlier_groups=(("region-outage-eu-1", WALL),))]
    office.run(200)
    assert [key for _, _, key in office.told()] == ["peer-down-01", "region-outage-eu-1"]
    assert [key for _, _, key in office.told("resolved")] == ["region-outage-eu-1"]


def test_an_alert_that_joined_a_told_incident_late_is_not_told_when_it_outlives_it() -> None:
    office = Office(2)
    office.groups = [group("region-outage-eu-1", incident="region-outage")]
    office.run(100)
    late = group("peer-down-09", started_at=WALL + 90, earlier_groups=(("region-outage-eu-1", WALL),))
    office.groups = [replace(office.groups[0], state="resolved"), late]
    office.run(100)
    assert [key for _, _, key in office.told()] == ["region-outage-eu-1"]


def test_an_incident_that_peers_know_by_different_names_is_told_once_and_ends_once() -> None:
    office = Office(4)
    names = ("region-outage-eu-1", "pattern-peer-down-1")

    def seen(name: PeerId) -> list[NotificationGroup]:
        key = names[name[0] % 2]  # where it was a pattern at first, it is still called so
        return [group(key, state=state, names=names, incident="region-outage")]

    state = "firing"
    office.sees = seen
    office.run(60)
    state = "resolved"
    office.run(60)
    assert [m.what for _, _, m in office.sent] == ["firing", "resolved"]


def test_an_alert_of_an_earlier_incident_of_the_same_name_is_told() -> None:
    office = Office(2)
    office.groups = [group("pattern-x-1", incident="pattern")]
    office.run(30)
    again = WALL + office.now + 60.0
    office.groups = [replace(office.groups[0], state="resolved")]
    office.run(90)
    late = group("cpu-high-09", started_at=again, earlier_groups=(("pattern-x-1", again),))
    office.groups = [late]
    office.run(60)
    assert [key for _, _, key in office.told()] == ["pattern-x-1", "cpu-high-09"]


def test_the_end_is_told_by_whoever_told_the_beginning_and_only_then() -> None:
    office = Office(5)
    office.groups = [group("never-told", "low"), group()]
    office.run(20)
    (_, teller, _), *_ = office.told()
    office.gone = set()
    office.groups = [replace(one, state="resolved") for one in office.groups]
    office.run(200)
    ((_, author, key),) = office.told("resolved")
    assert (author, key) == (teller, KEY)


def test_the_end_comes_from_the_second_where_the_second_told_the_beginning() -> None:
    office = Office(5)
    office.groups = [group()]
    first, second, *_ = order(office)
    office.kill(first)
    office.run(30)
    office.killed = set()
    office.run(10)
    office.groups = [replace(group(), state="resolved")]
    office.run(200)
    assert [author for _, author, _ in office.told()] == [second]
    assert [author for _, author, _ in office.told("resolved")] == [second]


def test_what_was_told_to_be_over_and_is_not_is_told_again_after_a_while() -> None:
    office = Office(3)
    for state in ("firing", "resolved", "firing"):
        office.groups = [group(state=state)]  # since the same time as before
        office.run(30)
    assert len(office.told()) == 1, "two sides that meet again may just not agree yet"
    office.run(60)
    assert len(office.told()) == 2


def test_a_claim_to_tell_less_does_not_hold_back_what_is_worse() -> None:
    office = Office(3)
    first, second, _ = order(office)
    office.answers = lambda author, message: None if author == first else True
    office.groups = [group(severity="medium")]
    office.run(10)
    office.groups = [group(severity="critical")]
    office.run(30)
    assert [(author, m.severity.name) for _, author, m in office.sent] == [(first, "MEDIUM"), (second, "CRITICAL")]


def test_the_end_is_told_by_another_one_when_the_teller_is_gone() -> None:
    office = Office(5)
    office.groups = [group()]
    office.run(20)
    first, second, *_ = order(office)
    office.kill(first)
    office.gone = {first}
    office.groups = [replace(group(), state="resolved")]
    office.run(200)
    assert [author for _, author, _ in office.told("resolved")] == [second]


def test_the_end_is_not_told_where_nobody_wants_it_and_the_next_time_is_told_again() -> None:
    office = Office(3, NotifierConfig(send_resolved=False))
    for _ in range(3):
        office.groups = [group(started_at=WALL + office.now)]
        office.run(60)
        office.groups = [replace(office.groups[0], state="resolved")]
        office.run(60)
    assert len(office.told()) == 3
    assert office.told("resolved") == []


def test_the_same_id_firing_again_is_a_new_message_after_the_end_was_told() -> None:
    office = Office(4)
    for _ in range(3):
        office.groups = [group(started_at=WALL + office.now)]
        office.run(30)
        office.groups = [replace(office.groups[0], state="resolved")]
        office.run(30)
    assert len(office.told()) == 3
    assert len(office.told("resolved")) == 3


def test_an_alert_that_only_blinks_is_neither_ended_nor_begun_again() -> None:
    office = Office(3)
    for _ in range(5):
        office.groups = [group()]
        office.run(20)
        office.groups = [replace(group(), state="resolved")]
        office.run(1)
    assert len(office.told()) == 1
    assert office.told("resolved") == []


def test_silence_holds_messages_back_until_it_ends() -> None:
    office = Office(3)
    office.groups = [group(silenced=True)]
    office.run(600)
    assert office.sent == []
    office.groups = [group()]
    office.run(60)
    ((at, _, _),) = office.told()
    assert at <= 604


def test_what_resolves_in_silence_is_never_told() -> None:
    office = Office(3)
    office.groups = [group(silenced=True)]
    office.run(60)
    office.groups = [replace(group(), state="resolved")]
    office.run(60)
    assert office.sent == []


def test_a_critical_alert_is_repeated_until_somebody_looks_after_it() -> None:
    office = Office(3, NotifierConfig(escalate_after_s=100))
    office.groups = [group(severity="critical")]
    office.run(320)
    repeats = [(at, m.repeat) for at, _, m in office.sent if m.what == "escalated"]
    assert [number for _, number in repeats] == [1, 2, 3]
    assert [round(at / 100) for at, _ in repeats] == [1, 2, 3]
    assert {author for _, author, _ in office.sent} == {order(office)[0]}
    office.groups = [group(severity="critical", acknowledged=True)]
    office.run(1000)
    assert len(office.sent) == 4


def test_high_is_not_repeated_and_neither_is_what_is_over() -> None:
    office = Office(2, NotifierConfig(escalate_after_s=10))
    office.groups = [group(severity="high")]
    office.run(200)
    office.groups = [replace(group(severity="critical"), state="resolved")]
    office.run(200)
    assert office.told("escalated") == []


def test_another_one_goes_on_repeating_when_the_teller_is_gone() -> None:
    office = Office(3, NotifierConfig(escalate_after_s=50))
    office.groups = [group(severity="critical")]
    office.run(70)
    first, second, _ = order(office)
    office.kill(first)
    office.gone = {first}
    office.run(200)
    later = [(at, author) for at, author, _ in office.told("escalated") if at > 70]
    assert {author for _, author in later} == {second}
    assert all(49 <= b - a <= 66 for (a, _), (b, _) in pairwise(later))


def test_a_notifier_that_comes_back_remembers_what_it_told() -> None:
    office = Office(1)
    office.groups = [group()]
    office.run(20)
    kept = office.notifiers[peer(1)].notices
    office.settle_s = 10.0
    office.notifiers[peer(1)] = office.notifier(peer(1), earlier=NotifierState(kept))
    office.run(60)
    assert len(office.told()) == 1
    office.groups = [replace(group(), state="resolved")]
    office.run(60)
    assert len(office.told("resolved")) == 1


def test_a_claim_of_an_earlier_life_came_to_nothing() -> None:
    claim = SentNotice(notice_key(KEY, "firing"), -10.0, Severity.HIGH, delivered=False)
    office = Office(1)
    office.notifiers[peer(1)] = office.notifier(peer(1), earlier=NotifierState((claim,)))
    office.groups = [group()]
    office.run(60)
    assert len(office.told()) == 1


def test_a_notifier_that_stood_still_hears_first_what_others_told_meanwhile() -> None:
    office = Office(3)
    office.settle_s = 10.0
    office.notifiers = {name: office.notifier(name) for name in office.notifiers}
    office.groups = [group()]
    first = order(office)[0]
    office.run(2)
    office.kill(first)
    office.gone = {first}
    office.run(60)
    assert len(office.told()) == 1
    awake_at = office.now
    office.delay_s = lambda one, other: 1e9 if other == first and office.now < awake_at + 3.0 else 0.1
    office.killed, office.gone = set(), set()
    office.run(60)
    assert len(office.told()) == 1


def test_a_peer_that_claims_and_never_delivers_cannot_keep_a_message_back() -> None:
    office = Office(3)
    office.groups = [group()]
    liar = SentNotice(notice_key(KEY, "firing"), 0.0, Severity.CRITICAL, delivered=False)
    first = order(office)[0]

    class Liar(Notifier):
        @property
        def notices(self) -> tuple[SentNotice, ...]:
            return (replace(liar, at=office.now // 100 * 100),)

        def update(self, *_: object) -> list[Notification]:
            return []

    office.notifiers[first] = Liar(first, office.config, 0.0)
    office.run(2 * CLAIM_S)
    assert [author for _, author, _ in office.told()] == [order(office)[1]]


def test_a_newcomer_does_not_repeat_what_was_told_before_it_came() -> None:
    office = Office(3)
    office.groups = [group()]
    office.run(60)
    first = order(office)[0]
    office.notifiers[peer(9)] = office.notifier(peer(9))
    office._waiting[peer(9)] = []
    office._records[peer(9)] = []
    office.kill(first)
    office.gone = {first}
    office.run(300)
    assert len(office.told()) == 1


def test_each_side_of_a_partition_tells_once_and_nobody_again_after_it_healed() -> None:
    office = Office(6)
    left = {peer(n) for n in (1, 2, 3)}
    is_split = True

    def delay_s(one: PeerId, other: PeerId) -> float:
        return 1e9 if is_split and (one in left) != (other in left) else 0.1

    office.delay_s = delay_s
    roster = {True: tuple(sorted(left)), False: tuple(sorted(set(office.notifiers) - left))}
    keys = {True: "partition-right", False: "partition-left"}
    office.sees = lambda name: [group(keys[name in left])]
    update = Notifier.update
    for name, notifier in office.notifiers.items():

        def seeing(groups, heard, _, now, wall, n=notifier, mine=roster[name in left]):  # type: ignore[no-untyped-def]
            living = Roster(mine, mine) if is_split else Roster(tuple(office.notifiers), tuple(office.notifiers))
            return update(n, groups, heard, living, now, wall)

        notifier.update = seeing  # type: ignore[method-assign]
    office.run(60)
    assert sorted(key for _, _, key in office.told()) == sorted(keys.values())
    is_split = False
    both = [group(key) for key in keys.values()]
    office.sees = lambda name: both
    office.run(2)
    over = [replace(one, state="resolved") for one in both]
    office.sees = lambda name: over
    office.run(300)
    assert len(office.told()) == 2
    assert sorted(key for _, _, key in office.told("resolved")) == sorted(keys.values())


@settings(max_examples=60)
@given(
    st.integers(1, 6),
    st.lists(st.floats(0.0, 7.0), min_size=36, max_size=36),
    st.lists(st.floats(0.0, 7.0), min_size=6, max_size=6),
    st.integers(0, 2**32),
)
def test_whoever_hears_of_it_in_whatever_order_one_sends(
    notifiers: int, delays: list[float], sights: list[float], salt: int
) -> None:
    """All see the alert, and hear each other, within fifteen seconds in all: no more than one turn."""
    key = f"cpu-high-{salt}"

    def delay_s(one: PeerId, other: PeerId) -> float:
        return delays[(one[0] - 1) * 6 + other[0] - 1]

    office = Office(notifiers, delay_s=delay_s)
    shown = [group(key)]
    office.sees = lambda name: shown if office.now >= sights[name[0] - 1] else []
    office.run(4 * RANK_S + notifiers * RANK_S)
    assert [told for _, _, told in office.told()] == [key]


@given(st.permutations(range(6)), st.lists(st.integers(0, 5), max_size=6), st.integers(0, 5))
def test_order_and_repetition_of_notices_change_nothing(order: list[int], again: list[int], delivered: int) -> None:
    heard = [
        Heard(notice_key(KEY, "firing"), 1.0 + n, Severity(n % 4), delivered=n >= delivered, peer=peer(n + 2))
        for n in range(6)
    ]
    roster = Roster(tuple(peer(n) for n in range(1, 9)))

    def outcome(notices: list[Heard]) -> tuple[list[object], float, tuple[SentNotice, ...]]:
        notifier = Notifier(peer(1), NotifierConfig(), 0.0, settle_s=0.0)
        found: list[object] = []
        for now in (10.0, 13.5, 40.0, 100.0, 300.0):
            found += notifier.update([group()], notices, roster, now, WALL + now)
        return found, notifier.deadline(), notifier.notices

    assert outcome([heard[n] for n in order] + [heard[n] for n in again]) == outcome(heard)


def test_more_notices_than_a_record_holds_drop_those_that_are_over_first() -> None:
    office = Office(1)
    over = [group(f"cpu-high-{n:03}") for n in range(100)]
    office.groups = over
    office.run(20)
    firing = [group(f"memory-high-{n:03}", started_at=WALL + office.now) for n in range(100)]
    office.groups = [*(replace(one, state="resolved") for one in over), *firing]
    office.run(60)
    kept = {told.key for told in office.notifiers[peer(1)].notices}
    assert len(kept) == NOTICES_MAX
    assert {notice_key(one.key, "firing") for one in firing} <= kept
    assert len(office.told()) == 200


def test_a_long_key_is_named_within_what_a_record_allows_and_stays_distinct() -> None:
    long = ["region-outage-" + "x" * 60 + str(n) for n in range(2)]
    names = {notice_key(key, what) for key in long for what in ("firing", "resolved")}
    assert len(names) == 4
    assert all(len(name) <= 64 for name in names)
    assert notice_key("short", "firing") == "short:firing"


@pytest.mark.parametrize(
    ("values", "wish"),
    [({"group_wait_s": -1}, "notify.group_wait_s"), ({"escalate_after_s": 1}, "notify.escalate_after_s")],
)
def test_settings_out_of_bounds_are_refused_by_name(values: dict[str, float], wish: str) -> None:
    with pytest.raises(ConfigError, match=wish):
        NotifierConfig(**values)  # type: ignore[arg-type]
