"""Who says that a peer is gone, who may say so, and what follows: a pure function of the ledger.

The subject's own newest report names the neighbours that watch it; nobody else may accuse, unless it told of less than
two links. An observer counts when it takes a side: it accuses, or its own report still lists the link. An accusation
says when the subject was last heard *by the subject's own clock*; any record of the subject dated after the silence
refutes it (as SWIM's incarnation numbers do, Das et al. 2002), so no two clocks are compared. A report that was merely
slow to arrive refutes nothing.
"""

from __future__ import annotations

from enum import StrEnum
from functools import lru_cache
from ipaddress import ip_network

from msgspec import Struct

from peerscope.records.bodies import Kind, Observation, Observations
from peerscope.records.identity import PeerId, PeerRef, ref
from peerscope.records.ledger import Ledger

EXPIRY_INTERVALS = 3
"""A report is void after so many of its own intervals."""

STAND_S = 1.2
"""An accusation weighs against its subject once it has stood for so long, and the subject has been silent for so long.
The living refute within a round trip through the network, so a liar who repeats itself faster never weighs, and one who
waits is refuted. What was said before stands as long as before when it is said again."""

LINKS_MIN = 2
"""Where the subject told of fewer, all who lost it may say so, so that no one is down on one word."""

ALONE_PATIENCE = 3.0
"""So many times longer an accusation has to stand, and its subject to be silent, where one observer alone takes a side
though others are there who ought to. That is so while somebody joins: it has not named its neighbours yet, or we have
not heard of them, and on a machine with too much to do what refutes the accusation comes late. Others that have been
missed for `down_after_s` themselves are not there."""

FUTURE_MS = 2_000
"""An accusation whose silence ends later than the subject's own clock can stand now, with this much slack for the time
records travel, is a lie made to outlast refutation."""


class Verdict(StrEnum):
    """What the evidence says of a peer."""

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
    """False when the observer is itself accused: it may be the one that is cut off."""


class Evidence(Struct, frozen=True):
    """Everything behind a verdict, and the arithmetic."""

    verdict: Verdict
    observers: tuple[PeerId, ...] = ()
    """Who has a say: watches the subject, takes a side, and is not itself accused."""
    quorum: int = 0
    """Accusations by so many of them, each of `down_after_s` of silence, make it down."""
    accusations: tuple[Accusation, ...] = ()
    heard_by: tuple[PeerId, ...] = ()
    """Observers that still have the link up."""
    voices: int = 0
    """How many votes the observers have: one each, or one per address prefix."""
    accusing: int = 0
    """How many of the votes accuse."""
    patience: float = 1.0
    """So many times `down_after_s` of silence it takes."""

    @property
    def has_majority(self) -> bool:
        """Enough observers accuse, however short the silence."""
        return bool(self.quorum) and self.accusing >= self.quorum


