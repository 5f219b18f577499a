"""What all peers' records show: Sybils, eclipses, equivocation, false accusations; and what honest networks show."""

from random import Random

import pytest

from peerscope.mesh.membership.rings import Rings
from peerscope.records.bodies import Check, LinkReading, Observation, Observations, Profile, Report, Status
from peerscope.records.identity import PeerId, ref
from peerscope.records.ledger import Ledger
from peerscope.records.record import sign
from peerscope.sim.attackers import surrounding
from peerscope.sim.behaviour import Prefixes
from peerscope.sim.node import make_signer
from peerscope.threats.findings import Finding
from peerscope.threats.threats import ThreatConfig, Threats
from peerscope.views.snapshot import Snapshot, SnapshotConfig
from signatures import signatures

WALL_S = 1_700_000_000.0
GOOD = Check(Status.HEALTHY, 1000)


class World:
    """A ledger of honest peers in prefixes of their own, and one that looks at it every five seconds."""

    def __init__(self, peers: int, seed: int, alone_share: float | None = None) -> None:
        self.rng = Random(seed)
        self.prefixes = Prefixes(self.rng, alone_share)
        self.ledger = Ledger()
        self.now = 0.0
        self.signers = {}
        self.misses: dict[PeerId, list[PeerId]] = {}
        for _ in range(peers):
            self.join(self.prefixes.address())
        self.me = min(self.signers)
        self.threats = Threats(ThreatConfig(), signatures(), self.me, 0.0)

    def join(self, address: str, secret: bytes | None = None, version: str = "1.0") -> PeerId:
        signer = make_signer(secret or self.rng.randbytes(32), signed=False)
        self.signers[signer.peer_id] = signer
        self.say(signer.peer_id, Profile((address,), None, version, 0))
        return signer.peer_id

    def say(self, peer: PeerId, body: Profile | Report | Observations, bump: int = 0) -> None:
        wall_ms = round((WALL_S + self.now) * 1000) + bump
        self.ledger.merge(sign(self.signers[peer], body, version=wall_ms, wall_ms=wall_ms), body, self.now)

    def rings(self) -> Rings:
        return Rings(members=self.signers)

    def pass_s(self, seconds: float) -> dict[tuple[str, str], Finding]:
        """Everybody reports every five seconds; what stands at the end, by detection and subject."""
        rings, found = self.rings(), ()
        for _ in range(int(seconds / 5)):
            self.now += 5.0
            for peer in sorted(self.signers):
                links = tuple(LinkReading(ref(other), 1000, 0) for other in sorted(rings.neighbours(peer)))
                self.say(peer, Report(5000, (GOOD,) * 5, links))
                lost = self.misses.get(peer, [])
                heard_ms = round((WALL_S + self.now) * 1000)
                self.say(peer, Observations(tuple(Observation(ref(other), heard_ms, 500) for other in lost)))
            snapshot = Snapshot(self.ledger, self.me, self.now, SnapshotConfig(wall_offset_s=WALL_S, down_after_s=4.0))
            found = self.threats.update(snapshot, self.now, is_aggregator=True)
        return {(one.detection, one.peer_id or one.group): one for one in found}


@pytest.mark.parametrize("peers", [30, 100, 300])
def test_twenty_identities_from_two_prefixes_are_found(peers: int) -> None:
    world = World(peers, seed=peers)
    assert world.pass_s(70) == {}
    attacked = [world.prefixes.unused() for _ in range(2)]
    for number in range(20):
        world.join(world.prefixes.inside(attacked[number % 2]))
    found = world.pass_s(10)
    assert {name for detection, name in found if detection == "sybil"} == {f"{prefix}.0/24" for prefix in attacked}
    assert all(one.confidence > (0.3 if peers < 100 else 0.9) for one in found.values() if one.detection == "sybil")
    evidence = dict(found["sybil", f"{attacked[0]}.0/24"].evidence)
    assert evidence["identities"] == "10"


def test_twenty_newcomers_from_everywhere_are_none() -> None:
    world = World(100, seed=5)
    world.pass_s(70)
    for _ in range(20):
        world.join(world.prefixes.address())
    assert world.pass_s(10) == {}


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("alone_share", [0.5, 0.7, 0.95])
def test_a_whole_network_that_comes_back_at_once_is_no_attack(alone_share: float, seed: int) -> None:
    world = World(1, seed, alone_share)
    world.pass_s(70)
    for _ in range(200):
        world.join(world.prefixes.address())
    assert world.pass_s(5) == {}


