"""What this peer says: its reports, whom it misses, that it is alive after all, and goodbye."""

from __future__ import annotations

from msgspec.structs import replace

from peerscope.mesh.coordinates.vivaldi import Coordinates
from peerscope.mesh.detection import observers, verdicts
from peerscope.mesh.detection.orphans import Orphans
from peerscope.mesh.detection.prober import Prober
from peerscope.mesh.detection.refutation import Refutation
from peerscope.mesh.dissemination.gossip import GossipConfig, trace_interval_s, ttl
from peerscope.mesh.dissemination.scopes import Scopes
from peerscope.mesh.events import Outbox, Stored
from peerscope.mesh.membership.isolation import Isolation
from peerscope.mesh.membership.members import Membership
from peerscope.mesh.membership.neighbours import Neighbours
from peerscope.mesh.messages import Push
from peerscope.mesh.record_store import RecordStore
from peerscope.mesh.report import Reporter, fitting
from peerscope.mesh.zoning.remote_quota import says_something
from peerscope.records.alerts import Alerts, Orders, aged
from peerscope.records.bodies import LINKS_MAX, OBSERVATIONS_MAX, WORLD, Body, Kind, Observation, Observations
from peerscope.records.identity import PeerId, ref
from peerscope.records.ledger import Entry, Ledger
from peerscope.records.record import Record
from peerscope.records.summary import Summary, withdrawn

ALERT_HOPS = 10
"""Alerts may travel at least so far: whoever is paged about may know fewer peers than there are."""
WORLD_HOPS = 32
"""As far as a push may travel at all: across zones of whose members nobody here knows."""
REPEAT_SHARE = 0.25
"""Part of the time that records are remembered, after which those that seldom change are said again."""