class Assessment:
    """What one ledger says at one moment. Valid until it changes; what many verdicts need is worked out once."""

    def __init__(self, ledger: Ledger, now: float, *, down_after_s: float = 0.0, by_prefix: bool = False) -> None:
        """`now`: local monotonic seconds. `by_prefix`: observers behind one address prefix have one voice together, as
        public networks need it: addresses of one prefix are cheap to have many of."""
        self._ledger = ledger
        self._now = now
        self._down_after_s = down_after_s
        self._by_prefix = by_prefix
        self._watchers: dict[PeerId, list[PeerId]] = {}
        self._lost: dict[PeerId, dict[bytes, tuple[Observation, float]]] = {}
        self._newest: dict[PeerId, tuple[int, float] | None] = {}
        self._accused: dict[PeerId, bool] = {}

    def weigh(self, subject: PeerId) -> Evidence:
        """The evidence about one peer."""
        ledger, now = self._ledger, self._now
        if has_left(ledger, subject):
            return Evidence(Verdict.LEFT)
        observers: list[PeerId] = []
        heard_by: list[PeerId] = []
        accusations: list[Accusation] = []
        for observer in self.watchers(subject):
            claim = self._claim_by(observer, subject)
            if claim is None and not hears(ledger, observer, subject, now):
                continue
            counts = not self.is_accused(observer)
            if claim is not None:
                said, since = claim
                silence_s = _silence_s(ledger, observer, said, now)
                accusations.append(
                    Accusation(observer, said.heard_ms, silence_s, max(0.0, now - since), said.reason, counts)
                )
            else:
                heard_by.append(observer)
            if counts:
                observers.append(observer)
        voices = _voices(ledger, observers, self._by_prefix)
        needed = quorum(len(voices))
        is_alone = needed == 1 and bool(accusations) and self._has_others(subject, observers[0])
        patience = ALONE_PATIENCE if is_alone else 1.0
        silences_s = {a.observer: a.silence_s for a in accusations if a.counts}
        settled_s = {a.observer: a.silence_s for a in accusations if a.counts and a.stood_s >= STAND_S * patience}
        accusing = sum(all(o in silences_s for o in voice) for voice in voices)
        down_after_s = self._down_after_s * patience
        convinced = sum(all(settled_s.get(o, 0.0) >= down_after_s for o in voice) for voice in voices)
        verdict = Verdict.ALIVE
        if accusations:
            verdict = Verdict.DOWN if needed and convinced >= needed else Verdict.SUSPECT
        return Evidence(
            verdict, tuple(observers), needed, tuple(accusations), tuple(heard_by), len(voices), accusing, patience
        )

    def watchers(self, subject: PeerId) -> list[PeerId]:
        """As the function of this name."""
        found = self._watchers.get(subject)
        if found is None:
            found = self._watchers[subject] = watchers(self._ledger, subject)
        return found

    def _has_others(self, subject: PeerId, observer: PeerId) -> bool:
        """Somebody else is there who ought to watch the subject too, as far as it told whom it has."""
        named = self.watchers(subject)
        return any(
            peer not in (observer, subject)
            and is_reporting(self._ledger, peer, self._now)
            and not has_left(self._ledger, peer)
            and not self._is_missed(peer, self._down_after_s)
            for peer in (named if len(named) >= LINKS_MIN else self._ledger)
        )

    def is_accused(self, peer: PeerId) -> bool:
        """Does anybody who may say so miss this peer, and did it have the time to refute that?"""
        found = self._accused.get(peer)
        if found is None:
            found = self._accused[peer] = self._is_missed(peer)
        return found

    def _is_missed(self, peer: PeerId, silence_s: float = 0.0) -> bool:
        """The same, of a silence that has lasted so long."""
        return bool(self._ledger.missed[ref(peer)]) and any(
            watcher in self._ledger.accusers
            and (claim := self._claim_by(watcher, peer)) is not None
            and self._now - claim[1] >= STAND_S
            and _silence_s(self._ledger, watcher, claim[0], self._now) >= silence_s
            for watcher in self.watchers(peer)
        )

    def accusation_by(self, observer: PeerId, subject: PeerId) -> Observation | None:
        """The observer's claim against the subject, unless the subject has refuted it since."""
        claim = self._claim_by(observer, subject)
        return claim[0] if claim is not None else None

    def _claim_by(self, observer: PeerId, subject: PeerId) -> tuple[Observation, float] | None:
        """The same, with the local time since which the subject could have refuted it and did not speak."""
        lost = self._lost.get(observer)
        if lost is None:
            entry = self._ledger.get(observer, Kind.OBSERVATIONS)
            said = entry.body if entry is not None else None
            lost = self._lost[observer] = {}
            if entry is not None and isinstance(said, Observations):
                for one, since in zip(said.lost, entry.since, strict=True):
                    lost.setdefault(one.subject, (one, since))
        claim = lost.get(ref(subject)) if lost else None
        if claim is None or not self._stands(subject, claim[0]):
            return None
        newest = self._newest[subject]
        return claim[0], max(claim[1], newest[1] if newest is not None else claim[1])

    def _stands(self, subject: PeerId, observation: Observation) -> bool:
        """Neither refuted by a later record of the subject, nor dated in the subject's own future."""
        if subject not in self._newest:
            self._newest[subject] = _newest(self._ledger, subject)
        newest = self._newest[subject]
        if newest is None:
            return False
        version, heard_at = newest
        silent_until_ms = observation.heard_ms + observation.silence_ms
        return version <= silent_until_ms <= version + (self._now - heard_at) * 1000 + FUTURE_MS


def weigh(ledger: Ledger, subject: PeerId, now: float, *, down_after_s: float, by_prefix: bool = False) -> Evidence:
    """The evidence about one peer, as `Assessment`."""
    return Assessment(ledger, now, down_after_s=down_after_s, by_prefix=by_prefix).weigh(subject)


