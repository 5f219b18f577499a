"""Two processes with one key: a copied state directory, a restored backup, a container image scaled to two.

Every process draws a number for its life and puts it into its profile. A process that meets a newer profile under its
own key, with the number of another life, says its own profile again above it and names that life there. So a profile
that names a life was signed after that life had begun.

That tells a clone from every honest history of one machine. The lives of one machine follow each other: a later life
may name an earlier one, when it comes back with its clock set back, but no dead life ever names a later one. A life
that is named by another therefore knows that the other has signed since both began: they run side by side. The proof
rests on numbers nobody could know before, and on signatures; clocks, addresses, the order of arrival and whatever a
carrier sends again have no part in it. Only who holds the key can give it.

A copy of the memory of a running process shares the number too. Its owner notices a profile of its own life that it
did not sign, and draws another number from it. An agent without numbers (0) never names anybody: of such a one three
newer profiles in a row, each above what we said in the meantime, count as proof.

The finding lapses `STANDS_S` after the other was last met, or with its goodbye. A withheld proof does not revive it: a
profile counts only if its version is as young as that by our own version clock, which no version that we met is ahead
of.
"""

from __future__ import annotations

from hashlib import blake2b
from math import inf
from random import Random

from msgspec import Struct
from msgspec.structs import replace

from peerscope.mesh.zoning.lookup import LookupAnswer
from peerscope.records.bodies import LIVES_MAX, Body, Kind, OtherLife, Profile
from peerscope.records.identity import PeerId
from peerscope.records.record import Record

STANDS_S = 300.0
"""Two that fight over one profile meet each other's every few seconds; in a large network every minute or two."""
NEWS_S = 60.0
"""Between two pieces of news: a clone that is restarted all the time is a new life each time."""
TIMES_MIN = 3
"""Newer profiles in a row without a number that count as proof."""
OWN_QUESTION = 2**32 - 1
"""Number of the question, which no question from outside reaches."""
FIRST_S, SPREAD_S = 30.0, 120.0
"""A peer has found its zone by then; peers that start together do not ask together."""
EVERY_S = 900.0
"""Between two questions, for each other zone."""
ASK_INTERVAL_S = 60.0


class Meeting(Struct):
    """Another life of our key."""

    at: float
    """When its profile was last met."""
    profile: Profile
    times: int = 0
    reported: int = 0
    """Version of the newest report under our key that came with it from another zone."""
    running_at: float = -inf
    """When it was last proved to run beside us."""


class Sharer(Struct, frozen=True):
    """Another process that runs with our key now."""

    addresses: tuple[str, ...]
    region: str | None
    since_age_s: float
    """Seconds since the first of them was proved."""
    heard_age_s: float
    """Seconds since its profile was last met."""


