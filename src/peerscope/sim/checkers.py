"""Watching a simulation: when survivors knew, what they got wrong, and when all agreed. Apart from the workload."""

from __future__ import annotations

from math import inf

from msgspec import Struct

from peerscope.core import Effect
from peerscope.mesh.crawling.crawler import Crawler
from peerscope.mesh.detection.observers import accused, is_reporting
from peerscope.mesh.detection.verdicts import Evidence, Verdict
from peerscope.mesh.events import Stored
from peerscope.mesh.peer import Peer
from peerscope.records.bodies import Kind, Observations
from peerscope.records.identity import PeerId, PeerRef, ref
from peerscope.sim.simulator import Simulator
from peerscope.sim.truth import Truth

LOOKED_AT_MAX = 200
LOOK_AGAIN_INTERVAL_S = 0.25
"""Time alone changes verdicts: an accused observer no longer counts once the accusation has stood."""

LOOK_INTERVAL_S = 0.2
"""How often honest peers look at those whom liars accuse."""

Pair = tuple[PeerId, PeerId]
"""(who sees it, whom it is about)"""


class Detection:
    """Follows every pair of a running peer and a suspected one, whenever new evidence arrives."""

    def __init__(self, sim: Simulator, truth: Truth) -> None:
        self.suspect_s: dict[Pair, float] = {}
        """Seconds from the fault until this peer saw accusations by a majority."""
        self.down_s: dict[Pair, float] = {}
        self.false_suspect: set[Pair] = set()
        self.false_down: set[Pair] = set()
        self._sim = sim
        self._truth = truth
        self._waiting: set[Pair] = set()
        """There is a majority, whose silences are not long enough."""
        self._accused: set[Pair] = set()
        """Somebody accuses, and there is no majority."""

    def on_effect(self, peer: PeerId, effect: Effect, now: float) -> None:
        """Evidence changes only when a record of observations is stored, and with time."""
        if not isinstance(effect, Stored) or not isinstance(effect.entry.body, Observations):
            return
        node = self._sim.nodes[peer]
        if node.peer is None or peer in self._truth.byzantine:
            return
        for observation in effect.entry.body.lost:
            subject = node.peer.ledger.find(PeerRef(observation.subject))
            if subject is None or subject == peer:
                continue
            pair = (peer, subject)
            if pair not in self._waiting and pair not in self.down_s:  # those waiting are weighed again in time
                self._weigh(pair)

    def _weigh(self, pair: Pair) -> None:
        observer, subject = pair
        if self._sim.nodes[observer].peer is None:
            return
        found = self._sim.evidence(observer, subject)
        now = self._sim.now
        if found.has_majority:
            if subject in self._truth.victims:
                self.suspect_s.setdefault(pair, now - self._truth.victims[subject])
            elif not self._truth.may_be_suspect(observer, subject, now):
                self.false_suspect.add(pair)
        if found.verdict is Verdict.DOWN:
            if subject in self._truth.victims:
                self.down_s.setdefault(pair, now - self._truth.victims[subject])
            elif not self._truth.may_be_down(observer, subject, now):
                self.false_down.add(pair)
        elif found.has_majority and pair not in self._waiting:
            self._waiting.add(pair)
            self._sim.at(now + self._wait_s(found), lambda: self._again(pair, self._waiting))
        elif found.accusations and not found.has_majority and pair not in self._accused:
            self._accused.add(pair)
            self._sim.at(now + LOOK_AGAIN_INTERVAL_S, lambda: self._again(pair, self._accused))

    def _again(self, pair: Pair, those: set[Pair]) -> None:
        those.discard(pair)
        if pair not in self.down_s:
            self._weigh(pair)

    def _wait_s(self, found: Evidence) -> float:
        """Until enough silences are long enough."""
        silences = sorted((a.silence_s for a in found.accusations if a.counts), reverse=True)
        return max(0.05, self._sim.config.detector.down_after_s - silences[found.quorum - 1] + 1e-6)


class DetectionLog:
    """Looks at those whom liars accuse: how often an honest peer calls one of them down that lives."""

    def __init__(self, sim: Simulator, truth: Truth) -> None:
        self.looks = self.down = self.expired = 0
        """`expired`: looks at which the report of a living honest peer counted as expired."""
        self._sim = sim
        self._truth = truth

    def begin(self) -> None:
        """Look from now on."""
        self._look()

    def _look(self) -> None:
        truth, now = self._truth, self._sim.now
        honest = [peer for peer in self._sim.alive() if peer.me not in truth.byzantine]
        subjects = [peer.me for peer in honest if peer.me in truth.lied_about] or [peer.me for peer in honest]
        for peer in honest if truth.byzantine else ():
            for subject in subjects:
                if subject == peer.me or truth.may_be_down(peer.me, subject, now):
                    continue
                self.looks += 1
                self.expired += not is_reporting(peer.ledger, subject, now)
                if peer.ledger.missed[ref(subject)]:
                    self.down += self._sim.evidence(peer.me, subject).verdict is Verdict.DOWN
        self._sim.at(now + LOOK_INTERVAL_S, self._look)

    @property
    def down_share(self) -> float | None:
        """Share of all looks that said down; None where nobody lied."""
        return self.down / self.looks if self.looks else None

    @property
    def expired_share(self) -> float | None:
        """Share of all looks that took a living peer's report for expired; None where nobody lied."""
        return self.expired / self.looks if self.looks else None


