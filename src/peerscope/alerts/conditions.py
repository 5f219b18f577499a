"""All conditions that a peer evaluates: one for each rule name and subject, however many rules read it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping

from peerscope.alerts.lifecycle import Condition, ConditionState
from peerscope.alerts.model import ConditionReading
from peerscope.alerts.rules import Rule
from peerscope.records.alerts import Severity

CONDITIONS_MAX = 10_000
"""As many as the ledger holds peers."""

Key = tuple[str, str]
"""Name of the rule or detection, and the subject."""


class Conditions:
    """The conditions of one scope."""

    def __init__(self) -> None:
        self._by_rule: dict[str, dict[Key, Condition]] = {}
        self._revision = 0
        self.refused = 0
        """Readings refused because there were too many conditions."""
        self.gravest: Severity | None = None
        """Worst severity among changes since a caller set this to None."""

    def __iter__(self) -> Iterator[tuple[Key, Condition]]:
        for conditions in self._by_rule.values():
            yield from conditions.items()

    def __len__(self) -> int:
        return sum(len(conditions) for conditions in self._by_rule.values())

    @property
    def revision(self) -> int:
        """Grows with every change that the record shows."""
        return self._revision

    def observe(
        self,
        rule: Rule,
        readings: Iterable[ConditionReading],
        now: float,
        adopted: Mapping[Key, float] | None = None,
        is_gone: Callable[[str], bool] = lambda subject: False,
    ) -> None:
        """Apply one rule to its readings. A condition without a reading does not hold.

        `adopted`: since when others state that it fires; it then fires here too as soon as it holds.
        `is_gone`: whether all peers behind a subject are forgotten.
        """
        conditions = self._by_rule.setdefault(rule.name, {})
        found: dict[Key, ConditionReading] = {}
        for reading in readings:
            found.setdefault((reading.rule or rule.name, reading.subject), reading)
        for key, reading in found.items():
            if key in conditions or reading.value is None or not rule.holds(reading.value, fires=False):
                continue
            if len(self) < CONDITIONS_MAX:
                conditions[key] = Condition(rule, reading, now)
            else:
                self.refused += 1
        for key, condition in list(conditions.items()):
            before = _Before(condition)
            if (
                key not in found
                and condition.state in (ConditionState.PENDING, ConditionState.FIRING)
                and is_gone(key[1])
            ):
                condition.forget(now)
            condition.step(found.get(key), now)
            if adopted and key in adopted and condition.state is ConditionState.PENDING and condition.holds:
                condition.adopt(adopted[key], now)
            self._note(condition, before)
            if condition.is_over:
                del conditions[key]

    def name_episodes(self, offset_s: float) -> None:
        """Name new episodes by their beginning. `offset_s`: Unix minus monotonic seconds."""
        for _, condition in self:
            if condition.fired_at is not None and not condition.episode:
                condition.episode = max(1, round((condition.fired_at + offset_s) * 1000))

    def elapse(self, now: float) -> None:
        """Let time pass without new readings."""
        for conditions in self._by_rule.values():
            for key, condition in list(conditions.items()):
                before = _Before(condition)
                condition.elapse(now)
                self._note(condition, before)
                if condition.is_over:
                    del conditions[key]

    def stall(self, seconds: float) -> None:
        """Ignore this span of time: the process stood still."""
        for _, condition in self:
            condition.stall(seconds)

    def rename(self, rule: str, subject: str, other: str) -> None:
        """Rename a subject; its condition goes on."""
        conditions = self._by_rule.get(rule, {})
        condition = conditions.pop((rule, subject), None)
        if condition is not None:
            conditions[rule, other] = condition
            self._revision += condition.fired_at is not None

    def use(self, rules: Mapping[str, Rule]) -> None:
        """Switch to these rules. Conditions of other rules end without a statement."""
        for name, conditions in list(self._by_rule.items()):
            if name not in rules:
                del self._by_rule[name]
                self._revision += 1
                continue
            for condition in conditions.values():
                before = _Before(condition)
                condition.use(rules[name])
                self._note(condition, before)

    def clear(self) -> None:
        """Drop all conditions."""
        self._revision += bool(self._by_rule)
        self._by_rule.clear()

    def _note(self, condition: Condition, before: _Before) -> None:
        if condition.version == before.version:
            return
        self._revision += 1
        times = (condition.fired_at, condition.resolved_at)
        is_grave = times not in (before.times, (None, None))  # expiry of the memory is no news
        if is_grave or condition.severity > before.severity:
            self.gravest = condition.severity if self.gravest is None else max(self.gravest, condition.severity)


class _Before:
    """A condition before an update."""

    __slots__ = ("severity", "times", "version")

    def __init__(self, condition: Condition) -> None:
        self.version = condition.version
        self.severity = condition.severity
        self.times = (condition.fired_at, condition.resolved_at)
