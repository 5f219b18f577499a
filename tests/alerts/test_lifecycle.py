"""Conditions: the table, holds, hysteresis, flapping, and that it does not matter how often one looks."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from peerscope.alerts.conditions import Conditions
from peerscope.alerts.lifecycle import (
    CALM_S,
    FLAP_WINDOW_S,
    REMEMBER_S,
    TRANSITIONS,
    UNKNOWN_S,
    Condition,
    ConditionState,
)
from peerscope.alerts.model import ConditionReading
from peerscope.alerts.rules import Rule
from peerscope.records.alerts import Severity

RULE = Rule(
    name="cpu-high",
    type="resource-exhaustion",
    signal="cpu_ratio",
    above=0.9,
    clear=0.8,
    for_s=10.0,
    clear_for_s=20.0,
    severity="high",
    title="busy",
)
KEY = ("cpu-high", "")


def look(conditions: Conditions, value: float | None, now: float, rule: Rule = RULE) -> Condition | None:
    conditions.observe(rule, [ConditionReading(value)], now)
    return dict(conditions).get((rule.name, ""))


def over(*steps: tuple[float, float | None]) -> Condition | None:
    """What has become of the condition after these (time, value)."""
    conditions, found = Conditions(), None
    for now, value in steps:
        found = look(conditions, value, now)
    return found


def test_a_condition_fires_once_it_has_held_without_a_break_and_dates_from_then() -> None:
    assert over((0, 0.95), (9.9, 0.95)).state is ConditionState.PENDING
    fired = over((0, 0.95), (12, 0.95))
    assert (fired.state, fired.fired_at) == (ConditionState.FIRING, 10.0)
    assert over((0, 0.95), (5, 0.5), (6, 0.95), (15, 0.95)).state is ConditionState.PENDING


def test_a_condition_that_never_held_long_enough_leaves_no_trace() -> None:
    assert over((0, 0.95), (5, 0.5)) is None


def test_between_the_threshold_and_clear_it_goes_on_firing_but_does_not_begin() -> None:
    assert over((0, 0.85)) is None
    assert over((0, 0.95), (10, 0.95), (20, 0.85), (60, 0.85)).state is ConditionState.FIRING
    ended = over((0, 0.95), (10, 0.95), (20, 0.79), (45, 0.79))
    assert (ended.state, ended.resolved_at) == (ConditionState.RESOLVED, 40.0)


def test_one_good_look_does_not_resolve_it() -> None:
    assert over((0, 0.95), (10, 0.95), (20, 0.5), (30, 0.95), (41, 0.95)).state is ConditionState.FIRING


def test_an_unknown_value_keeps_the_state_for_a_while_and_then_resolves_it_as_unknown() -> None:
    kept = over((0, 0.95), (10, 0.95), (20, None), (19 + UNKNOWN_S, None))
    assert kept.state is ConditionState.FIRING
    lost = over((0, 0.95), (10, 0.95), (20, None), (21 + UNKNOWN_S, None))
    assert (lost.state, lost.is_lost, lost.resolved_at) == (ConditionState.RESOLVED, True, 20 + UNKNOWN_S)


def test_time_in_which_nobody_knew_does_not_count_as_holding() -> None:
    assert over((0, 0.95), (5, None), (50, 0.95), (54, 0.95)).state is ConditionState.PENDING
    assert over((0, 0.95), (5, None), (50, 0.95), (55, 0.95)).fired_at == 55.0


def test_four_changes_in_ten_minutes_are_one_flapping_alert_until_it_is_calm() -> None:
    conditions, rule = Conditions(), Rule(**{**_values(), "for_s": 0.0, "clear_for_s": 0.0, "clear": None})
    seen = [look(conditions, value, now, rule) for now, value in ((0, 1.0), (10, 0.0), (20, 1.0))]
    assert seen[-1].state is ConditionState.FIRING
    assert not seen[-1].is_flapping
    assert look(conditions, 0.0, 30, rule).is_flapping
    for now in range(40, 201, 10):
        found = look(conditions, now / 10 % 2, now, rule)
        assert (found.state, found.is_flapping, found.fired_at) == (ConditionState.FIRING, True, 20)
    assert look(conditions, 0.0, 199 + CALM_S, rule).state is ConditionState.FIRING
    calm = look(conditions, 0.0, 200 + CALM_S, rule)
    assert (calm.state, calm.is_flapping) == (ConditionState.RESOLVED, False)


def test_what_flapped_and_then_stays_is_no_longer_called_flapping() -> None:
    conditions, rule = Conditions(), Rule(**{**_values(), "for_s": 0.0, "clear_for_s": 0.0, "clear": None})
    for now, value in ((0, 1.0), (10, 0.0), (20, 1.0), (30, 0.0), (40, 1.0)):
        look(conditions, value, now, rule)
    assert look(conditions, 1.0, 39 + FLAP_WINDOW_S, rule).is_flapping
    steady = look(conditions, 1.0, 41 + FLAP_WINDOW_S, rule)
    assert (steady.state, steady.is_flapping) == (ConditionState.FIRING, False)


def test_what_is_resolved_is_forgotten_after_a_quarter_of_an_hour() -> None:
    steps = ((0, 0.95), (10, 0.95), (20, 0.5), (40, 0.5))
    assert over(*steps, (39 + REMEMBER_S, 0.5)).state is ConditionState.RESOLVED
    assert over(*steps, (41 + REMEMBER_S, 0.5)) is None


def test_what_was_resolved_is_still_told_while_it_is_pending_again() -> None:
    again = over((0, 0.95), (10, 0.95), (20, 0.5), (40, 0.5), (50, 0.95))
    assert (again.state, again.resolved_at) == (ConditionState.PENDING, 40.0)
    fired = over((0, 0.95), (10, 0.95), (20, 0.5), (40, 0.5), (50, 0.95), (60, 0.95))
    assert (fired.state, fired.fired_at, fired.resolved_at) == (ConditionState.FIRING, 60.0, None)


def test_a_subject_that_is_no_longer_read_does_not_hold_any_more() -> None:
    conditions = Conditions()
    rule = Rule(name="gone", type="x", signal="peer_down", scope="network", above=0.0, severity="high", title="x")
    conditions.observe(rule, [ConditionReading(subject="a"), ConditionReading(subject="b")], 0.0)
    conditions.observe(rule, [ConditionReading(subject="b")], 5.0)
    states = {key[1]: condition.state for key, condition in conditions}
    assert states == {"a": ConditionState.RESOLVED, "b": ConditionState.FIRING}


def test_what_others_state_fires_here_without_a_pending_time_of_its_own() -> None:
    conditions = Conditions()
    conditions.observe(RULE, [ConditionReading(0.95)], 100.0, {KEY: 42.0})
    assert dict(conditions)[KEY].fired_at == 42.0
    conditions = Conditions()
    conditions.observe(RULE, [ConditionReading(0.5)], 100.0, {KEY: 42.0})
    assert dict(conditions) == {}


def test_time_in_which_the_process_stood_still_says_nothing() -> None:
    conditions = Conditions()
    look(conditions, 0.95, 0.0)
    conditions.stall(100.0)
    assert look(conditions, 0.5, 100.5) is None


def test_only_what_begins_ends_or_worsens_counts_as_grave_news() -> None:
    conditions = Conditions()
    look(conditions, 0.95, 0.0)
    assert conditions.gravest is None
    look(conditions, 0.95, 10.0)
    assert conditions.gravest is Severity.HIGH
    conditions.gravest, before = None, conditions.revision
    look(conditions, 0.97, 11.0)
    assert (conditions.gravest, conditions.revision) == (None, before)
    look(conditions, 0.5, 20.0)
    look(conditions, 0.5, 41.0)
    assert conditions.gravest is Severity.HIGH
    conditions.gravest = None
    look(conditions, 0.5, 45.0 + REMEMBER_S)
    assert conditions.gravest is None
    assert conditions.revision > before


@pytest.mark.parametrize("state", ConditionState)
def test_every_state_can_be_left(state: ConditionState) -> None:
    assert any(before is state for before, _ in TRANSITIONS)


values = st.none() | st.sampled_from([0.5, 0.85, 0.95])
histories = st.lists(st.tuples(st.integers(1, 200), values), min_size=1, max_size=30)
rules = st.builds(
    lambda hold, clear: Rule(**{**_values(), "for_s": hold, "clear_for_s": clear}),
    st.sampled_from([0.0, 7.0, 30.0]),
    st.sampled_from([0.0, 7.0, 30.0]),
)


@given(rules, histories, st.integers(3, 50))
def test_how_often_one_looks_changes_nothing(rule: Rule, history: list[tuple[int, float | None]], every: int) -> None:
    seldom, often, now = Conditions(), Conditions(), 0
    last: float | None = 0.0
    for wait, value in history:
        for between in range(now + every, now + wait, every):
            look(often, last, between, rule)
        now, last = now + wait, value
        assert _told(look(seldom, value, now, rule)) == _told(look(often, value, now, rule))


@given(rules, histories)
def test_a_condition_is_one_alert_whatever_is_read(rule: Rule, history: list[tuple[int, float | None]]) -> None:
    conditions, now = Conditions(), 0
    for wait, value in history:
        now += wait
        conditions.observe(rule, [ConditionReading(value), ConditionReading(value)], now)
        keys = [key for key, _ in conditions]
        assert len(keys) <= 1
        for _, condition in conditions:
            assert condition.fired_at is None or condition.fired_at <= now
            assert condition.resolved_at is None or condition.fired_at <= condition.resolved_at <= now


def _values() -> dict[str, object]:
    return {name: getattr(RULE, name) for name in RULE.__struct_fields__}


def _told(condition: Condition | None) -> object:
    if condition is None:
        return None
    return condition.state, condition.fired_at, condition.resolved_at, condition.is_flapping, condition.is_lost


class TestForgotten:
    """Everybody that the alert is about is forgotten: that ends it, and is no recovery."""

    def after(self, *readings: float | None, gone: bool = True) -> Condition | None:
        """These readings at 0, 12, 24, ... seconds; then nobody speaks of the subject."""
        conditions, now = Conditions(), 0.0
        for value in readings:
            look(conditions, value, now)
            now += 12.0
        for _ in range(3):
            conditions.observe(RULE, [], now, is_gone=lambda subject: gone)
            now += 12.0
        return dict(conditions).get(KEY)

    def test_what_fired_ends_at_once_in_a_state_of_its_own(self) -> None:
        ended = self.after(0.95, 0.95)
        assert ended is not None
        assert (ended.state, ended.resolved_at, ended.is_forgotten) == (ConditionState.FORGOTTEN, 24.0, True)

    def test_what_ceases_while_its_subject_is_known_is_resolved(self) -> None:
        ended = self.after(0.95, 0.95, gone=False)
        assert ended is not None
        assert (ended.state, ended.is_forgotten) == (ConditionState.RESOLVED, False)

    def test_what_was_resolved_before_stays_resolved(self) -> None:
        ended = self.after(0.95, 0.95, 0.5, 0.5, 0.5)
        assert ended is not None
        assert ended.state is ConditionState.RESOLVED

    def test_what_was_pending_leaves_no_trace(self) -> None:
        conditions = Conditions()
        look(conditions, 0.95, 0.0)
        conditions.observe(RULE, [], 5.0, is_gone=lambda subject: True)
        assert dict(conditions) == {}

    def test_it_is_told_for_as_long_as_what_was_resolved_and_can_fire_again(self) -> None:
        conditions = Conditions()
        look(conditions, 0.95, 0.0)
        look(conditions, 0.95, 12.0)
        conditions.observe(RULE, [], 20.0, is_gone=lambda subject: True)
        look(conditions, 0.95, 30.0)
        again = look(conditions, 0.95, 40.0)
        assert again is not None
        assert (again.state, again.is_forgotten, again.resolved_at) == (ConditionState.FIRING, False, None)
        conditions.observe(RULE, [], 50.0, is_gone=lambda subject: True)
        conditions.elapse(50.0 + REMEMBER_S)
        assert dict(conditions) == {}
