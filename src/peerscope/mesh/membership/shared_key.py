"""Two processes with one key: a copied state directory, a restored backup, a container image scaled to two.

Every process draws a number for its life and puts it into its profile. A process may meet a newer profile under its own
key, with the number of another life. Then it publishes its own profile again above it, and names that life there. So a
profile that names a life was signed after that life had begun.

That separates a clone from every honest history of one machine. The lives of one machine follow each other. A later
life may name an earlier one, when its clock was set back, but a dead life never names a later one. A life that is named
by another thus knows that the other has signed since both began: they run side by side. The proof rests on
unpredictable numbers and on signatures, not on clocks, addresses, the order of arrival or replays. Only a process with
the key can give it.

A copy of the memory of a running process shares the number too. Its owner notices a profile of its own life that it did
not sign, and draws another number from it. An agent without numbers (0) never names a life. Three newer profiles of
such an agent in a row, each above ours in the meantime, count as proof.

The finding lapses `STANDS_S` after the other was last met, or with its goodbye. A replayed proof does not revive it. A
profile counts only if its version is recent by our own version clock, which is above all that we met.

**Search.** Profiles stay in their zone, so two processes with one key in two zones never meet. Therefore every process
looks its own key up in other zones soon after its start, since the later one may be the copy. Then it repeats that at
an interval that grows with the number of zones. So each aggregator gets about one question a second in a network of any
size. While another process is found to report there, the interval is a minute.
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
"""Two processes meet each other's profile every few seconds; in a large network every minute or two."""
NEWS_S = 60.0
"""Least time between two `KeyShared`: a clone in a restart loop is a new life each time."""
TIMES_MIN = 3
"""Newer profiles in a row without a number that count as proof."""
OWN_QUESTION = 2**32 - 1
"""Number of the lookup; lookups from outside have lower ones."""
FIRST_S, SPREAD_S = 30.0, 120.0
"""A peer knows its zone by then; peers that start together ask at different times."""
EVERY_S = 900.0
"""Between two lookups, for each other zone."""
ASK_INTERVAL_S = 60.0


class Meeting(Struct):
    """Another life of our key."""

    at: float
    """Time of the last meeting with its profile."""
    profile: Profile
    times: int = 0
    reported: int = 0
    """Version of the newest report under our key from another zone."""
    running_at: float = -inf
    """Time of the last proof that it runs beside us."""


class Sharer(Struct, frozen=True):
    """Another process that runs with our key now."""

    addresses: tuple[str, ...]
    region: str | None
    since_age_s: float
    """Seconds since the first proof of any of them."""
    heard_age_s: float
    """Seconds since the last meeting with its profile."""


class SharedKey:
    """The processes that sign with our key: this one, and the others that it met."""

    def __init__(self, me: PeerId, life: int, now: float) -> None:
        self.life = life
        self.lookup_at = now + FIRST_S + SPREAD_S * (life % 1000) / 1000
        """Time of the next lookup in other zones."""
        self._me = me
        self._met: dict[int, Meeting] = {}
        self._said: tuple[OtherLife, ...] = ()
        """The lives in our own profile."""
        self._since = inf
        """Time of the first proof of those that run."""
        self._reported: tuple[OtherLife, ...] = ()
        self._reported_at = -inf

    def signed(self, body: Body, now: float) -> Body:
        """Our body, a profile with our number and those that we met."""
        if not isinstance(body, Profile):
            return body
        self._said = self._others(now)
        return replace(body, life=self.life, met=self._said)

    def met(self, record: Record, profile: Profile, clock_ms: int, now: float) -> None:
        """Note a newer profile under our key that this process did not sign. `clock_ms`: our version clock."""
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

    def met_elsewhere(self, profile: Profile, reported: int, now: float) -> bool:
        """Note a profile of another life in another zone, with a report of this version; True if our profile lacks it.

        Newer reports stand for newer profiles there, since no process answers that profile.
        """
        known = self._meeting(profile, now)
        if reported > known.reported:
            known.at, known.reported, known.times = now, reported, known.times + 1
            if self._is_named_by(profile) or known.times >= TIMES_MIN:
                self._proved(known, now)
        return _lives(self._others(now)) != _lives(self._said)

    def lookup_began(self, zones: int, now: float) -> None:
        """A lookup of so many other zones began."""
        self.lookup_at = now + EVERY_S * max(1, zones)

    def looked_up(self, answer: LookupAnswer, now: float) -> bool:
        """Use the answer; True if our profile needs an update.

        Only a recent report counts, since other zones remember our records from earlier zones for a day.
        """
        profile, report = answer.ledger.profile(self._me), answer.ledger.get(self._me, Kind.REPORT)
        if profile is None or report is None or profile.left or profile.life == self.life:
            return False
        if now - report.heard_at > STANDS_S:
            return False
        self.lookup_at = min(self.lookup_at, now + ASK_INTERVAL_S)
        return self.met_elsewhere(profile, report.record.version, now)

    def running(self, now: float) -> tuple[Sharer, ...]:
        """Other processes that run with our key now."""
        return tuple(
            Sharer(one.profile.addresses, one.profile.region, now - min(self._since, now), now - one.at)
            for one in self._met.values()
            if _runs(one, now)
        )

    def review(self, now: float) -> bool:
        """Forget lives not met for long; True if our profile names one as running that is not."""
        for life in [life for life, one in self._met.items() if now - one.at > STANDS_S]:
            del self._met[life]
        running = {life for life, one in self._met.items() if _runs(one, now)}
        if not running:
            self._since = inf
        return any(one.is_running and one.life not in running for one in self._said)

    def news(self, now: float) -> tuple[OtherLife, ...] | None:
        """Those that run beside us, if they changed since the last report; never twice within `NEWS_S`."""
        others = tuple(one for one in self._others(now) if one.is_running)
        if _places(others) == _places(self._reported) or now - self._reported_at < NEWS_S:
            return None
        self._reported, self._reported_at = others, now
        return others

    def _meeting(self, profile: Profile, now: float) -> Meeting:
        """The meeting with a life, moved to the end of those remembered."""
        known = self._met.pop(profile.life, None)
        if known is None or now - known.at > STANDS_S:
            known = Meeting(now, profile)
        known.profile = profile
        self._met[profile.life] = known
        if len(self._met) > LIVES_MAX:  # keep the proof of an earlier life
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


def drawn(rng: Random) -> int:
    """The number of a life, from a copy of the peer's generator."""
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
