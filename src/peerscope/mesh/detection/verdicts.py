"""Verdicts on peers from the accusations of their observers: a pure function of the ledger.

The subject's own newest report names the neighbours that watch it. Only these may accuse, unless it named fewer than
two links. An observer counts when it takes a side: it accuses, or its own report still lists the link.

**Refutation.** An accusation says when the subject was last heard *by the subject's own clock*. Any record of the
subject dated after the silence refutes it. So no two clocks are compared, as with SWIM's incarnation numbers (Das et
al. 2002). A report that was merely slow to arrive refutes nothing. The subject's report also *names* the accusations
that it has read. Such an answer refutes them whatever they claim about its clock, since the dead do not answer.

**How long liars can keep a living peer down.** Let a record of the subject reach an observer within `d`, and an
accusation reach the subject within `c`. The subject answers at once, or `REFUTE_INTERVAL_S` (0.5 s) after its last
answer. An accusation weighs once it has stood here for `STAND_S` (1.2 s) and the subject has been silent here for as
long. So it weighs from `STAND_S` after its arrival, until `c + 0.5 s + d` after its arrival. The subject is down for at
most `d + (c + 0.5 s - STAND_S)`: never, where `c + d` is below 0.7 s; not longer than `d + 0.5 s`, where `c` is below
`STAND_S`. A new accusation begins again with `STAND_S`. Repeating one faster does not help: every answer resets the
subject's silence. This holds for any number of liars among the observers, all of them included.

A liar decides where it sends its accusation. So neighbours hand every accusation to the accused, and the accused also
answers those that its own ledger refuses. A peer with a record younger here than `down_after_s` is never down.

**Votes.** An observer has no vote against a subject whose unexpired report says that it refuted `REFUTED_MAX` of its
accusations within an hour. It has no vote at all where most of its subjects say so, until one of its accusations agrees
with a quorum of others. An observer that is missed itself has no vote either. Either a quorum of its own observers
misses it, or one accusation has stood for `VOTE_STAND_S` and it was silent for `down_after_s`. The living answer long
before that, so a liar cannot take a living observer's vote away. Fireflies (Johansen et al. 2006) gives the accused the
same right of rebuttal.

**How long liars can hide a death.** An observer that hears the subject passes its reports on. So once the subject's
report has expired here, those that claim to hear it take no side any more.

**No observer left.** Where the subject and all peers that it named have stopped reporting, any peer that heard it alive
before may accuse it.
"""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct

from peerscope.mesh.detection.observers import (
    LINKS_MIN,
    has_left,
    hears,
    is_reporting,
    losers,
    quorum,
    spoke_at,
    voices,
    watchers,
)
from peerscope.records.bodies import Kind, Observation, Observations
from peerscope.records.identity import PeerId, PeerRef, ref
from peerscope.records.ledger import Ledger

STAND_S = 1.2
"""Seconds that an accusation has to stand, and its subject to be silent, before it weighs. The living refute within a
round trip through the network. An accusation that is repeated stands as long as before."""

VOTE_STAND_S = 2.0
"""Seconds that one accusation alone has to stand before it takes an observer's own vote away. Silence is detected after
1.5 s to 2 s, so a dead observer has no vote when its subjects have been silent for `down_after_s`."""

REFUTED_MAX = 5
"""So many refuted accusations within `REFUTED_WINDOW_S` take away an observer's vote against that subject. Honest
observers accuse the living when a link fails in one direction or a machine pauses, but seldom five times an hour. The
subject counts none while it doubts itself."""
REFUTED_WINDOW_S = 3600.0
LIARS_MIN = 2
"""At least so many subjects have to say so before an observer loses its vote against everybody."""

LONE_OBSERVER_FACTOR = 3.0
"""Factor on the times of standing and of silence, where one observer alone takes a side though others should. That is
so while a peer joins: its observers are not known yet, and on a busy machine its refutation comes late. Others that
have been missed for `down_after_s` themselves do not count."""