class Publisher:
    """Puts statements together, signs them, keeps them, spreads them."""

    def __init__(
        self,
        config: GossipConfig,
        ledger: Ledger,
        record_store: RecordStore,
        neighbours: Neighbours,
        membership: Membership,
        prober: Prober,
        coordinates: Coordinates,
        scopes: Scopes,
        reporter: Reporter,
        isolation: Isolation,
        out: Outbox,
        now: float,
    ) -> None:
        self._me = record_store.me
        self._config = config
        self._ledger = ledger
        self._record_store = record_store
        self._neighbours = neighbours
        self._membership = membership
        self._prober = prober
        self._coordinates = coordinates
        self._scopes = scopes
        self._reporter = reporter
        self._isolation = isolation
        self._out = out
        self._refutation = Refutation(self._me, ledger, prober)
        self.survey = Orphans(self._me, ledger, prober, now)
        self._pushed_at = now
        """When a report last went out as a push, or could first have."""

    def publish(self, body: Body, now: float, *, urgent: bool) -> None:
        """Say something: sign it, keep it, spread it."""
        entry = self._record_store.publish(body, now)
        self._out.add(Stored(entry))
        if urgent:
            if entry.record.kind not in WORLD:  # those are kept apart, and refute nothing
                self._refutation.pushed(entry.record.version)
            hops = ttl(len(self._neighbours.rings), self._config.fanout)
            if entry.record.kind == Kind.ALERTS:
                hops = max(hops, ALERT_HOPS)
            elif entry.record.kind in WORLD and self._scopes.far.ledger.counts[Kind.SUMMARY]:  # there are other zones
                hops = WORLD_HOPS
            self._scopes.of(entry.record.kind).gossip.push(
                entry, now, hops=hops, sent_us=self._record_store.wall_us(now)
            )
        else:
            self._scopes.of(entry.record.kind).gossip.spread(entry, now)

    def outrun(self, kind: int, now: float) -> None:
        """Say again, above it, what an earlier life of ours said differently."""
        ours = self._record_store.ledger_of(kind).get(self._me, kind)
        if ours is not None and kind == Kind.OBSERVATIONS:
            self.observe(now)
        elif ours is not None:
            self.repeat(ours, now, urgent=False)
        elif kind == Kind.OBSERVATIONS:
            self.publish(Observations(), now, urgent=False)
        elif kind == Kind.ALERTS:
            self.publish(Alerts(), now, urgent=False)
        elif kind == Kind.REPORT:
            self._reporter.due(now)

    def repeat(self, entry: Entry, now: float, *, urgent: bool) -> None:
        """Say again what we said, with the certificate that we have now."""
        body = entry.body
        if isinstance(body, Orders | Alerts):
            body = aged(body, max(0, round((now - entry.heard_at) * 1000)))
        self.publish(body, now, urgent=urgent)

    def observe(self, now: float) -> None:
        """Say whom we miss; at once, to everybody."""
        missed = [
            Observation(ref(link.peer), link.heard_ms(), round(link.quiet_s(now) * 1000))
            for link in self._prober.lost()
            if (link.peer in self._ledger or link.forgotten_at is not None)
            and not observers.has_left(self._ledger, link.peer)
        ]
        newest = sorted(missed, key=lambda observation: observation.silence_ms)
        newest += self.survey.observations(now)
        self.publish(Observations(tuple(newest[:OBSERVATIONS_MAX])), now, urgent=True)

    def refute(self, now: float) -> None:
        """We are accused and alive: a report says so (SWIM's refutation), at once or as soon as it may."""
        due_at = self._refutation.due_at(now)
        if due_at is not None:
            self._reporter.due(due_at, urgent=True)

    def accused(self, observer: PeerId, version: int, now: float) -> None:
        """We refused an accusation that may stand at others."""
        self._refutation.note(observer, version)
        self.refute(now)

    def report(self, now: float) -> None:
        """Say how we are and whom we hear; now and then as a push, so that latencies are known in calm times too."""
        up = set(self._prober.up())
        wanted = self._neighbours.wanted
        expected = self._neighbours.expected(up, now)
        if up:
            expected = {peer for peer in expected if peer in up or not self._membership.is_down(peer)}
        elif not expected:
            expected = {peer for peer in self._neighbours.lost if self._is_ours(peer)}
        links = [(link, link.peer in wanted) for _, link in sorted(self._prober.links.items()) if link.is_up]
        links.sort(key=lambda pair: not pair[1])
        unreached = len(self._neighbours.unreached(now))
        report, urgent = self._reporter.report(
            links[:LINKS_MAX],
            reachable=len(expected & up),
            expected=len(expected),
            unreached=unreached if not up else 0,
            lost=self._isolation.lost,
            refusal=self._isolation.refusal,
            peers=len(self._neighbours.rings),
            coordinate=self._coordinates.current(),
            now=now,
        )
        answers, must_be_pushed = self._refutation.answer(now)
        urgent = urgent or must_be_pushed
        silenced = tuple(ref(peer) for peer in self._refutation.silenced(now))
        if answers or silenced:
            report = fitting(replace(report, answers=answers, refuted=silenced))
        if now - self._pushed_at >= trace_interval_s(len(self._neighbours.rings), self._config):
            urgent = True  # not for its news: for the time it takes
        if urgent:
            self._pushed_at = now
        self.publish(report, now, urgent=urgent)

    def review(self, now: float) -> None:
        """Accuse again those whom we accused and who fell silent everywhere since. Answer accusations that are still
        unanswered. Repeat our profile, and what we said to all zones, before they are too old for newcomers."""
        self._refutation.review(now)
        self.refute(now)
        found = self.survey.review(now)
        if found or any(self._is_mute(link.peer, now) for link in self._prober.lost()):
            self.observe(now)
        lasting = [entry for entry in self._scopes.far.ledger.entries(self._me) if entry.record.kind != Kind.SUMMARY]
        profile = self._ledger.get(self._me, Kind.PROFILE)
        for entry in (*lasting, *([profile] if profile is not None else [])):
            is_old = now - entry.heard_at > REPEAT_SHARE * self._ledger.config.remember_s
            if is_old and says_something(entry.body):
                self.repeat(entry, now, urgent=False)

    def goodbye(self, now: float) -> None:
        """Tell all neighbours that we leave."""
        profile = self._ledger.profile(self._me)
        if profile is not None:
            self._tell_all(self._record_store.sign(replace(profile, left=True), now), now)

    def move(self, zone: str, now: float) -> None:
        """Tell all neighbours that we belong to another zone; those of the old one pass it on. Take back what we said
        for it."""
        profile = self._ledger.profile(self._me)
        if profile is not None:
            entry = self._record_store.publish(replace(profile, zone=zone), now)
            self._out.add(Stored(entry))
            self._tell_all(entry.record, now)
        # Whoever was counted there is counted in the new zone soon: the old one must not be believed until it expires.
        spoken = self._record_store.ledger_of(Kind.SUMMARY).get(self._me, Kind.SUMMARY)
        if spoken is not None and isinstance(spoken.body, Summary) and spoken.body.aggregators:
            self.publish(withdrawn(spoken.body), now, urgent=True)

    def _tell_all(self, record: Record, now: float) -> None:
        """To all, not to a few: nobody repeats this for us."""
        hops = ttl(len(self._neighbours.rings), self._config.fanout)
        news = Push(record, 0, hops, (ref(self._me),), sent_us=self._record_store.wall_us(now))
        for peer in self._prober.up():
            self._out.send(peer, news)

    def _is_mute(self, peer: PeerId, now: float) -> bool:
        """A lost neighbour that spoke to others after we accused it, and then fell silent there as well."""
        newest = self._ledger.get(peer, Kind.REPORT)
        report = self._ledger.report(peer)
        if newest is None or report is None or now - newest.heard_at < 1.5 * report.interval_ms / 1000:
            return False
        return verdicts.accusation_by(self._ledger, self._me, peer, now) is None

    def _is_ours(self, peer: PeerId) -> bool:
        return self._me in self._neighbours.rings.neighbours(peer)