def _voices(ledger: Ledger, observers: list[PeerId], by_prefix: bool) -> list[tuple[PeerId, ...]]:
    """Who votes together: each alone, or those behind one address prefix, which then must agree."""
    if not by_prefix:
        return [(observer,) for observer in observers]
    groups: dict[str, list[PeerId]] = {}
    for observer in observers:
        profile = ledger.profile(observer)
        address = profile.addresses[0] if profile and profile.addresses else ""
        groups.setdefault(prefix(address) or observer.hex(), []).append(observer)
    return [tuple(group) for _, group in sorted(groups.items())]


@lru_cache(maxsize=16_384)
def prefix(address: str) -> str | None:
    """The /24 or /48 of a "host:port" address; None where the host is a name."""
    host = address.rpartition(":")[0].strip("[]")
    try:
        network = ip_network((host, 48 if ":" in host else 24), strict=False)
    except ValueError:
        return None
    return str(network)


def quorum(observers: int) -> int:
    """A majority, and at least two where there are two; 0 where there is nobody to ask."""
    if observers <= 1:
        return observers
    return max(2, observers // 2 + 1)


def watchers(ledger: Ledger, subject: PeerId) -> list[PeerId]:
    """The neighbours that the subject itself named as watching it, as far as we know them.

    Where it told of one link at most, because it died, or chose to be silent, while it was still joining: those too who
    say themselves that they lost it; where it told of none, also those who say that they have a link with it. If it
    lives, its next report refutes the ones and names its own.
    """
    report = ledger.report(subject)
    links = report.links if report is not None else ()
    named = {peer for link in links if link.watches and (peer := ledger.find(PeerRef(link.peer))) is not None}
    if len(links) < LINKS_MIN and ledger.missed[ref(subject)]:  # while nobody accuses it, nothing is weighed
        named |= _losers(ledger, subject)
        if not links:
            named |= _linked(ledger, subject)
    return sorted(peer for peer in named if peer != subject and not has_left(ledger, peer))


def _losers(ledger: Ledger, subject: PeerId) -> set[PeerId]:
    """Whoever says that it lost the subject."""
    name = ref(subject)
    return {
        peer
        for peer in ledger.accusers
        if (said := ledger.observations(peer)) is not None and any(one.subject == name for one in said.lost)
    }


def _linked(ledger: Ledger, subject: PeerId) -> set[PeerId]:
    """Whoever says that it has a link with the subject."""
    name = ref(subject)
    return {
        peer
        for peer in ledger
        if (report := ledger.report(peer)) is not None and any(link.peer == name for link in report.links)
    }


def accusation_by(ledger: Ledger, observer: PeerId, subject: PeerId, now: float) -> Observation | None:
    """The observer's claim against the subject, unless the subject has refuted it since."""
    return Assessment(ledger, now).accusation_by(observer, subject)


def _newest(ledger: Ledger, subject: PeerId) -> tuple[int, float] | None:
    """Version of the peer's newest record, and when that was issued."""
    entries = ledger.entries(subject)
    if not entries:
        return None
    newest = max(entries, key=lambda entry: entry.record.version)
    return newest.record.version, newest.heard_at


def hears(ledger: Ledger, observer: PeerId, subject: PeerId, now: float) -> bool:
    """Does the observer's own unexpired report list the link?"""
    report = ledger.report(observer)
    if report is None or not is_reporting(ledger, observer, now):
        return False
    name = ref(subject)
    return any(link.peer == name for link in report.links)


def is_reporting(ledger: Ledger, peer: PeerId, now: float) -> bool:
    """Its newest report has not expired."""
    entry, report = ledger.get(peer, Kind.REPORT), ledger.report(peer)
    if entry is None or report is None:
        return False
    return now <= entry.heard_at + EXPIRY_INTERVALS * report.interval_ms / 1000


def has_left(ledger: Ledger, peer: PeerId) -> bool:
    """The peer said goodbye."""
    profile = ledger.profile(peer)
    return profile is not None and profile.left


def accused(ledger: Ledger) -> set[PeerId]:
    """Everybody whom anybody misses, rightly or not."""
    return {subject for name in ledger.missed if (subject := ledger.find(name)) is not None}


def _silence_s(ledger: Ledger, observer: PeerId, observation: Observation, now: float) -> float:
    entry = ledger.get(observer, Kind.OBSERVATIONS)
    assert entry is not None
    return observation.silence_ms / 1000 + max(0.0, now - entry.heard_at)
