"""A liar announces versions that do not exist: how soon a peer asks an honest neighbour for the true one."""

from collections.abc import Sequence

import pytest

from peerscope.mesh.events import Effect
from peerscope.mesh.messages import Aged, Announce, Key, Load, Ping, Pong, Pull, Push, Records
from peerscope.records.bodies import Kind, Report
from peerscope.records.identity import Identity, ref
from peerscope.records.record import VERSION_MAX, Record
from strategies import IDENTITIES
from wire import GOOD, WALL_S, alone, hear, link, profile, record_of, said

ORIGIN, HONEST, LIARS = IDENTITIES[5], IDENTITIES[3], IDENTITIES[6:10]
STEP_S = 0.05
LOOK_S = 40.0
PER_LIAR_S = 2.0
"""An unanswered pull is given to another announcer after so long."""


def report(at_s: float) -> Record:
    return record_of(ORIGIN, Report(15_000, GOOD, ()), at_s=at_s)


class Victim:
    """A peer that once got a report from the first liar, and hears of the next one from an honest neighbour."""

    def __init__(self, liars: Sequence[Identity], lie_s: float) -> None:
        self.peer = alone()
        self.now = 1.0
        self.asked_at: float | None = None
        self.true: Record | None = None
        self._liars = liars
        self._lie_s = lie_s
        for identity in (HONEST, *liars):
            link(self.peer, identity)
            hear(self.peer, identity, Push(record_of(identity, profile()), 0, 1, ()), 0.0)
        hear(self.peer, HONEST, Push(record_of(ORIGIN, profile()), 0, 1, ()), 0.0)
        self._first = report(0.5)
        self._take(hear(self.peer, liars[0], Announce((self._key(self._first.version),)), self.now))
        self._pass(5.0)

    def seconds_until_asked(self, version: str) -> float:
        """After the honest neighbour announced the true version; infinite if never."""
        self.true = report(self.now)
        announced_at, lie_at = self.now + 2.0, self.now
        is_announced = False
        while self.asked_at is None and self.now < announced_at + LOOK_S:
            if self.now >= lie_at:
                lie_at = self.now + self._lie_s
                for liar in self._liars:
                    load = Load((self._key(self._lie(version)),))
                    self._take(hear(self.peer, liar, Ping(1, self._clock_ms(), load=load), self.now))
            if self.now >= announced_at and not is_announced:
                is_announced = True
                self._take(hear(self.peer, HONEST, Announce((self._key(self.true.version),)), self.now))
            self._pass(STEP_S)
        return float("inf") if self.asked_at is None else self.asked_at - announced_at

    def _lie(self, version: str) -> int:
        assert self.true is not None
        rising = self._clock_ms() + 60_000
        return {"true": self.true.version, "rising": rising, "last": VERSION_MAX, "old": self.true.version - 1}[version]

    def _pass(self, seconds: float) -> None:
        end = self.now + seconds
        while self.now < end - STEP_S / 2:
            self.now += STEP_S
            if self.peer.deadline() <= self.now:
                self._take(self.peer.tick(self.now))

    def _take(self, effects: Sequence[Effect]) -> None:
        """All neighbours answer pings; the liars gave the first report, and give nothing more."""
        for other in (HONEST, *self._liars):
            for ping in said(list(effects), Ping, other.peer_id):
                self._take(hear(self.peer, other, Pong(ping.seq, self._clock_ms()), self.now))
            pulls = said(list(effects), Pull, other.peer_id)
            if not any(topic.origin == ref(ORIGIN.peer_id) for pull in pulls for topic in pull.topics):
                continue
            if self.true is None:
                self._take(hear(self.peer, other, Records((Aged(self._first, 0),)), self.now))
            elif other is HONEST and self.asked_at is None:
                self.asked_at = self.now

    def _key(self, version: int) -> Key:
        return Key(ref(ORIGIN.peer_id), Kind.REPORT, version)

    def _clock_ms(self) -> int:
        return round((WALL_S + self.now) * 1000)


@pytest.mark.parametrize("liars", [1, 2, 4])
@pytest.mark.parametrize("lie_s", [0.3, 2.0])
@pytest.mark.parametrize("version", ["true", "last", "old"])
def test_liars_that_name_one_version_delay_the_true_one_by_a_pull_each(version: str, liars: int, lie_s: float) -> None:
    victim = Victim(LIARS[:liars], lie_s)
    assert victim.seconds_until_asked(version) <= PER_LIAR_S * liars + 0.2


@pytest.mark.parametrize("liars", [1, 4])
@pytest.mark.parametrize("lie_s", [0.3, 1.5])
def test_liars_that_name_ever_newer_versions_delay_the_true_one_no_longer(liars: int, lie_s: float) -> None:
    victim = Victim(LIARS[:liars], lie_s)
    assert victim.seconds_until_asked("rising") <= PER_LIAR_S * liars + 0.2
