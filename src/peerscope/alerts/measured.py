"""Readings of rules about measures: values that the node names itself, or standard values of nodes.

A rule may compare the value with the median of the other peers' values. Only nodes of one kind are compared, and only
values with one unit. A median stands fast while less than half of the values are lies. One node with an impossible
block height makes no other node lag behind. With fewer than `peers_min` other values there is no verdict. If all nodes
lag alike, the median lags as well, and no peer raises an alert.

The own value is of now. Those of others are as old as their reports. So a value that grows fast seems to be ahead of
them, by its growth within one interval of reports.

A rule may look at the change over some time instead of the value. Then every peer's values are kept for that time.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from statistics import median

from msgspec import Struct

from peerscope.alerts.model import ConditionReading
from peerscope.alerts.own_signals import Own
from peerscope.alerts.rules import Rule
from peerscope.records.bodies import Kind, Report
from peerscope.records.identity import PeerId
from peerscope.records.measures import Metrics, NodeMetrics
from peerscope.views.links import layer_of
from peerscope.views.snapshot import Snapshot
from peerscope.views.window import MeasureKind, kind_of

OTHERS_INTERVAL_S = 5.0
"""Time between two looks at the reports of all peers."""
STEPS = 30
"""Values that are kept of one peer for one rule about changes."""
STANDARD = {name: "bytes" if name.endswith("bytes") else "" for name in NodeMetrics.__struct_fields__}
"""Units of standard values. A node cannot give one of their names another meaning."""
COUNTERS = frozenset(("messages", "dht_lookups", "dht_puts", "received_bytes", "sent_bytes", "errors"))


class PeerValue(Struct, frozen=True):
    """One peer's value of one measure, or its change."""

    kind: MeasureKind
    value: float
    at: float
    """When the peer issued its report, in our monotonic seconds."""


def value_of(metrics: Metrics, name: str, at: float) -> PeerValue | None:
    """The value of a name in a report; None if it is unknown."""
    if name in STANDARD:
        value = None if metrics.node is None else getattr(metrics.node, name)
        return None if value is None else PeerValue(MeasureKind(name, STANDARD[name], name in COUNTERS), value, at)
    for one in metrics.measures:
        if one.name == name and one.value is not None:
            return PeerValue(kind_of(one), one.value, at)
    return None


class MeasureSignals:
    """Reads measures for the rules of one peer, about itself."""

    def __init__(self, me: PeerId) -> None:
        self._me = me
        self._pasts: dict[tuple[str, float], dict[PeerId, MeasurePast]] = {}
        """By measure and time."""
        self._others: dict[str, list[PeerValue]] = {}
        """By rule, as of the last look."""
        self._looked_at: dict[str, float] = {}

    def use(self, rules: Iterable[Rule]) -> None:
        """Forget the values that none of these rules needs."""
        wanted = [rule for rule in rules if rule.measure]
        pasts = {(rule.measure, rule.over_s) for rule in wanted if rule.over_s}
        self._pasts = {key: self._pasts.get(key, {}) for key in pasts}
        self._others.clear()
        self._looked_at.clear()

    def readings(self, rule: Rule, snapshot: Snapshot, own: Own) -> Iterator[ConditionReading]:
        """One reading, also if the value is unknown: then an alert that fires waits a little before it ends."""
        now = snapshot.now
        mine = self._seen(rule, self._me, value_of(own.metrics, rule.measure, now))
        has_past = bool(rule.over_s and rule.relative)
        if mine is None and not has_past:  # without a value of our own there is nothing to compare
            yield ConditionReading(None)
            return
        others = self._look_at_others(rule, snapshot) if rule.relative else []
        if mine is None or (rule.unit and mine.kind.unit != rule.unit):
            yield ConditionReading(None)
        elif rule.relative:
            yield _compared(rule, mine, others, now)
        else:
            yield ConditionReading(mine.value, text=_said(rule, mine), metadata=(("measure", rule.measure),))

    def _look_at_others(self, rule: Rule, snapshot: Snapshot) -> list[PeerValue]:
        """Fresh values of the other peers whose nodes are of our kind."""
        looked_at = self._looked_at.get(rule.name)
        if looked_at is not None and 0 <= snapshot.now - looked_at < OTHERS_INTERVAL_S:
            return self._others[rule.name]
        self._looked_at[rule.name] = snapshot.now
        profile = snapshot.profiles.get(self._me)
        layer = None if profile is None else layer_of(profile)
        found = []
        for peer, other in snapshot.profiles.items():
            if peer == self._me or other.left or layer_of(other) != layer:
                continue
            report, entry = snapshot.fresh_report(peer), snapshot.ledger.get(peer, Kind.REPORT)
            if not isinstance(report, Report) or report.metrics is None or entry is None:
                continue
            value = self._seen(rule, peer, value_of(report.metrics, rule.measure, entry.heard_at))
            if value is not None:
                found.append(value)
        for past in self._pasts.values():
            for peer in past.keys() - snapshot.profiles.keys():
                del past[peer]
        self._others[rule.name] = found
        return found

    def _seen(self, rule: Rule, peer: PeerId, value: PeerValue | None) -> PeerValue | None:
        """The value, or its change if the rule is about that; None if it is unknown."""
        if not rule.over_s or value is None:
            return value
        pasts = self._pasts.setdefault((rule.measure, rule.over_s), {})
        past = pasts.get(peer)
        if past is None or past.kind != value.kind:
            past = pasts[peer] = MeasurePast(value.kind, rule.over_s)
        past.note(value)
        change = past.change()
        return None if change is None else PeerValue(value.kind, change, value.at)


