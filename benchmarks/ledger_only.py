"""A network without the wire, for days and for many seeds: what peers would say is written into one ledger.

The full protocol over a day takes hours to simulate. Detections see the ledger and telemetry only, and
the generators of the wire make both. `Prefixes` gives places, `Behaviour` nodes, the rings links.
Honest peers come for the first time, restart, leave, are killed and missed. Now and then one side loses a link, or
an operator sets up several machines beside each other. Records take no time here and suffer nothing on the wire.
Detections look once a minute, not every five seconds.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import ceil, inf
from random import Random

from peerscope.mesh.membership.rings import Rings
from peerscope.records.bodies import Body, Check, LinkReading, Observation, Observations, Profile, Report, Status
from peerscope.records.identity import PeerId, Signer, ref
from peerscope.records.ledger import Ledger
from peerscope.records.record import sign
from peerscope.sim.attackers import surrounding
from peerscope.sim.behaviour import Attack, Behaviour, Prefixes
from peerscope.sim.node import make_signer
from peerscope.sim.score import Expected, FindingsSeen, Score
from peerscope.sim.simulator import EPOCH_S
from peerscope.threats.signatures import Signatures
from peerscope.threats.threats import ThreatConfig, Threats
from peerscope.views.snapshot import Snapshot, SnapshotConfig

MINUTE_S = 60.0
GOOD = Check(Status.HEALTHY, 1000)
JOINS_DAY = 40.0
"""Peers that come for the first time."""
RESTARTS_DAY = 100.0
KILLS_DAY = 10.0
LOST_LINKS_DAY = 60.0
"""Links that one end misses for some minutes, though the other end is heard by all."""
FLEETS_DAY = 2.0
"""Operators that set up two to four machines in one prefix within some minutes."""


class UnwiredNetwork:
    """Peers, their records, and everybody's detections; one aggregator looks at the ledger."""

    def __init__(self, peers: int, seed: int, signatures: Signatures) -> None:
        self._rng = Random(f"{seed} honest")
        self._prefixes = Prefixes(self._rng)
        self._signatures = signatures
        self._ledger = Ledger()
        self._rings = Rings()
        self._signers: dict[PeerId, Signer] = {}
        self._addresses: dict[PeerId, str] = {}
        self._liars: set[PeerId] = set()
        self._behaviours: dict[PeerId, Behaviour] = {}
        self._own: dict[PeerId, Threats] = {}
        self._down: dict[PeerId, float] = {}
        self._misses: dict[PeerId, dict[PeerId, float]] = {}
        """By peer, the peers that it misses, until when."""
        self._versions: dict[PeerId, int] = {}
        self.now = 0.0
        self.seen = FindingsSeen()
        self.expected = Expected()
        for _ in range(peers):
            self._join(self._prefixes.address())
        self._me = min(self._signers)
        self._network = Threats(ThreatConfig(), signatures, self._me, 0.0)

    def run(self, hours: float) -> None:
        """Let so many hours pass."""
        for _ in range(round(hours * 60)):
            self.now += MINUTE_S
            self._happen()
            self._tell()
            self._look()

    def score(self) -> Score:
        """The findings so far, held against the attacks."""
        return self.expected.score(self.seen)

    # -- attacks -----------------------------------------------------------------------------------

    def sybil(self, count: int, prefixes: int) -> None:
        """Identities of one hand join from few prefixes."""
        for prefix in self._join_from([None] * count, prefixes):
            self.expected.expect("sybil", f"{prefix}.0/24", self.now)

    def eclipse(self, count: int, prefixes: int) -> None:
        """Identities chosen to become one peer's neighbours join."""
        victim = self._anybody()
        secrets = surrounding(self._rings, victim, count, self._rng, signed=False)
        for prefix in self._join_from(list(secrets), prefixes):
            self.expected.involve(f"{prefix}.0/24")
        self.expected.expect("eclipse", victim.hex(), self.now)

    def attack(self, detection: str, peers: int, attack: Attack) -> None:
        """Do something to the nodes beside some peers."""
        for peer in self._rng.sample(sorted(set(self._signers) - set(self._down)), peers):
            self._behaviours[peer].attack = self._behaviours[peer].attack.beside(attack)
            self.expected.expect(detection, peer.hex(), self.now)

    def lie(self, share: float) -> None:
        """So many of the peers keep accusing all their neighbours, which live."""
        fit = sorted(set(self._signers) - set(self._down) - {self._me})
        self._liars |= set(self._rng.sample(fit, ceil(share * len(fit))))
        for liar in sorted(self._liars):
            self.expected.expect("false-accusation", liar.hex(), self.now)

    def boot(self, peers: int) -> None:
        """So many honest peers join at once, as after an outage."""
        for _ in range(peers):
            self._join(self._prefixes.address())

    def _join_from(self, secrets: Sequence[bytes | None], prefixes: int) -> list[str]:
        chosen = [self._prefixes.unused() for _ in range(prefixes)]
        for index, secret in enumerate(secrets):
            self.expected.comes(self._join(self._prefixes.inside(chosen[index % prefixes]), secret))
        return chosen

    # -- what happens by itself --------------------------------------------------------------------

    def _happen(self) -> None:
        rng = self._rng
        happenings: tuple[tuple[float, Callable[[], None]], ...] = (
            (JOINS_DAY, lambda: self.boot(1)),
            (FLEETS_DAY, self._fleet),
            (KILLS_DAY, self._kill),
            (RESTARTS_DAY, self._restart),
            (LOST_LINKS_DAY, self._lose_link),
        )
        for rate, act in happenings:
            if rng.random() < rate / 1440:
                act()
        for peer in [peer for peer, until in self._down.items() if self.now >= until]:
            del self._down[peer]
            self._introduce(peer)
            self._rings.add(peer)

    def _join(self, address: str, secret: bytes | None = None) -> PeerId:
        signer = make_signer(secret or self._rng.randbytes(32), signed=False)
        peer = signer.peer_id
        self._signers[peer], self._addresses[peer] = signer, address
        self._behaviours[peer] = Behaviour(Random(self._rng.getrandbits(64)))
        self._own[peer] = Threats(ThreatConfig(), self._signatures, peer, self.now)
        self._introduce(peer)
        self._rings.add(peer)
        return peer

    def _fleet(self) -> None:
        prefix = self._prefixes.unused()
        for _ in range(self._rng.randint(2, 4)):
            self._join(self._prefixes.inside(prefix))

    def _kill(self) -> None:
        if len(self._down) > len(self._signers) / 10:
            return
        peer = self._anybody()
        self._down[peer] = self.now + self._rng.uniform(300.0, 3600.0)
        for watcher in self._rings.neighbours(peer):
            self._misses.setdefault(watcher, {})[peer] = self._down[peer]
        self._rings.remove(peer)

    def _restart(self) -> None:
        """The detections of an agent start anew with it."""
        peer = self._anybody()
        self._own[peer] = Threats(ThreatConfig(), self._signatures, peer, self.now)
        self._introduce(peer)

    def _lose_link(self) -> None:
        peer = self._anybody()
        other = self._rng.choice(sorted(self._rings.neighbours(peer)))
        self._misses.setdefault(peer, {})[other] = self.now + self._rng.uniform(60.0, 600.0)

    def _anybody(self) -> PeerId:
        return self._rng.choice(sorted(set(self._signers) - set(self._down) - {self._me}))

    def _introduce(self, peer: PeerId) -> None:
        version = self._rng.choice(("1.0", "1.0", "1.1"))
        self._say(peer, Profile((self._addresses[peer],), None, version, round((EPOCH_S + self.now) * 1000)))

    def _tell(self) -> None:
        """Everybody running reports, and says whom it misses."""
        for peer in sorted(set(self._signers) - set(self._down)):
            missed = {other: until for other, until in self._misses.get(peer, {}).items() if self.now < until}
            self._misses[peer] = missed
            linked = sorted(self._rings.neighbours(peer) - missed.keys())
            links = tuple(LinkReading(ref(other), 20_000, 0) for other in linked)
            self._say(peer, Report(round(MINUTE_S * 1000), (GOOD,) * 5, links))
            if peer in self._liars:
                missed = dict.fromkeys(linked, inf)
            heard_ms = round((EPOCH_S + self.now - MINUTE_S) * 1000)
            lost = tuple(Observation(ref(other), heard_ms, 30_000) for other in sorted(missed))
            if lost or self._ledger.observations(peer) is not None:
                self._say(peer, Observations(lost))

    def _look(self) -> None:
        for peer, threats in sorted(self._own.items()):
            if peer in self._down:
                continue
            threats.activity.count(self.now - 1.0, **self._behaviours[peer].act(self.now, MINUTE_S))
            self.seen.note(threats.own(self._snapshot(peer), self.now), self.now)
        found = self._network.update(self._snapshot(self._me), self.now, is_aggregator=True)
        for one in found:
            if one.detection == "eclipse" and one.peer_id is not None:
                self.expected.look_into(one.peer_id, self._rings.neighbours(PeerId(bytes.fromhex(one.peer_id))))
        self.seen.note(found, self.now)

    def _snapshot(self, peer: PeerId) -> Snapshot:
        return Snapshot(self._ledger, peer, self.now, SnapshotConfig(wall_offset_s=EPOCH_S, down_after_s=4.0))

    def _say(self, peer: PeerId, body: Body) -> None:
        wall_ms = round((EPOCH_S + self.now) * 1000)
        version = max(self._versions.get(peer, 0) + 1, wall_ms)
        self._versions[peer] = version
        record = sign(self._signers[peer], body, version=version, wall_ms=wall_ms)
        self._ledger.merge(record, body, self.now)
