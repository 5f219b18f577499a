"""The way out for records of this peer: built, signed, kept, and handed to gossip.

Reports, observations, answers to accusations and the goodbye all leave through `publish`.
"""

from __future__ import annotations

from random import Random

from msgspec.structs import replace

from peerscope.mesh.config import PeerConfig
from peerscope.mesh.detection.observers import has_left
from peerscope.mesh.detection.refutation import Refutation
from peerscope.mesh.detection.unwatched import Orphans
from peerscope.mesh.detection.verdicts import Assessment
from peerscope.mesh.dissemination.gossip import TRACED, trace_interval_s, ttl
from peerscope.mesh.events import Stored
from peerscope.mesh.internal_events import LinkUp, OwnPublished
from peerscope.mesh.messages import Push
from peerscope.mesh.peer_state import PeerState
from peerscope.mesh.report import Reporter, Situation, fitting
from peerscope.mesh.zoning.remote_quota import has_content
from peerscope.records.alerts import Alerts, Orders, aged
from peerscope.records.bodies import (
    LINKS_MAX,
    OBSERVATIONS_MAX,
    WORLD,
    Body,
    DialReading,
    Kind,
    Observation,
    Observations,
    PlannedAbsence,
    kind_of,
)
from peerscope.records.identity import PeerId, ref
from peerscope.records.ledger import Entry, Merge
from peerscope.records.record import Record, sign
from peerscope.records.summary import Summary, withdrawn

ALERT_HOPS = 10
"""Least hops of an alert: its author may know too few peers."""
WORLD_HOPS = 32
"""Most hops of any push: across zones of unknown size."""
FIRST_TRACE = 0.075
"""A young peer measures latency after this part of the interval, if its network is small."""
REPEAT_SHARE = 0.25
"""Records that seldom change are published again after this part of `remember_s`."""


