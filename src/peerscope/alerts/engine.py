"""The alerts that one peer states: it evaluates rules, follows conditions, and makes a record of them.

Every peer evaluates the rules about itself. Only aggregators evaluate rules about others. A peer that ceases to be one
goes on for a while. A new one takes over alerts that at least two others already state.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from math import inf

from msgspec import Struct

from peerscope.alerts.aggregators import Aggregators, aggregators
from peerscope.alerts.alert_record import body, stated_about_others, votes_needed
from peerscope.alerts.conditions import Conditions, Key
from peerscope.alerts.measured import MeasureSignals
from peerscope.alerts.model import ConditionReading
from peerscope.alerts.network_signals import NETWORK_SIGNALS
from peerscope.alerts.notification_log import SentNotice
from peerscope.alerts.own_signals import OWN_SIGNALS, Own, SignalContext, UsualLevel
from peerscope.alerts.rules import FINDING, MEASURE, Rule, default_rules
from peerscope.alerts.subjects import Groups, is_gone, is_unknown
from peerscope.mesh.events import Publish
from peerscope.records.alerts import Alerts, Severity
from peerscope.records.bodies import encode_body
from peerscope.records.identity import PeerId
from peerscope.views.regions import RegionHealth
from peerscope.views.snapshot import Snapshot

LINGER_S = 30.0
"""How long a former aggregator goes on: others may not know yet."""
STALL_S = 10.0
"""A longer time between two looks means that this process stood still."""
CALM_LOOK_INTERVAL_S = 5.0
"""Interval for rules about others while only reports arrive: verdicts about all peers cost milliseconds."""
UNREST_S = 15.0
"""For this long after other news every update evaluates them: verdicts also change as silences last."""
REPEAT_S = 6 * 3_600.0
"""A record is published again after this time: new peers get none that is older than a day."""
LARGE_BYTES = 4096
LARGE_EVERY_S = 2.0
"""Shortest time between two large records."""


class Findings(Struct, frozen=True):
    """Readings of detections; each may name its rule."""

    own: tuple[ConditionReading, ...] = ()
    """About this peer, on its own data. The subject is empty."""
    network: tuple[ConditionReading, ...] = ()
    """About others, from the ledger: aggregators state them."""


NOTHING = Findings()
EMPTY_BYTES = len(encode_body(Alerts()))


class AlertEngine:
    """Call `update` about once a second. `now` is monotonic seconds."""

    def __init__(self, me: PeerId, rules: Iterable[Rule] | None = None) -> None:
        """`rules`: the packaged ones unless given."""
        self.notices: list[SentNotice] = []
        """Messages that this peer sent to people; the record carries the newest."""
        self.own, self.network = Conditions(), Conditions()
        self.chosen: Aggregators | None = None
        """The aggregators at the last evaluation."""
        self.has_looked_around = False
        """The last update evaluated rules about others as well: lists of alerts should update too."""
        self.is_acting = False
        """This peer is an aggregator, or was one a moment ago."""
        self._me = me
        self._own_rules: list[Rule] = []
        self._network_rules: list[Rule] = []
        self._finding_rules: dict[str, Rule] = {}
        self._shared = {rule.name for rule in default_rules()}
        self._usual_rtt, self._usual_throughput = UsualLevel(), UsualLevel()
        self._measures = MeasureSignals(me)
        self._has_node = False
        self._groups = Groups()
        self._looked_at: float | None = None
        self._acted_at = -inf
        self._news = -1
        self._news_at = -inf
        self._others_at = -inf
        self._offset_s = 0.0
        """Unix minus monotonic seconds at the last update."""
        self._published = (0, 0)
        self._published_notices: list[SentNotice] = []
        self._published_at = -inf
        self._published_bytes = 0
        self.use(default_rules() if rules is None else rules)

    def use(self, rules: Iterable[Rule]) -> None:
        """Evaluate these rules from now on. Alerts of rules that stay go on."""
        chosen = {rule.name: rule for rule in rules if rule.enabled}
        self._own_rules = [rule for rule in chosen.values() if rule.is_about("own") and rule.signal != FINDING]
        self._network_rules = [rule for rule in chosen.values() if rule.is_about("network") and rule.signal != FINDING]
        self._finding_rules = {name: rule for name, rule in chosen.items() if rule.signal == FINDING}
        self._measures.use(self._own_rules)
        self.own.use(chosen)
        self.network.use(chosen)
        self._revision = -1

    def update(
        self, snapshot: Snapshot, own: Own, findings: Findings, now: float, regions: Sequence[RegionHealth] = ()
    ) -> Publish | None:
        """Look at everything; the record to publish, where there is news. Urgent: something grave began or ended."""
        if self._looked_at is not None and now - self._looked_at > STALL_S:
            self.own.stall(now - self._looked_at)
            self.network.stall(now - self._looked_at)
        self._looked_at, self._offset_s = now, snapshot.wall - now
        self._look_at_ourselves(snapshot, own, findings, now)
        self.has_looked_around = self._is_due(snapshot, now)
        if self.has_looked_around:
            self._others_at = now
            self._look_at_others(snapshot, own, findings, now, regions)
        else:
            self.network.elapse(now)
        return self.record(now)

    def _is_due(self, snapshot: Snapshot, now: float) -> bool:
        if snapshot.ledger.news != self._news:
            self._news, self._news_at = snapshot.ledger.news, now
        return now < self._news_at + UNREST_S or now >= self._others_at + CALM_LOOK_INTERVAL_S

    def record(self, now: float) -> Publish | None:
        """The record to publish if it differs from the last one: at once if this peer sent a message to people."""
        state, has_sent = (self.own.revision, self.network.revision), self.notices != self._published_notices
        is_old = self._published_bytes > EMPTY_BYTES and now >= self._published_at + REPEAT_S
        if state == self._published and not has_sent and not is_old:
            return None
        if self._published_bytes > LARGE_BYTES and now < self._published_at + LARGE_EVERY_S and not has_sent:
            return None
        for conditions in (self.own, self.network):
            conditions.name_episodes(self._offset_s)
        said = body((*self.own, *self.network), self.notices, self._shared, now)
        gravest = max((c.gravest for c in (self.own, self.network) if c.gravest is not None), default=Severity.LOW)
        self.own.gravest = self.network.gravest = None
        self._published, self._published_notices = state, list(self.notices)
        self._published_at, self._published_bytes = now, len(encode_body(said))
        return Publish(said, urgent=has_sent or gravest >= Severity.HIGH)

    def _look_at_ourselves(self, snapshot: Snapshot, own: Own, findings: Findings, now: float) -> None:
        self._usual_rtt.note(own.rtt_s, now)
        throughput, has_node = own.metrics.performance.throughput_bytes_s, own.metrics.node is not None
        if has_node is not self._has_node:  # the traffic of a node says nothing of the mesh's, and the other way round
            self._has_node, self._usual_throughput = has_node, UsualLevel()
        self._usual_throughput.note(None if throughput is None else float(throughput), now)
        sight = SignalContext(snapshot, own, self._usual_rtt.usual, self._usual_throughput.usual)
        for rule in self._own_rules:
            is_measure = rule.signal == MEASURE
            found = self._measures.readings(rule, snapshot, own) if is_measure else OWN_SIGNALS[rule.signal](sight)
            self.own.observe(rule, found, now)
        self._take(self.own, findings.own, now, {})

    def _look_at_others(
        self, snapshot: Snapshot, own: Own, findings: Findings, now: float, regions: Sequence[RegionHealth]
    ) -> None:
        chosen = self.chosen = aggregators(snapshot)
        if self._me in chosen.acting:
            self._acted_at = now
        self.is_acting = now - self._acted_at < LINGER_S
        if not self.is_acting:
            if len(self.network):
                self.network.clear()
            return
        firing, adopted = self._stated(snapshot, chosen)
        named, renamed = self._groups.name(snapshot.partitions, firing, now)
        sight = SignalContext(snapshot, own, regions=regions, groups=named)
        known = {health.region for health in regions}
        for rule in self._network_rules:
            if rule.signal == "partition":
                for name, other in renamed.items():
                    self.network.rename(rule.name, name, other)
            gone = partial(is_gone, rule, snapshot=snapshot, groups=self._groups, regions=known)
            self.network.observe(rule, NETWORK_SIGNALS[rule.signal](sight), now, adopted, gone)
        self._take(self.network, findings.network, now, adopted, lambda subject: is_unknown(subject, snapshot.ledger))

    def _take(
        self,
        conditions: Conditions,
        readings: Iterable[ConditionReading],
        now: float,
        adopted: dict[Key, float],
        gone: Callable[[str], bool] = lambda subject: False,
    ) -> None:
        """Apply the rule with the name of the finding, else `security-threat`."""
        by_rule: dict[str, list[ConditionReading]] = {name: [] for name in self._finding_rules}
        for reading in readings:
            name = reading.rule if reading.rule in by_rule else "security-threat"
            if name in by_rule:
                by_rule[name].append(reading)
        for name, found in by_rule.items():
            conditions.observe(self._finding_rules[name], found, now, adopted, gone)

    def _stated(self, snapshot: Snapshot, chosen: Aggregators) -> tuple[Counter[str], dict[Key, float]]:
        """How many aggregators, ourselves included, state each subject as firing; since when enough others state it.

        No single aggregator can move that time back.
        """
        voices = (*chosen.eligible, *chosen.passed)
        counts: Counter[str] = Counter()
        since: dict[Key, list[float]] = {}
        for claim in stated_about_others(snapshot.ledger, voices):
            if claim.resolved_at is None:
                counts[claim.statement.subject] += 1
                if claim.peer != self._me:
                    since.setdefault((claim.statement.rule, claim.statement.subject), []).append(claim.fired_at)
        needed = votes_needed(len(voices) - (self._me in voices))
        adopted = {key: sorted(times)[needed - 1] for key, times in since.items() if len(times) >= needed}
        return counts, adopted
