"""Every episode that people heard of has an end that they hear of, and a name, whoever dies and restarts when."""

from collections.abc import Sequence
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Struct
from msgspec.structs import replace

from letters import SENDER, letter
from notices import STEP_S, WALL, Office, alert, group, peer
from peerscope.alerts.conditions import Conditions
from peerscope.alerts.episodes import CLAIM_S, LOST_S, OPEN_ALERTS_MAX
from peerscope.alerts.model import ConditionReading
from peerscope.alerts.notification import Notification, NotificationGroup, groups
from peerscope.alerts.notification_log import Heard, notice_key
from peerscope.alerts.notifier import RETRY_S, RETRY_S_MAX
from peerscope.alerts.notifier_config import NotifierConfig
from peerscope.alerts.rules import default_rules
from peerscope.alerts.silences import StandingOrders
from peerscope.notify.base import Letter
from peerscope.notify.wording import subject, text
from peerscope.records.alerts import Severity
from peerscope.records.identity import PeerId

KEY = "cpu-high-aa"
STEPS = ("claimed", "sent", "answered", "kept")
QUIET_S = LOST_S + 100.0
"""Until nothing can be due any more where channels work."""


def shown(began: float, state: str = "firing", **values: object) -> NotificationGroup:
    """A group as a board shows it; `began`: seconds of the office's clock."""
    found = alert(KEY, started_at=WALL + began, episode=round((WALL + began) * 1000), **values)
    return groups([replace(found, state=state)], (), StandingOrders())[0]


def key(message: Notification) -> str:
    return Letter(message, SENDER, 0.0).idempotency_key


def states(office: Office) -> list[str]:
    """What a receiver knows that drops what it has: the states, in order."""
    keys: dict[str, str] = {}
    for _, _, message in office.taken:
        keys.setdefault(key(message), message.what)
    return list(keys.values())


class World:
    """One condition, and the boards of notifiers: whoever runs at its end sees it resolved, others see it no more."""

    def __init__(self, office: Office, episodes: Sequence[tuple[float, float]]) -> None:
        self.office = office
        self.episodes = episodes
        self.started = dict.fromkeys(office.notifiers, 0.0)
        office.sees = self.see

    def see(self, name: PeerId) -> list[NotificationGroup]:
        found: list[NotificationGroup] = []
        for began, ended in self.episodes:
            if began <= self.office.now < ended:
                found = [shown(began)]
            elif ended <= self.office.now and self.started[name] < ended:
                found = [shown(began, "resolved", resolved_at=WALL + ended)]
        return found

    def restart(self, name: PeerId) -> None:
        self.started[name] = self.office.now
        self.office.restart(name)


class Event(Struct, frozen=True):
    at: float
    name: int
    does: str


