"""The life of a condition: inactive, pending, firing, and then resolved or forgotten.

The transitions are a table. Between two readings the last one stands, and everything that falls due in between happens
at its own time. So the rate of evaluation does not matter: equal readings at equal times give equal alerts.

Two rules stand beside the table. A condition that changes four times in ten minutes is *flapping*: one alert, marked
so, that resolves only after a calm time. An unknown value changes nothing for a while; then the condition resolves.

A condition about a peer that the network forgets does not resolve, since the peer never came back. It is *forgotten*.
"""

from __future__ import annotations

from collections import deque
from enum import StrEnum
from math import inf

from peerscope.alerts.model import ConditionReading
from peerscope.alerts.rules import Rule

FLAP_CHANGES = 4
FLAP_WINDOW_S = 600.0
CALM_S = 300.0
"""A flapping condition resolves after this time without a change."""
UNKNOWN_S = 120.0
"""A condition without a value resolves after this time."""
REMEMBER_S = 900.0
"""How long a peer states a resolved alert, for peers that come late."""


class ConditionState(StrEnum):
    """States of one condition."""

    INACTIVE = "inactive"
    PENDING = "pending"
    FIRING = "firing"
    RESOLVED = "resolved"
    FORGOTTEN = "forgotten"


class Turn(StrEnum):
    """Events of a condition."""

    BEGINS = "begins"
    """It holds, and did not before."""
    LASTED = "lasted"
    """It has held for `for_s`."""
    ENDS = "ends"
    """It no longer holds."""
    CEASED = "ceased"
    """It has not held for `clear_for_s`."""
    LOST = "lost"
    """Its value was unknown for too long."""
    ADOPTED = "adopted"
    """Others state that it already fires."""
    FORGOTTEN = "forgotten"
    """All peers it is about are forgotten."""


TRANSITIONS: dict[tuple[ConditionState, Turn], ConditionState] = {
    (ConditionState.INACTIVE, Turn.BEGINS): ConditionState.PENDING,
    (ConditionState.RESOLVED, Turn.BEGINS): ConditionState.PENDING,
    (ConditionState.FORGOTTEN, Turn.BEGINS): ConditionState.PENDING,
    (ConditionState.PENDING, Turn.LASTED): ConditionState.FIRING,
    (ConditionState.PENDING, Turn.ENDS): ConditionState.INACTIVE,
    (ConditionState.PENDING, Turn.LOST): ConditionState.INACTIVE,
    (ConditionState.PENDING, Turn.ADOPTED): ConditionState.FIRING,
    (ConditionState.PENDING, Turn.FORGOTTEN): ConditionState.INACTIVE,
    (ConditionState.FIRING, Turn.CEASED): ConditionState.RESOLVED,
    (ConditionState.FIRING, Turn.LOST): ConditionState.RESOLVED,
    (ConditionState.FIRING, Turn.FORGOTTEN): ConditionState.FORGOTTEN,
}
"""A pair not listed changes nothing."""