def test_neighbours_that_look_the_same_are_no_attack_when_everybody_comes_back() -> None:
    """A hoster's machines share prefix, version and port, and boot with all others."""
    world = World(1, seed=9, alone_share=0.8)
    world.pass_s(70)
    hoster = world.prefixes.unused()
    for number in range(120):
        world.join(world.prefixes.inside(hoster) if number % 15 == 0 else world.prefixes.address(), version="1.0")
        if number % 15 == 0:
            world.join(world.prefixes.inside(hoster), version="1.1-hosted")
    assert world.pass_s(5) == {}


def test_everybody_on_one_machine_is_no_attack() -> None:
    world = World(1, seed=1)
    world.pass_s(70)
    for number in range(12):
        world.join(f"127.0.0.1:{4600 + number}")
    assert world.pass_s(10) == {}


def test_ids_ground_to_lie_near_a_key_are_found_though_their_prefixes_differ() -> None:
    world = World(100, seed=3)
    world.pass_s(70)
    key = world.rng.randbytes(32)
    for _ in range(8):
        near = PeerId(key[:3] + world.rng.randbytes(29))
        world.signers[near] = Chosen(near)
        world.say(near, Profile((world.prefixes.address(),), None, "1.0", 0))
    found = world.pass_s(5)
    assert [detection for detection, _ in found] == ["sybil"]
    assert next(iter(found))[1].startswith("ids-")


def test_a_group_stays_found_though_it_grows_old_and_ends_when_it_leaves() -> None:
    world = World(60, seed=4)
    world.pass_s(70)
    prefix = world.prefixes.unused()
    joined = [world.join(world.prefixes.inside(prefix)) for _ in range(12)]
    world.pass_s(10)
    world.now += 1200.0
    found = world.pass_s(5)
    assert ("sybil", f"{prefix}.0/24") in found
    for peer in joined:
        world.say(peer, Profile((), None, "1.0", 0, left=True), bump=1)
        del world.signers[peer]
    assert world.pass_s(5) == {}


@pytest.mark.parametrize("peers", [30, 100])
def test_a_surrounded_peer_is_found_and_no_other(peers: int) -> None:
    world = World(peers, seed=peers)
    world.pass_s(70)
    victim = sorted(world.signers)[peers // 2]
    attackers = [world.prefixes.unused() for _ in range(3)]
    secrets = surrounding(world.rings(), victim, 6, world.rng, signed=False)
    assert len(secrets) == 6
    own = {world.join(world.prefixes.inside(attackers[i % 3]), secret) for i, secret in enumerate(secrets)}
    found = world.pass_s(10)
    assert len(own & world.rings().neighbours(victim)) == 6
    eclipsed = {name for detection, name in found if detection == "eclipse"}
    assert eclipsed == {victim.hex()}
    evidence = dict(found["eclipse", victim.hex()].evidence)
    assert evidence["captured"] == "6"


def test_one_who_accuses_whom_others_hear_is_found() -> None:
    world = World(40, seed=6)
    world.pass_s(10)
    liars = sorted(world.signers)[5:15]
    for liar in liars:
        world.misses[liar] = sorted(world.rings().neighbours(liar))
    found = world.pass_s(60)
    assert {name for detection, name in found if detection == "false-accusation"} == {liar.hex() for liar in liars}


def test_one_bad_link_is_no_false_accusation() -> None:
    world = World(40, seed=7)
    world.pass_s(10)
    for peer in sorted(world.signers)[:10]:
        world.misses[peer] = sorted(world.rings().neighbours(peer))[:1]
    assert world.pass_s(30) == {}


def test_two_statements_of_one_version_are_told_with_their_digests() -> None:
    world = World(20, seed=8)
    world.pass_s(10)
    peer = sorted(world.signers)[3]
    for version in ("a", "b"):
        world.say(peer, Profile(("10.9.9.9:1",), None, version, 0), bump=7)
    found = world.pass_s(5)
    one = found["equivocation", peer.hex()]
    assert one.confidence == pytest.approx(0.9)
    assert len(dict(one.evidence)["digests"].split()) == 2


class Chosen:
    """A signer with an id of its own choice: in the real world it would have to be ground."""

    def __init__(self, peer_id: PeerId) -> None:
        self.peer_id = peer_id

    def sign(self, data: bytes) -> bytes:
        return bytes(64)