times = st.integers(0, 120).map(float)
events = st.lists(st.builds(Event, times, st.integers(1, 3), st.sampled_from(("kill", "restart", "down"))), max_size=6)
deaths = st.sets(st.tuples(st.integers(1, 3), st.integers(0, 3), st.sampled_from(STEPS)), max_size=3)


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("what", ["firing", "resolved"])
@pytest.mark.parametrize("others", [0, 2])
def test_a_notifier_killed_at_any_step_of_a_message_leaves_no_episode_open(step: str, what: str, others: int) -> None:
    office = Office(1 + others)
    world = World(office, [(1.0, 30.0)])
    died: list[PeerId] = []

    def dies_at(name: PeerId, at: str) -> bool:
        is_due = at == step and not died and any(one.key.endswith(what) for one in office.notifiers[name].notices)
        died.extend([name] * is_due)
        return is_due

    office.dies_at = dies_at
    office.run(40)
    assert len(died) == 1
    office.gone = set(died)
    office.run(30)
    world.restart(died[0])
    office.run(QUIET_S)
    assert states(office)[-1] == "resolved"
    assert states(office) in (["firing", "resolved"], ["resolved"]), "the second where it died before a word left"


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 3), events, deaths, st.floats(5.0, 60.0), st.booleans(), st.floats(0.0, 7.0))
def test_every_announced_episode_ends_exactly_once_whoever_is_killed_and_restarts_when(
    notifiers: int, plan: list[Event], fatal: set[tuple[int, int, str]], lasts_s: float, again: bool, delay_s: float
) -> None:
    """`fatal`: (notifier, which of its messages, step) at which it dies."""
    office = Office(notifiers, delay_s=lambda one, other: delay_s)
    office.step_s = 1.0
    episodes = [(2.0, 2.0 + lasts_s), *([(90.0, 120.0)] if again else [])]
    world = World(office, episodes)
    steps = dict.fromkeys([(name, step) for name in office.notifiers for step in STEPS], -1)
    cut_short: list[PeerId] = []
    killed = sum(event.does == "kill" for event in plan)

    def dies_at(name: PeerId, step: str) -> bool:
        steps[name, step] += 1
        dies = (name[0], steps[name, step], step) in fatal and office.now < 140.0
        cut_short.extend([name] * dies)
        return dies

    office.dies_at = dies_at
    for event in sorted(plan, key=lambda event: event.at):
        office.run(max(0.0, event.at - office.now))
        name = peer(event.name)
        if event.name > notifiers:
            continue
        if event.does == "kill":
            office.kill(name)
        elif event.does == "down" and name in office.killed:
            office.gone.add(name)
        elif event.does == "restart":
            world.restart(name)
    office.run(max(0.0, 140.0 - office.now))
    for name in sorted(office.killed):
        world.restart(name)
    office.run(QUIET_S)
    found = states(office)
    begun, ended = found.count("firing"), found.count("resolved")
    if not cut_short and not killed:
        assert found == ["firing", "resolved"] * begun, "one message for each beginning and end"
    assert not found or found[-1] == "resolved", "the last word is that it is over"
    assert begun <= len(episodes)
    assert ended <= begun + len(cut_short), "a message that never left may be ended all the same"
    assert begun <= ended + len(cut_short) + killed, "one end may speak for two times that nobody could tell apart"
    assert all(not one.owed for one in office.notifiers.values()), "nothing is owed any more"


@settings(max_examples=40, deadline=None)
@given(
    st.integers(1, 3),
    st.lists(st.sampled_from([0.1, 7.0, 1e9]), min_size=9, max_size=9),
    st.lists(st.floats(-5.0, 5.0), min_size=3, max_size=3),
    st.lists(st.tuples(st.integers(1, 3), st.integers(0, 70)), max_size=4),
    st.integers(10, 60),
    st.floats(0.0, 1200.0),
)
def test_the_key_names_the_episode_and_its_step_at_every_notifier_and_at_any_time(
    notifiers: int,
    delays_s: list[float],
    skews_s: list[float],
    restarts: list[tuple[int, int]],
    lasts_s: int,
    began: float,
) -> None:
    """Notifiers that never hear each other, reckon the beginning differently, and restart, give the same keys."""
    office = Office(notifiers, delay_s=lambda one, other: delays_s[one[0] * 3 + other[0] - 4])
    office.now, office.step_s = began, 1.0
    episodes = [(began + 2.0, began + 2.0 + lasts_s), (began + 320.0, began + 350.0)]
    world = World(office, episodes)

    def skewed(name: PeerId) -> list[NotificationGroup]:
        off_s = skews_s[name[0] - 1]
        return [replace(one, started_at=one.started_at + off_s) for one in world.see(name)]

    office.sees = skewed
    for number, at in sorted(restarts, key=lambda one: one[1]):
        office.run(max(0.0, began + at - office.now))
        if number <= notifiers:
            world.restart(peer(number))
    office.run(began + 350.0 + QUIET_S - office.now)
    keys: dict[tuple[int, str], set[str]] = {}
    for at, _, message in office.taken:
        which = int(at >= episodes[1][0])
        keys.setdefault((which, message.what), set()).add(key(message))
    assert {step: len(found) for step, found in keys.items()} == {
        (n, w): 1 for n in (0, 1) for w in ("firing", "resolved")
    }
    assert len(set.union(*keys.values())) == 4, "and no two of them are the same"


def test_what_ended_for_people_and_fires_on_has_another_key() -> None:
    office = Office(3)
    for state in ("firing", "resolved", "firing", "resolved", "firing"):
        office.groups = [shown(0.0, state, resolved_at=WALL + office.now if state == "resolved" else None)]
        office.run(120)
    assert [one.what for _, _, one in office.taken] == ["firing", "resolved", "firing", "resolved", "firing"]
    assert len(states(office)) == 5


