"""All conditions that a peer looks at: one for each name and subject, however often and by whatever rule it is read."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping

from peerscope.alerts.lifecycle import Condition, ConditionState
from peerscope.alerts.model import ConditionReading
from peerscope.alerts.rules import Rule
from peerscope.records.alerts import Severity

CONDITIONS_MAX = 10_000
"""As many as the ledger remembers peers."""

Key = tuple[str, str]
"""Name under which the alert runs, and its subject."""


class Conditions:
    """Those of one scope."""

    def __init__(self) -> None:
        self._by_rule: dict[str, dict[Key, Condition]] = {}
        self._revision = 0
        self.refused = 0
        """Readings for which there was no room."""
        self.gravest: Severity | None = None
        """Of what has changed since somebody set this to None."""

    def __iter__(self) -> Iterator[tuple[Key, Condition]]:
        for conditions in self._by_rule.values():
            yield from conditions.items()

    def __len__(self) -> int:
        return sum(len(conditions) for conditions in self._by_rule.values())

    @property
    def revision(self) -> int:
        """Grows with everything that is worth telling."""
        return self._revision

    def observe(
        self,
        rule: Rule,
        readings: Iterable[ConditionReading],
        now: float,
        adopted: Mapping[Key, float] | None = None,
        is_gone: Callable[[str], bool] = lambda subject: False,
    ) -> None:
        """Look at everything that one rule speaks of; what is not read does not hold.

        `adopted`: what others already state as firing, and since when: it fires here as well as soon as it holds.
        `is_gone`: whether everybody that a subject stands for is forgotten.
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
        """Name every episode that has no name yet, by its beginning. `offset_s`: Unix minus monotonic seconds."""
        for _, condition in self:
            if condition.fired_at is not None and not condition.episode:
                condition.episode = max(1, round((condition.fired_at + offset_s) * 1000))

    def elapse(self, now: float) -> None:
        """Let time pass without looking."""
        for conditions in self._by_rule.values():
            for key, condition in list(conditions.items()):
                before = _Before(condition)
                condition.elapse(now)
                self._note(condition, before)
                if condition.is_over:
                    del conditions[key]

    def stall(self, seconds: float) -> None:
        """Nobody could look for so long."""
        for _, condition in self:
            condition.stall(seconds)

    def rename(self, rule: str, subject: str, other: str) -> None:
        """A subject has another name from now on; its condition stays the same one."""
        conditions = self._by_rule.get(rule, {})
        condition = conditions.pop((rule, subject), None)
        if condition is not None:
            conditions[rule, other] = condition
            self._revision += condition.fired_at is not None

    def use(self, rules: Mapping[str, Rule]) -> None:
        """Go on under these rules; what ran under one that is not among them is stated no more."""
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
        """Stand for nothing any more."""
        self._revision += bool(self._by_rule)
        self._by_rule.clear()

    def _note(self, condition: Condition, before: _Before) -> None:
        if condition.version == before.version:
            return
        self._revision += 1
        times = (condition.fired_at, condition.resolved_at)
        is_grave = times not in (before.times, (None, None))  # that it is forgotten is no news
        if is_grave or condition.severity > before.severity:
            self.gravest = condition.severity if self.gravest is None else max(self.gravest, condition.severity)


class _Before:
    """What a condition was like before somebody looked."""

    __slots__ = ("severity", "times", "version")

    def __init__(self, condition: Condition) -> None:
        self.version = condition.version
        self.severity = condition.severity
        self.times = (condition.fired_at, condition.resolved_at)
