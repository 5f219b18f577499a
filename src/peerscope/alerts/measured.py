"""Readings of rules about measures: values that the node names itself, or standard values of nodes.

A rule may compare the value with the median. Only nodes of one kind are compared, and only values with one unit. If
all nodes lag alike, the median lags as well, and no peer raises an alert.

The distance from the median is the greatest one that at least half of all nodes of that kind confirm. All means this
node and every other one that reports, also those whose value is unknown or has another unit: they confirm nothing. A
minority of liars is less than half, so at least one honest node confirms a distance as well. No statement of a minority
makes an honest node differ. The price: the liars hide a lag if too few honest nodes are left. With an even number of
nodes, all others that are honest are still enough, if their values are known. With an odd number and the most liars
possible they are one too few, since then a lagging node cannot see which half is honest. With fewer than `peers_min`
other values there is no verdict.

Values of others are as old as their reports. So each is compared with the own value of the time when it was heard, or
with the first one known after that.

A rule may look at the change over some time instead of the value. Then every peer's values are kept for that time. A
change over a much longer time, such as after a gap, is unknown.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from collections.abc import Iterable, Iterator

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
GAP_S_MIN = 30.0
"""A change may be over so much more than the time of the rule, or a tenth of it: reports come in steps."""
OWN_STEP_S, OWN_STEPS = 1.0, 600
"""Own values that are kept, to compare with older ones of others."""
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


class OtherNodes(Struct, frozen=True):
    """The other nodes of our kind that report."""

    values: tuple[PeerValue, ...] = ()
    unknown: int = 0
    """Those without a value."""


class MeasureSignals:
    """Reads measures for the rules of one peer, about itself."""

    def __init__(self, me: PeerId) -> None:
        self._me = me
        self._pasts: dict[tuple[str, float], dict[PeerId, MeasurePast]] = {}
        """By measure and time."""
        self._others: dict[str, OtherNodes] = {}
        """By rule, as of the last look."""
        self._own: dict[str, OwnPast] = {}
        """By rule."""
        self._looked_at: dict[str, float] = {}

    def use(self, rules: Iterable[Rule]) -> None:
        """Forget the values that none of these rules needs."""
        wanted = [rule for rule in rules if rule.measure]
        pasts = {(rule.measure, rule.over_s) for rule in wanted if rule.over_s}
        self._pasts = {key: self._pasts.get(key, {}) for key in pasts}
        self._others.clear()
        self._own.clear()
        self._looked_at.clear()

    def readings(self, rule: Rule, snapshot: Snapshot, own: Own) -> Iterator[ConditionReading]:
        """One reading, also if the value is unknown: then an alert that fires waits a little before it ends."""
        now = snapshot.now
        mine = self._seen(rule, self._me, value_of(own.metrics, rule.measure, now))
        has_past = bool(rule.over_s and rule.relative)
        if mine is None and not has_past:  # without a value of our own there is nothing to compare
            yield ConditionReading(None)
            return
        others = self._look_at_others(rule, snapshot) if rule.relative else OtherNodes()
        if mine is None or (rule.unit and mine.kind.unit != rule.unit):
            yield ConditionReading(None)
        elif rule.relative:
            own_past = self._own.get(rule.name)
            if own_past is None or own_past.kind != mine.kind:
                own_past = self._own[rule.name] = OwnPast(mine.kind)
            own_past.note(mine)
            yield _compared(rule, own_past, others, now)
        else:
            yield ConditionReading(mine.value, text=_said(rule, mine), metadata=(("measure", rule.measure),))

    def _look_at_others(self, rule: Rule, snapshot: Snapshot) -> OtherNodes:
        """Fresh values of the other peers whose nodes are of our kind."""
        looked_at = self._looked_at.get(rule.name)
        if looked_at is not None and 0 <= snapshot.now - looked_at < OTHERS_INTERVAL_S:
            return self._others[rule.name]
        self._looked_at[rule.name] = snapshot.now
        profile = snapshot.profiles.get(self._me)
        layer = None if profile is None else layer_of(profile)
        found, unknown = [], 0
        for peer, other in snapshot.profiles.items():
            if peer == self._me or other.left or layer_of(other) != layer:
                continue
            report, entry = snapshot.fresh_report(peer), snapshot.ledger.get(peer, Kind.REPORT)
            if not isinstance(report, Report) or report.metrics is None or entry is None:
                continue
            value = self._seen(rule, peer, value_of(report.metrics, rule.measure, entry.heard_at))
            if value is None:
                unknown += 1
            else:
                found.append(value)
        for past in self._pasts.values():
            for peer in past.keys() - snapshot.profiles.keys():
                del past[peer]
        others = self._others[rule.name] = OtherNodes(tuple(found), unknown)
        return others

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
        """How much the last value is above the one `over_s` before it; None if there was none about then."""
        if self._last is None or not self._values:
            return None
        apart_s = self._last.at - self._values[0][0]
        if not self._over_s <= apart_s <= self._over_s + max(GAP_S_MIN, self._over_s / 10):
            return None
        return self._last.value - self._values[0][1]


class OwnPast:
    """Our own values of the last minutes."""

    def __init__(self, kind: MeasureKind) -> None:
        self.kind = kind
        self._times: list[float] = []
        self._values: list[float] = []
        self.last: PeerValue | None = None

    def note(self, value: PeerValue) -> None:
        """Add the value of now."""
        self.last = value
        if not self._times or value.at >= self._times[-1] + OWN_STEP_S:
            self._times.append(value.at)
            self._values.append(value.value)
        if len(self._times) > OWN_STEPS:
            del self._times[0], self._values[0]

    def value_at(self, at: float) -> float:
        """The first value at that time or later."""
        assert self.last is not None
        place = bisect_left(self._times, at)
        return self._values[place] if place < len(self._values) else self.last.value


def _compared(rule: Rule, own_past: OwnPast, others: OtherNodes, now: float) -> ConditionReading:
    """How far our value is on the rule's side of the median."""
    mine = own_past.last
    assert mine is not None
    same = [one for one in others.values if one.kind == mine.kind]
    apart = len(others.values) - len(same)
    nodes = 1 + len(others.values) + others.unknown
    needed = (nodes + 1) // 2  # of the others alone: one more than any minority of all nodes
    if len(same) < max(rule.peers_min, needed):
        return ConditionReading(None)
    sign, side = (1, "above") if rule.below is not None else (-1, "below")
    distances = sorted((sign * (one.value - own_past.value_at(one.at)) for one in same), reverse=True)
    distance = distances[needed - 1]
    oldest_s = max(0.0, max(now - one.at for one in same))
    text = f"{_said(rule, mine)}; {needed} of {nodes} nodes are {shown(distance)} or more {side}"
    text += f", in reports up to {oldest_s:.0f} s old"
    if others.unknown:
        text += f"; {others.unknown} unknown"
    if apart:
        text += f"; {apart} with another unit not compared"
    # No numbers in the metadata: each change there publishes the alert again.
    return ConditionReading(distance, text=text, metadata=(("measure", rule.measure),))


def _said(rule: Rule, mine: PeerValue) -> str:
    unit = f" {mine.kind.unit}" if mine.kind.unit else ""
    over = f" in {rule.over_s:g} s" if rule.over_s else ""
    sign = "+" if rule.over_s and mine.value > 0 else ""
    return f"{rule.measure} {sign}{shown(mine.value)}{unit}{over}"


def shown(value: float) -> str:
    """A number for people: whole ones in full, others with six digits."""
    return f"{value:,.0f}" if abs(value) < 1e15 and value == int(value) else f"{value:.6g}"