def test_alerts_of_one_moment_have_names_of_their_own_and_an_incident_has_one_of_theirs() -> None:
    alerts = [alert(f"peer-down-{n:02}", episode=1_700_000_000_000) for n in range(100)]
    names = [one.episode for one in groups(alerts, (), StandingOrders())]
    assert len(set(names)) == 100
    assert all(0 < name < 2**53 and name & 255 == 0 for name in names)


def test_every_repetition_has_a_key_and_a_number_of_its_own_over_a_restart() -> None:
    office = Office(2, NotifierConfig(escalate_after_s=50.0))
    office.groups = [replace(shown(0.0), severity="critical")]
    office.run(170)
    for name in office.notifiers:
        office.restart(name)
    office.run(100)
    repeats = [one.repeat for _, _, one in office.taken if one.what == "escalated"]
    assert repeats == [1, 2, 3, 4, 5]
    assert len(states(office)) == 6


def test_attempts_grow_further_apart_and_stay_within_a_bound() -> None:
    office = Office(1)
    office.answers = lambda name, message: False
    office.groups = [shown(0.0)]
    office.run(2000)
    tries = [at for at, _, _ in office.told()]
    waits = [b - a for a, b in pairwise(tries)]
    assert waits == sorted(waits)
    assert RETRY_S <= waits[0] <= RETRY_S + 2 * STEP_S
    assert RETRY_S_MAX <= waits[-1] <= RETRY_S_MAX + 2 * STEP_S


def test_the_end_of_what_could_never_be_told_is_one_message_that_says_so() -> None:
    office = Office(2)
    office.answers = lambda name, message: office.now > 100.0
    office.groups = [shown(0.0)]
    office.run(40)
    office.groups = [shown(0.0, "resolved", resolved_at=WALL + 40.0)]
    office.run(400)
    assert [(m.what, m.reason) for _, _, m in office.taken] == [("resolved", "missed")]


def test_nothing_is_said_of_what_ended_before_anybody_tried() -> None:
    office = Office(2)
    office.groups = [shown(0.0)]
    office.run(2)
    office.groups = [shown(0.0, "resolved", resolved_at=WALL + 2.0)]
    office.run(400)
    for name in office.notifiers:
        office.restart(name)
    office.groups = []
    office.run(400)
    assert office.sent == []


def test_an_alert_that_fires_again_soon_after_a_restart_is_no_second_message() -> None:
    """A restarted peer sees its own condition fire again after `for_s`, as if it had begun then."""
    office = Office(1)
    office.groups = [shown(0.0)]
    office.run(20)
    office.restart(peer(1))
    office.groups = []
    office.run(LOST_S - 30.0)
    office.groups = [shown(office.now)]
    office.run(400)
    assert states(office) == ["firing"]
    office.groups = [shown(office.now - 400.0, "resolved", resolved_at=WALL + office.now)]
    office.run(60)
    assert states(office) == ["firing", "resolved"]


def test_an_incident_that_dissolves_goes_on_while_one_of_its_alerts_fires_and_then_ends() -> None:
    office = Office(2)
    members = tuple(alert(f"peer-down-{n:02}", episode=n + 1) for n in range(3))
    office.groups = [group("pattern-peer-down-1", incident="pattern", alerts=members, episode=512)]
    office.run(20)
    left = group("peer-down-01", alerts=members[1:2], earlier_groups=(("pattern-peer-down-1", WALL),))
    office.groups = [left]
    office.run(400)
    assert [m.what for _, _, m in office.taken] == ["firing"], "people know of it"
    over = replace(members[1], state="resolved", resolved_at=WALL + office.now)
    office.groups = [replace(left, state="resolved", alerts=(over,), resolved_at=over.resolved_at)]
    office.run(400)
    last = office.taken[-1][2]
    assert (last.what, last.group.key, last.updates) == ("resolved", "peer-down-01", ("pattern-peer-down-1",))
    assert len(office.taken) == 2