class Verdict(StrEnum):
    """The conclusion about a peer."""

    ALIVE = "alive"
    SUSPECT = "suspect"
    DOWN = "down"
    PARTITIONED = "partitioned"
    LEFT = "left"


class Accusation(Struct, frozen=True):
    """One observer's standing claim that it lost the subject."""

    observer: PeerId
    heard_ms: int
    """The subject's own version clock when the observer last heard it."""
    silence_s: float
    """How long the silence has lasted now, as the observer saw it."""
    stood_s: float
    """How long the subject could have refuted it, and did not speak."""
    reason: str
    counts: bool
    """False when the observer has no vote, or is itself missed: it may be the one that is cut off."""
    voiceless: bool = False
    """The observer lost its vote: its accusations were refuted again and again."""


class Evidence(Struct, frozen=True):
    """The evidence for a verdict, with the arithmetic."""

    verdict: Verdict
    observers: tuple[PeerId, ...] = ()
    """Observers that take a side, are not missed themselves, and have a vote."""
    quorum: int = 0
    """So many accusing votes, each of `down_after_s` of silence, make the subject down."""
    accusations: tuple[Accusation, ...] = ()
    heard_by: tuple[PeerId, ...] = ()
    """Observers that still report the link. They take no side once the subject's own report has expired."""
    voices: int = 0
    """Votes of the observers: one each, or one per address prefix."""
    accusing: int = 0
    """Accusing votes."""
    patience: float = 1.0
    """Factor on the silence of `down_after_s`."""

    @property
    def has_majority(self) -> bool:
        """Enough observers accuse, however short the silence."""
        return bool(self.quorum) and self.accusing >= self.quorum