class Condition:
    """One condition about one subject. It remembers its last alert while the next one is pending."""

    __slots__ = (
        "changes",
        "episode",
        "fired_at",
        "holds",
        "is_forgotten",
        "is_flapping",
        "is_lost",
        "pending_since",
        "reading",
        "resolved_at",
        "rule",
        "severity",
        "state",
        "turned_at",
        "version",
    )

    def __init__(self, rule: Rule, reading: ConditionReading, now: float) -> None:
        self.rule = rule
        self.reading = reading
        """The last finding."""
        self.severity = reading.severity if reading.severity is not None else rule.rank
        self.state = ConditionState.INACTIVE
        self.holds: bool | None = False
        """The last result; None if the value was unknown."""
        self.turned_at = now
        self.pending_since = inf
        self.fired_at: float | None = None
        self.resolved_at: float | None = None
        self.episode = 0
        """Names this time that it fires; 0 until a caller that knows the date sets it."""
        self.is_flapping = False
        self.is_lost = False
        """It resolved because its value was unknown."""
        self.is_forgotten = False
        """It ended because all peers it is about were forgotten."""
        self.changes: deque[float] = deque(maxlen=FLAP_CHANGES)
        self.version = 0
        """Grows with every change that the record shows."""

    @property
    def is_over(self) -> bool:
        """Whether it can be deleted."""
        is_calm = self.state not in (ConditionState.PENDING, ConditionState.FIRING)
        return is_calm and self.resolved_at is None and self.holds is not True

    def step(self, reading: ConditionReading | None, now: float) -> None:
        """Apply a reading. None means that the condition does not hold."""
        self.elapse(now)
        if reading is None:
            holds: bool | None = False
        elif reading.value is None:
            holds = None
        else:
            holds = self.rule.holds(reading.value, fires=self.state is ConditionState.FIRING)
        if holds and reading is not None:
            self._take(reading)
        if holds is not self.holds:
            self._turn(holds, now)
            self.elapse(now)

    def elapse(self, now: float) -> None:
        """Let time pass: everything that is due happens, each at its own time."""
        while (due := self._due()) is not None and due[0] <= now:
            when, turn = due
            if turn is None:
                self._calm_down(when)
            elif turn is Turn.CEASED and self._flaps(when):
                self.is_flapping = True
                self.version += 1
            else:
                self._go(turn, when)

    def use(self, rule: Rule) -> None:
        """Replace the rule. Its severity counts at once, the rest from the next reading on."""
        severity = self.reading.severity if self.reading.severity is not None else rule.rank
        self.version += self.state is ConditionState.FIRING and severity != self.severity
        self.rule, self.severity = rule, severity

    def adopt(self, fired_at: float, now: float) -> None:
        """Fire without a pending time, since others state that it fires."""
        self._go(Turn.ADOPTED, min(fired_at, now))

    def forget(self, now: float) -> None:
        """End it, because all peers it is about are forgotten."""
        self.elapse(now)
        self.holds, self.turned_at = False, now
        self._go(Turn.FORGOTTEN, now)

    def stall(self, seconds: float) -> None:
        """Ignore this span of time: the process stood still."""
        self.turned_at += seconds
        self.pending_since += seconds

    def _due(self) -> tuple[float, Turn | None] | None:
        """The next event without a reading, and when; a turn of None only forgets old changes."""
        rule, pending = self.rule, self.state is ConditionState.PENDING
        if pending and self.holds:
            return self.pending_since + rule.for_s, Turn.LASTED
        if self.holds is None and (pending or self.state is ConditionState.FIRING):
            return self.turned_at + UNKNOWN_S, Turn.LOST
        if self.state is ConditionState.FIRING:
            if self.holds is False:
                return self.turned_at + max(rule.clear_for_s, CALM_S if self.is_flapping else 0.0), Turn.CEASED
            return (self.turned_at + FLAP_WINDOW_S, None) if self.is_flapping else None
        return None if self.resolved_at is None or pending else (self.resolved_at + REMEMBER_S, None)

    def _turn(self, holds: bool | None, now: float) -> None:
        if self.state is ConditionState.PENDING and self.holds is None and holds:
            self.pending_since += now - self.turned_at  # time without a value does not count
        self.holds, self.turned_at = holds, now
        if holds is not None:
            self._go(Turn.BEGINS if holds else Turn.ENDS, now)

    def _go(self, turn: Turn, when: float) -> None:
        after = TRANSITIONS.get((self.state, turn))
        if after is None:
            return
        self.state = after
        match after:
            case ConditionState.PENDING:
                self.pending_since = when
            case ConditionState.FIRING:
                self.is_flapping = self._flaps(when)
                self.changes.append(when)
                self.fired_at, self.resolved_at, self.is_lost, self.is_forgotten = when, None, False, False
                self.episode = 0
                self.version += 1
            case ConditionState.RESOLVED | ConditionState.FORGOTTEN:
                self.changes.append(when)
                self.resolved_at, self.is_flapping = when, False
                self.is_lost, self.is_forgotten = turn is Turn.LOST, turn is Turn.FORGOTTEN
                self.version += 1
            case _:
                pass

    def _flaps(self, when: float) -> bool:
        """Whether a change now makes it flapping."""
        if self.is_flapping:
            return False  # it was calm since
        recent = [at for at in self.changes if at > when - FLAP_WINDOW_S]
        return len(recent) + 1 >= FLAP_CHANGES

    def _calm_down(self, when: float) -> None:
        self.version += 1
        if self.state is ConditionState.FIRING:
            self.is_flapping = False
            self.changes.clear()
        else:
            self.fired_at, self.resolved_at, self.is_lost, self.is_forgotten = None, None, False, False

    def _take(self, reading: ConditionReading) -> None:
        """Keep the finding. While it fires, another number in the text alone is no news."""
        severity = reading.severity if reading.severity is not None else self.rule.rank
        is_news = (severity, reading.metadata) != (self.severity, self.reading.metadata)
        self.reading, self.severity = reading, severity
        self.version += self.state is ConditionState.FIRING and is_news