def test_an_alert_told_alone_that_an_incident_took_over_ends_with_it_also_over_a_restart() -> None:
    office = Office(2)
    one, other = (alert(f"peer-down-{n:02}", episode=n + 1) for n in range(2))
    office.groups = [group("peer-down-00", alerts=(one,))]
    office.run(20)
    incident = group("region-outage-eu-1", alerts=(one, other), incident="region-outage", episode=512)
    office.groups = [incident]
    office.run(60)
    for name in office.notifiers:
        office.restart(name)
    office.run(60)
    office.groups = [replace(incident, state="resolved", resolved_at=WALL + office.now)]
    office.run(400)
    ends = [(m.group.key, m.updates) for _, _, m in office.taken if m.what == "resolved"]
    assert ends == [("region-outage-eu-1", ("peer-down-00",))]
    assert all(not one.owed for one in office.notifiers.values())


def test_an_alert_of_a_told_incident_is_not_told_anew_when_a_restart_shows_it_alone() -> None:
    office = Office(2)
    members = tuple(alert(f"peer-down-{n:02}", episode=n + 1) for n in range(3))
    office.groups = [group("pattern-peer-down-1", incident="pattern", alerts=members, episode=512)]
    office.run(20)
    for name in office.notifiers:
        office.restart(name)
    office.groups = [group("peer-down-01", alerts=members[1:2], episode=256)]
    office.run(400)
    assert [one.what for _, _, one in office.taken] == ["firing"]
    ended = replace(members[1], state="resolved", resolved_at=WALL + office.now)
    office.groups = [replace(office.groups[0], alerts=(ended,), state="resolved", resolved_at=ended.resolved_at)]
    office.run(60)
    again = alert("peer-down-01", started_at=WALL + office.now, episode=9)
    office.groups = [group("peer-down-01", alerts=(again,), started_at=again.started_at, episode=768)]
    office.run(60)
    assert [one.what for _, _, one in office.taken] == ["firing", "resolved", "firing"], "another time is told"


def test_a_claim_that_is_renewed_for_ever_does_not_hold_back_the_end() -> None:
    office = Office(2)
    office.groups = [shown(0.0)]
    office.run(20)
    teller = office.taken[0][1]
    liar = next(name for name in office.notifiers if name != teller)
    office.groups = [replace(shown(0.0, "resolved"), resolved_at=WALL + 20.0)]
    office.kill(liar)
    heard_by = office.heard_by

    def lying(observer: PeerId) -> list[Heard]:
        return [*heard_by(observer), Heard(notice_key(KEY, "firing"), office.now, Severity.CRITICAL, False, peer=liar)]

    office.heard_by = lying  # type: ignore[method-assign]
    office.run(2 * CLAIM_S)
    assert states(office) == ["firing", "resolved"]


def test_what_outlives_a_restart_is_bounded() -> None:
    office = Office(1)
    many = tuple(alert(f"peer-down-{n:04}") for n in range(1000))
    office.groups = [group("pattern-1", incident="pattern", alerts=many, episode=512)]
    office.run(20)
    (kept,) = office.notifiers[peer(1)].owed
    assert len(kept.group.alerts) == OPEN_ALERTS_MAX


def test_the_speaker_of_an_alert_names_the_time_that_it_fires_once_and_for_all() -> None:
    rule = next(one for one in default_rules() if one.name == "cpu-high")
    rule = replace(rule, for_s=0.0, clear_for_s=0.0)
    conditions = Conditions()
    names = []
    for now, value in ((0.0, 0.95), (5.0, 0.99), (10.0, 0.1), (20.0, 0.95)):
        conditions.observe(rule, [ConditionReading(value)], now)
        conditions.name_episodes(WALL + 100.0 * now)  # its clock is set while the condition lasts
        names.append(next(iter(conditions))[1].episode)
    assert names[0] == names[1] == names[2]
    assert names[3] not in (0, names[0])


def test_the_words_of_a_message_say_how_the_end_was_seen() -> None:
    def words(reason: str) -> tuple[str, str]:
        found = letter("resolved")
        found = replace(found, message=replace(found.message, reason=reason, updates=("peer-down-00",)))
        return subject(found), text(found)

    assert words("resolved")[0].startswith("[RESOLVED] ")
    assert words("lost")[0].startswith("[NO LONGER REPORTED] ")
    assert "Nobody saw when and how it ended." in words("lost")[1]
    assert "No channel took the message that it began" in words("missed")[1]
    assert "Ends also: peer-down-00" in words("resolved")[1]