class Publisher:
    """Publishes the records of this peer."""

    def __init__(self, state: PeerState, config: PeerConfig, rng: Random, now: float) -> None:
        self._state = state
        self._links = state.links
        self._config = config.gossip
        self._remember_s = config.ledger.remember_s
        self.reporter = Reporter(config.report, config.health, config.gossip.budget_bytes_s, rng, now)
        self.orphans = Orphans(state.me, state.ledger, state.links, now)
        self._refutation = Refutation(state.me, state.ledger, state.links, state.local_health)
        self._rng = rng
        self._trace_at = now + FIRST_TRACE * config.gossip.trace_interval_s
        """When to push a report although it is not urgent."""
        self._has_traced = False

    def hops(self) -> int:
        """Most hops of urgent news in a network of our size."""
        return ttl(len(self._state.neighbours.rings), self._config.fanout)

    def sign(self, body: Body, now: float) -> Record:
        """Sign a new record, above all before it."""
        clock = self._state.clock
        return sign(self._state.signer, body, version=clock.next_version(now), wall_ms=clock.wall_ms(now))

    def keep(self, body: Body, now: float) -> Entry:
        """Sign a record, with our certificate and the number of this life if it shows them, and keep it."""
        body = self._state.shared_key.signed(self._state.admission.certified(body), now)
        ledger = self._state.ledger_of(kind_of(body))
        merge = ledger.merge(self.sign(body, now), body, now)
        entry = ledger.get(self._state.me, kind_of(body))
        assert merge is Merge.STORED
        assert entry is not None
        self._state.out.add(Stored(entry))
        return entry

    def publish(self, body: Body, now: float, *, urgent: bool) -> None:
        """Sign a record, keep it, and spread it."""
        entry, hops = self.keep(body, now), None
        if urgent:
            if entry.record.kind not in WORLD:  # those refute nothing
                self._refutation.pushed(entry.record.version)
            hops = self.hops()
            if entry.record.kind == Kind.ALERTS:
                hops = max(hops, ALERT_HOPS)
            elif entry.record.kind in WORLD and self._state.global_ledger.counts[Kind.SUMMARY]:
                hops = WORLD_HOPS
        self._state.out.emit(OwnPublished(entry, hops))

    def link_up(self, event: LinkUp, now: float) -> None:
        """A link is up: report soon."""
        if event.is_regained:
            self.reporter.link_regained(now)
        if event.is_news:
            self.reporter.links_changed(now)

    def stored(self, entry: Entry, now: float) -> None:
        """A new record: answer it if it accuses us."""
        body = entry.body
        if isinstance(body, Observations) and any(one.subject == ref(self._state.me) for one in body.lost):
            self.refute(now)

    def superseded(self, kind: int, now: float) -> None:
        """Publish our record of this kind again, above that of an earlier process."""
        ours = self._state.ledger_of(kind).get(self._state.me, kind)
        if ours is not None and kind == Kind.OBSERVATIONS:
            self.observe(now)
        elif ours is not None:
            self.repeat(ours, now, urgent=False)
        elif kind == Kind.OBSERVATIONS:
            self.publish(Observations(), now, urgent=False)
        elif kind == Kind.ALERTS:
            self.publish(Alerts(), now, urgent=False)
        elif kind == Kind.REPORT:
            self.reporter.due(now)

    def repeat(self, entry: Entry, now: float, *, urgent: bool) -> None:
        """Publish a record again, with our current certificate."""
        body = entry.body
        if isinstance(body, Orders | Alerts):
            body = aged(body, max(0, round((now - entry.heard_at) * 1000)))
        self.publish(body, now, urgent=urgent)

    def observe(self, now: float) -> None:
        """Publish the peers that we miss, at once and to all."""
        missed = [
            Observation(ref(link.peer), link.heard_ms(), round(link.quiet_s(now) * 1000))
            for link in self._links.lost()
            if (link.peer in self._state.ledger or link.forgotten_at is not None)
            and not has_left(self._state.ledger, link.peer)
        ]
        newest = sorted(missed, key=lambda observation: observation.silence_ms)
        newest += self.orphans.observations(now)
        self.publish(Observations(tuple(newest[:OBSERVATIONS_MAX])), now, urgent=True)

    def refute(self, now: float) -> None:
        """If we are accused, refute that with a report (as SWIM does), at once or as soon as it may."""
        due_at = self._refutation.due_at(now)
        if due_at is not None:
            self.reporter.due(due_at, urgent=True)

    def accused(self, observer: PeerId, version: int, now: float) -> None:
        """Our ledger refused an accusation that others may hold."""
        self._refutation.note(observer, version)
        self.refute(now)

    def report(self, situation: Situation, dialled: tuple[DialReading, ...], now: float) -> None:
        """Publish our report, now and then as a push to measure latency without urgent news."""
        up = set(self._links.up())
        wanted = self._state.neighbours.wanted
        expected = self._state.neighbours.expected(up, now)
        if up:
            expected = {peer for peer in expected if peer in up or peer not in situation.down}
        elif not expected:
            expected = {peer for peer in self._state.neighbours.lost if self._is_ours(peer)}
        links = [(link, link.peer in wanted) for _, link in sorted(self._links.items()) if link.is_up]
        links.sort(key=lambda pair: not pair[1])
        report, urgent = self.reporter.report(
            links[:LINKS_MAX],
            situation,
            reachable=len(expected & up),
            expected=len(expected),
            unreached=0 if up else len(self._state.neighbours.unreached(now)),
            peers=len(self._state.neighbours.rings),
            now=now,
        )
        answers, must_be_pushed = self._refutation.answer(now)
        urgent = urgent or must_be_pushed
        silenced = tuple(ref(peer) for peer in self._refutation.silenced(now))
        if answers or silenced or dialled:
            report = fitting(replace(report, answers=answers, refuted=silenced, dialled=dialled))
        if now >= self._trace_at:  # to measure latency
            peers = len(self._state.neighbours.rings)
            urgent |= self._has_traced or self._rng.random() * peers < TRACED
            self._has_traced = True
            self._trace_at = now + trace_interval_s(peers, self._config)
        self.publish(report, now, urgent=urgent)

    def review(self, now: float) -> None:
        """Answer open accusations, and accuse peers again that fell silent since.

        Publish our profile and our records for all zones again before they are too old for newcomers.
        """
        self._refutation.review(now)
        self.refute(now)
        found = self.orphans.review(now)
        if found or any(self._is_mute(link.peer, now) for link in self._links.lost()):
            self.observe(now)
        worldwide = self._state.global_ledger.entries(self._state.me)
        lasting = [entry for entry in worldwide if entry.record.kind != Kind.SUMMARY]
        profile = self._state.ledger.get(self._state.me, Kind.PROFILE)
        for entry in (*lasting, *([profile] if profile is not None else [])):
            is_old = now - entry.heard_at > REPEAT_SHARE * self._remember_s
            if is_old and has_content(entry.body):
                self.repeat(entry, now, urgent=False)

    def goodbye(self, now: float, planned: PlannedAbsence | None = None) -> None:
        """Send our goodbye to all neighbours. `planned`: an operator announced the absence."""
        profile = self._state.ledger.profile(self._state.me)
        if profile is not None:
            self._send_to_all(self.sign(replace(profile, left=True, planned=planned), now), now)

    def move(self, zone: str, now: float) -> None:
        """Send our new zone to all neighbours; those of the old zone pass it on. Withdraw our summary of that."""
        profile = self._state.ledger.profile(self._state.me)
        if profile is not None:
            self._send_to_all(self.keep(replace(profile, zone=zone), now).record, now)
        # The new zone soon counts its members, so the old summary must not last until it expires.
        spoken = self._state.ledger_of(Kind.SUMMARY).get(self._state.me, Kind.SUMMARY)
        if spoken is not None and isinstance(spoken.body, Summary) and spoken.body.aggregators:
            self.publish(withdrawn(spoken.body), now, urgent=True)

    def _send_to_all(self, record: Record, now: float) -> None:
        """Push a record to all neighbours, since no peer repeats it for us."""
        hops = self.hops()
        news = Push(record, 0, hops, (ref(self._state.me),), sent_us=self._state.clock.wall_us(now))
        for peer in self._links.up():
            self._state.out.send(peer, news)

    def _is_mute(self, peer: PeerId, now: float) -> bool:
        """A lost neighbour reported to others after our accusation, and then fell silent there as well."""
        newest = self._state.ledger.get(peer, Kind.REPORT)
        report = self._state.ledger.report(peer)
        if newest is None or report is None or now - newest.heard_at < 1.5 * report.interval_ms / 1000:
            return False
        return Assessment(self._state.ledger, now).accusation_by(self._state.me, peer) is None

    def _is_ours(self, peer: PeerId) -> bool:
        return self._state.me in self._state.neighbours.rings.neighbours(peer)