class Assessment:
    """The verdicts of one ledger at one moment, with a cache. Valid until the ledger changes."""

    def __init__(self, ledger: Ledger, now: float, *, down_after_s: float = 0.0, by_prefix: bool = False) -> None:
        """`now`: local monotonic seconds. `by_prefix`: observers behind one address prefix have one vote together, as
        public networks need it."""
        self._ledger = ledger
        self._now = now
        self._down_after_s = down_after_s
        self._by_prefix = by_prefix
        self._watchers: dict[PeerId, list[PeerId]] = {}
        self._lost: dict[PeerId, dict[bytes, tuple[Observation, float]]] = {}
        self._newest: dict[PeerId, float | None] = {}
        self._missed: dict[PeerId, bool] = {}
        self._distrusted: dict[PeerId, bool] = {}

    def weigh(self, subject: PeerId) -> Evidence:
        """The evidence about one peer."""
        ledger, now = self._ledger, self._now
        if has_left(ledger, subject):
            return Evidence(Verdict.LEFT)
        observers: list[PeerId] = []
        heard_by: list[PeerId] = []
        accusations: list[Accusation] = []
        is_mute = ledger.report(subject) is not None and not is_reporting(ledger, subject, now)
        for observer in self.watchers(subject):
            claim = self._claim_by(observer, subject)
            if claim is None and not hears(ledger, observer, subject, now):
                continue
            voiceless = self._is_voiceless(observer, subject)
            counts = not voiceless and not self.is_missed(observer)
            if claim is not None:
                said, since = claim
                silence_s = _silence_s(ledger, observer, said, now)
                stood_s = max(0.0, now - since)
                accusations.append(
                    Accusation(observer, said.heard_ms, silence_s, stood_s, said.reason, counts, voiceless)
                )
            else:
                heard_by.append(observer)
                counts = counts and not is_mute
            if counts:
                observers.append(observer)
        votes = voices(ledger, observers, self._by_prefix)
        needed = quorum(len(votes))
        is_alone = needed == 1 and bool(accusations) and self._has_others(subject, observers[0])
        patience = LONE_OBSERVER_FACTOR if is_alone else 1.0
        silences_s = {a.observer: a.silence_s for a in accusations if a.counts}
        settled_s = {a.observer: a.silence_s for a in accusations if a.counts and a.stood_s >= STAND_S * patience}
        accusing = sum(all(o in silences_s for o in vote) for vote in votes)
        down_after_s = self._down_after_s * patience
        if now - (spoke_at(ledger, subject) or 0.0) < self._down_after_s:
            settled_s = {}  # it spoke recently, and may not know of the accusations yet
        convinced = sum(all(settled_s.get(o, 0.0) >= down_after_s for o in vote) for vote in votes)
        verdict = Verdict.ALIVE
        if not all(accusation.voiceless for accusation in accusations):
            verdict = Verdict.DOWN if needed and convinced >= needed else Verdict.SUSPECT
        return Evidence(
            verdict, tuple(observers), needed, tuple(accusations), tuple(heard_by), len(votes), accusing, patience
        )

    def watchers(self, subject: PeerId) -> list[PeerId]:
        """As the function of this name; where the subject and all of those fell silent, also its accusers."""
        found = self._watchers.get(subject)
        if found is None:
            found = watchers(self._ledger, subject)
            if self._ledger.missed[ref(subject)] and not any(
                is_reporting(self._ledger, peer, self._now) for peer in (subject, *found)
            ):
                found = sorted({*found, *losers(self._ledger, subject)} - {subject})
            self._watchers[subject] = found
        return found

    def _has_others(self, subject: PeerId, observer: PeerId) -> bool:
        """There are other living observers, as far as the subject named them."""
        named = self.watchers(subject)
        return any(
            peer not in (observer, subject)
            and is_reporting(self._ledger, peer, self._now)
            and not has_left(self._ledger, peer)
            and not self._has_accuser(peer, STAND_S, self._down_after_s)
            for peer in (named if len(named) >= LINKS_MIN else self._ledger)
        )

    def is_missed(self, peer: PeerId) -> bool:
        """This observer has no vote, because it may be gone itself.

        A quorum of its own observers misses it, or one does for so long that any living peer would have answered.
        Votes are not weighed here: the result must not depend on itself.
        """
        found = self._missed.get(peer)
        if found is None:
            quiet_s = self._now - (spoke_at(self._ledger, peer) or 0.0)
            is_quiet = quiet_s >= max(VOTE_STAND_S, self._down_after_s)
            found = (is_quiet and self._has_accuser(peer, VOTE_STAND_S)) or self._has_quorum(peer, STAND_S)
            self._missed[peer] = found
        return found

    def _has_accuser(self, peer: PeerId, stood_s: float, silence_s: float = 0.0) -> bool:
        """An observer of this peer has missed it for so long."""
        return bool(self._ledger.missed[ref(peer)]) and any(
            self._accuses(watcher, peer, stood_s, silence_s) for watcher in self.watchers(peer)
        )

    def _has_quorum(self, peer: PeerId, stood_s: float, *, without: PeerId | None = None) -> bool:
        """A majority of its observers that take a side, `without` one of them, miss this peer."""
        if not self._ledger.missed[ref(peer)]:
            return False
        accusers = [w for w in self.watchers(peer) if w != without and self._accuses(w, peer, stood_s)]
        if not accusers:
            return False
        hearers = [w for w in self.watchers(peer) if w != without and hears(self._ledger, w, peer, self._now)]
        votes = voices(self._ledger, sorted({*accusers, *hearers}), self._by_prefix)
        return sum(all(o in accusers for o in vote) for vote in votes) >= quorum(len(votes))

    def _accuses(self, observer: PeerId, subject: PeerId, stood_s: float, silence_s: float = 0.0) -> bool:
        if observer not in self._ledger.accusers or self._is_silenced(observer, subject):
            return False
        claim = self._claim_by(observer, subject)
        return (
            claim is not None
            and self._now - claim[1] >= stood_s
            and _silence_s(self._ledger, observer, claim[0], self._now) >= silence_s
        )

    def _is_voiceless(self, observer: PeerId, subject: PeerId) -> bool:
        """This subject, or most of those that it watches, refuted its accusations again and again."""
        return self._is_silenced(observer, subject) or self._is_distrusted(observer)

    def _is_silenced(self, observer: PeerId, subject: PeerId) -> bool:
        """The unexpired report of the subject says so. It answers such an observer no more."""
        name = ref(observer)
        report = self._ledger.report(subject) if self._ledger.refuted[name] else None
        return report is not None and name in report.refuted and is_reporting(self._ledger, subject, self._now)

    def _is_distrusted(self, observer: PeerId) -> bool:
        """Most of the subjects that it watches refuted it again and again, and no quorum agrees with it."""
        found = self._distrusted.get(observer)
        if found is None:
            name, own = ref(observer), self._ledger.report(observer)
            linked = {link.peer for link in own.links} if own is not None else set()
            watched = refuting = 0
            for peer in self._ledger if self._ledger.refuted[name] >= LIARS_MIN else ():
                report = self._ledger.report(peer)  # only of peers that are linked with it
                if report is not None and ref(peer) in linked and is_reporting(self._ledger, peer, self._now):
                    watched += any(link.watches and link.peer == name for link in report.links)
                    refuting += name in report.refuted
            found = refuting >= LIARS_MIN and 2 * refuting > watched and not self._is_right(observer)
            self._distrusted[observer] = found
        return found

    def _is_right(self, observer: PeerId) -> bool:
        """One of its unrefuted accusations agrees with a quorum of the subject's other observers."""
        said = self._ledger.observations(observer)
        subjects = (self._ledger.find(PeerRef(one.subject)) for one in said.lost) if said is not None else ()
        return any(
            subject is not None
            and self._claim_by(observer, subject) is not None
            and self._has_quorum(subject, STAND_S, without=observer)
            for subject in subjects
        )

    def accusation_by(self, observer: PeerId, subject: PeerId) -> Observation | None:
        """The observer's claim against the subject, unless the subject has refuted it since."""
        claim = self._claim_by(observer, subject)
        return claim[0] if claim is not None else None

    def _claim_by(self, observer: PeerId, subject: PeerId) -> tuple[Observation, float] | None:
        """The same, with the local time since which the subject has been silent and could have refuted it."""
        lost = self._lost.get(observer)
        if lost is None:
            entry = self._ledger.get(observer, Kind.OBSERVATIONS)
            said = entry.body if entry is not None else None
            lost = self._lost[observer] = {}
            if entry is not None and isinstance(said, Observations):
                for one, since in zip(said.lost, entry.since, strict=True):
                    lost.setdefault(one.subject, (one, since))
        claim = lost.get(ref(subject)) if lost else None
        if claim is None or not self._stands(observer, subject, claim[0]):
            return None
        spoke_at = self._newest[subject]
        return claim[0], max(claim[1], spoke_at if spoke_at is not None else claim[1])

    def _stands(self, observer: PeerId, subject: PeerId, claim: Observation) -> bool:
        """The subject is known, and has not refuted it."""
        if subject not in self._newest:
            self._newest[subject] = spoke_at(self._ledger, subject)
        accusation = self._ledger.get(observer, Kind.OBSERVATIONS)
        if self._newest[subject] is None or accusation is None:
            return False
        return not self._ledger.is_refuted(subject, accusation.record, claim)


def weigh(ledger: Ledger, subject: PeerId, now: float, *, down_after_s: float, by_prefix: bool = False) -> Evidence:
    """The evidence about one peer, as `Assessment`."""
    return Assessment(ledger, now, down_after_s=down_after_s, by_prefix=by_prefix).weigh(subject)


def _silence_s(ledger: Ledger, observer: PeerId, observation: Observation, now: float) -> float:
    entry = ledger.get(observer, Kind.OBSERVATIONS)
    assert entry is not None
    return observation.silence_ms / 1000 + max(0.0, now - entry.heard_at)