class SharedKey:
    """The processes that sign with our key: this one, and those it met."""

    def __init__(self, life: int) -> None:
        self.life = life
        self._met: dict[int, Meeting] = {}
        self._said: tuple[OtherLife, ...] = ()
        """What our own profile says."""
        self._since = inf
        """When the first of those that run was proved."""
        self._reported: tuple[OtherLife, ...] = ()
        self._reported_at = -inf

    def signed(self, body: Body, now: float) -> Body:
        """What we say of ourselves, with our number and those we met."""
        if not isinstance(body, Profile):
            return body
        self._said = self._others(now)
        return replace(body, life=self.life, met=self._said)

    def met(self, record: Record, profile: Profile, clock_ms: int, now: float) -> None:
        """A true profile under our key is newer than ours, and not of this process. `clock_ms`: our version clock."""
        if profile.life == self.life:
            self.life = _number(self.life.to_bytes(4, "big") + record.digest())
        if profile.left:
            self._met.pop(profile.life, None)
            return
        known = self._meeting(profile, now)
        known.at, known.times = now, known.times + 1
        is_recent = record.version >= clock_ms - STANDS_S * 1000
        if is_recent and (self._is_named_by(profile) or (profile.life == 0 and known.times >= TIMES_MIN)):
            self._proved(known, now)

    def met_abroad(self, profile: Profile, reported: int, now: float) -> bool:
        """Another zone holds a profile of another life, and lately had a report of this version under our key; true if
        our profile does not say so yet. Nobody says anything above it there: newer reports stand for newer profiles."""
        known = self._meeting(profile, now)
        if reported > known.reported:
            known.at, known.reported, known.times = now, reported, known.times + 1
            if self._is_named_by(profile) or known.times >= TIMES_MIN:
                self._proved(known, now)
        return _lives(self._others(now)) != _lives(self._said)

    def running(self, now: float) -> tuple[Sharer, ...]:
        """Who runs with our key now, besides us."""
        return tuple(
            Sharer(one.profile.addresses, one.profile.region, now - min(self._since, now), now - one.at)
            for one in self._met.values()
            if _runs(one, now)
        )

    def review(self, now: float) -> bool:
        """Forget who was not met for long; true if our profile names one as running that does not."""
        for life in [life for life, one in self._met.items() if now - one.at > STANDS_S]:
            del self._met[life]
        running = {life for life, one in self._met.items() if _runs(one, now)}
        if not running:
            self._since = inf
        return any(one.is_running and one.life not in running for one in self._said)

    def news(self, now: float) -> tuple[OtherLife, ...] | None:
        """Those that run beside us, where that is not what was last told; never twice within `NEWS_S`."""
        others = tuple(one for one in self._others(now) if one.is_running)
        if _places(others) == _places(self._reported) or now - self._reported_at < NEWS_S:
            return None
        self._reported, self._reported_at = others, now
        return others

    def _meeting(self, profile: Profile, now: float) -> Meeting:
        """What is known of a life that was met again now: the last of those that are remembered."""
        known = self._met.pop(profile.life, None)
        if known is None or now - known.at > STANDS_S:
            known = Meeting(now, profile)
        known.profile = profile
        self._met[profile.life] = known
        if len(self._met) > LIVES_MAX:  # short lives must not crowd out the proof of an earlier one
            others = list(self._met)[:-1]
            del self._met[min(others, key=lambda life: _runs(self._met[life], now))]
        return known

    def _is_named_by(self, profile: Profile) -> bool:
        return any(one.life == self.life for one in profile.met)

    def _proved(self, known: Meeting, now: float) -> None:
        known.running_at = now
        self._since = min(self._since, now)

    def _others(self, now: float) -> tuple[OtherLife, ...]:
        return tuple(
            OtherLife(life, _runs(one, now), one.profile.addresses, one.profile.region)
            for life, one in reversed(self._met.items())
        )


class SharedKeySearch:
    """When to ask, and what the answer means."""

    def __init__(self, me: PeerId, life: int, now: float) -> None:
        self._me = me
        self.ask_at = now + FIRST_S + SPREAD_S * (life % 1000) / 1000
        """When to ask next."""

    def asked(self, zones: int, now: float) -> None:
        """The question is out, to so many other zones."""
        self.ask_at = now + EVERY_S * max(1, zones)

    def heard(self, answer: LookupAnswer, shared_key: SharedKey, now: float) -> bool:
        """Take the answer in; true if our profile has more to say than it does.

        Only what a peer reported within the time that a meeting stands counts: other zones remember records of an
        earlier home of ours for a day.
        """
        profile, report = answer.ledger.profile(self._me), answer.ledger.get(self._me, Kind.REPORT)
        if profile is None or report is None or profile.left or profile.life == shared_key.life:
            return False
        if now - report.heard_at > STANDS_S:
            return False
        self.ask_at = min(self.ask_at, now + ASK_INTERVAL_S)
        return shared_key.met_abroad(profile, report.record.version, now)


def drawn(rng: Random) -> int:
    """The number of a life, from the peer's generator, which goes on as if nothing had been drawn."""
    copy = Random(0)
    copy.setstate(rng.getstate())
    return _number(copy.randbytes(32))


def _number(data: bytes) -> int:
    return int.from_bytes(blake2b(data, digest_size=4, person=b"peerscope life").digest(), "big") or 1


def _runs(one: Meeting, now: float) -> bool:
    return now - one.running_at <= STANDS_S


def _lives(others: tuple[OtherLife, ...]) -> set[tuple[int, bool]]:
    return {(one.life, one.is_running) for one in others}


def _places(others: tuple[OtherLife, ...]) -> set[tuple[str, ...]]:
    return {one.addresses for one in others}