class InformationSpread:
    """How long urgent records take to reach everybody."""

    def __init__(self, sim: Simulator) -> None:
        self._sim = sim
        self._on_way: dict[tuple[PeerId, int, int], tuple[float, int]] = {}
        self.to_all_s: list[float] = []

    def on_effect(self, peer: PeerId, effect: Effect, now: float) -> None:
        """Count each record's arrivals."""
        if not isinstance(effect, Stored) or effect.entry.record.kind != Kind.OBSERVATIONS:
            return
        record = effect.entry.record
        key = (record.peer_id, record.kind, record.version)
        if record.peer_id == peer:
            self._on_way[key] = (now, 0)
        elif key in self._on_way:
            sent_at, count = self._on_way[key]
            self._on_way[key] = (sent_at, count + 1)
            if count + 1 == self._sim.running - 1:
                self.to_all_s.append(now - sent_at)
                del self._on_way[key]


class Convergence:
    """Polls whether all running peers see what is the case; remembers when they last did not."""

    def __init__(self, sim: Simulator, truth: Truth, every_s: float) -> None:
        self._sim = sim
        self._truth = truth
        self._every_s = every_s
        self.wrong_at = -inf
        """The last time at which somebody was wrong."""
        self.wrong: str = ""
        self._turn = 0

    def begin(self) -> None:
        """Look from now on."""
        self._look()

    def _look(self) -> None:
        running = self._sim.alive()
        if len(running) > LOOKED_AT_MAX:  # a different part each time; the last look of a run is at everybody
            self._turn = (self._turn + LOOKED_AT_MAX) % len(running)
            running = (running + running)[self._turn : self._turn + LOOKED_AT_MAX]
        wrong = self.mistake(running)
        if wrong:
            self.wrong_at, self.wrong = self._sim.now, wrong
        self._sim.at(self._sim.now + self._every_s, self._look)

    def mistake(self, looked_at: list[Peer] | None = None) -> str:
        """One thing that somebody (of `looked_at`, or of all) sees wrongly now, or nothing."""
        running = [peer for peer in self._sim.alive() if peer.me not in self._truth.byzantine]
        zones: dict[str, set[PeerId]] = {}
        for peer in running:
            zones.setdefault(peer.own_zone.zone, set()).add(peer.me)
        for peer in running if looked_at is None else looked_at:
            if peer.me in self._truth.byzantine:
                continue
            known, there = set(peer.ledger), zones[peer.own_zone.zone]
            for other in sorted(there - known):
                return f"{peer.me.hex()[:10]} does not know {other.hex()[:10]}"
            for subject in sorted(accused(peer.ledger) & there):
                found = self._sim.evidence(peer.me, subject)
                honest = any(a.observer not in self._truth.byzantine for a in found.accusations)
                wrong = found.verdict is Verdict.DOWN or (honest and subject not in self._truth.byzantine)
                if wrong and not self._truth.is_apart(peer.me, subject, self._sim.now):
                    return f"{peer.me.hex()[:10]} says {subject.hex()[:10]} is {found.verdict}"
            for victim in sorted(set(self._truth.victims) & known):
                verdict = self._sim.evidence(peer.me, victim).verdict
                if verdict not in (Verdict.DOWN, Verdict.LEFT):
                    return f"{peer.me.hex()[:10]} says {victim.hex()[:10]}, which is dead, is {verdict}"
            for gone in sorted(self._truth.left & known):
                if self._sim.evidence(peer.me, gone).verdict is not Verdict.LEFT:
                    return f"{peer.me.hex()[:10]} does not know that {gone.hex()[:10]} left"
        return ""


class Crawl(Struct, frozen=True):
    """Figures of one crawl."""

    seconds: float
    """Virtual."""
    asked: int
    found: int
    """Peers that answered."""
    missed: int
    """Honest, running peers that did not."""
    unreachable: int
    links: int
    """Between peers that were asked."""
    confirmed: int
    """Links that both ends reported."""
    stopped: str | None
    """The limit that ended it, if one did."""


def crawled(crawler: Crawler | None, sim: Simulator, truth: Truth) -> Crawl | None:
    """The figures of a crawl, if there was one."""
    if crawler is None:
        return None
    survey = crawler.walk.survey()
    honest = {peer.me for peer in sim.alive()} - truth.byzantine
    return Crawl(
        seconds=survey.seconds,
        asked=crawler.walk.asked,
        found=len(survey.depths),
        missed=len(honest - survey.depths.keys()),
        unreachable=len(survey.unreachable),
        links=len(survey.links),
        confirmed=sum(survey.links.values()),
        stopped=survey.stopped,
    )