class MeasurePast:
    """The values of one peer over the time that a rule looks back."""

    def __init__(self, kind: MeasureKind, over_s: float) -> None:
        self.kind = kind
        self._over_s = over_s
        self._values: deque[tuple[float, float]] = deque()
        self._last: PeerValue | None = None

    def note(self, value: PeerValue) -> None:
        """Add a value; of several within a step the first counts as past."""
        if self._last is not None and value.at < self._last.at:
            return
        if self.kind.is_counter and self._last is not None and value.value < self._last.value:
            self._values.clear()  # it restarted, so its increase is unknown
        self._last = value
        if not self._values or value.at >= self._values[-1][0] + self._over_s / STEPS:
            self._values.append((value.at, value.value))
        while len(self._values) > 1 and self._values[1][0] <= value.at - self._over_s:
            self._values.popleft()

    def change(self) -> float | None:
        """How much the last value is above the one `over_s` before it; None if the past is shorter."""
        if self._last is None or not self._values or self._values[0][0] > self._last.at - self._over_s:
            return None
        return self._last.value - self._values[0][1]


def _compared(rule: Rule, mine: PeerValue, others: list[PeerValue], now: float) -> ConditionReading:
    """How far our value is on the rule's side of the median of the others."""
    same = [one for one in others if one.kind == mine.kind]
    if len(same) < rule.peers_min:
        return ConditionReading(None)
    middle = median(one.value for one in same)
    oldest_s = max(now - one.at for one in same)
    apart = len(others) - len(same)
    text = f"{_said(rule, mine)}; median of {len(same)} others {shown(middle)}, up to {max(0.0, oldest_s):.0f} s old"
    if apart:
        text += f"; {apart} with another unit not compared"
    distance = middle - mine.value if rule.below is not None else mine.value - middle
    # No numbers in the metadata: each change there publishes the alert again.
    return ConditionReading(distance, text=text, metadata=(("measure", rule.measure),))


def _said(rule: Rule, mine: PeerValue) -> str:
    unit = f" {mine.kind.unit}" if mine.kind.unit else ""
    over = f" in {rule.over_s:g} s" if rule.over_s else ""
    sign = "+" if rule.over_s and mine.value > 0 else ""
    return f"{rule.measure} {sign}{shown(mine.value)}{unit}{over}"


def shown(value: float) -> str:
    """A number for people: whole ones in full, others with six digits."""
    return f"{value:,.0f}" if value == int(value) and abs(value) < 1e15 else f"{value:.6g}"
