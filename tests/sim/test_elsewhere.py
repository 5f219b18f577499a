"""Asking other zones for a peer, on whole simulations: whoever asks, whatever became of the peer, whoever lies."""

from collections.abc import Callable
from random import Random

import pytest
from msgspec.structs import replace

from peerscope.mesh.config import PeerConfig
from peerscope.mesh.events import Effect, LookedUp, LookUp, Send
from peerscope.mesh.lookups import OPEN_MAX
from peerscope.mesh.membership.admission import NetworkConfig
from peerscope.mesh.messages import Found, Message, Opinion, decode, encode
from peerscope.mesh.peer import Peer
from peerscope.mesh.zoning.lookup import TIMEOUT_S, LookupAnswer
from peerscope.mesh.zoning.names import ZoneConfig
from peerscope.mesh.zoning.zone_summaries import zone_summaries
from peerscope.records.bodies import Profile, encode_body
from peerscope.records.identity import PeerId
from peerscope.sim.node import Corruption
from peerscope.sim.population import populate
from peerscope.sim.scenario import load
from peerscope.sim.simulator import EPOCH_S, Simulator
from peerscope.zones.remote_peer import RemotePeer

ZONES = ZoneConfig(zone_max=18, summary_interval_s=5.0)
Seen = tuple[str, str, str]


class World:
    """A network of three zones of nine, in which everybody knows of all zones."""

    def __init__(self, seed: int, network: NetworkConfig | None = None) -> None:
        config = PeerConfig(zones=ZONES, network=network or NetworkConfig())
        self.sim = Simulator(seed=seed, config=config, signed=False)
        populate(self.sim, replace(load("zones"), peers=27, zones=3), Random(seed))
        self.sim.run_parts("summaries")
        self.sim.on_effect.append(self._note)
        self._answers: dict[int, LookupAnswer] = {}
        self._asked = 0
        self.sim.run_until(25.0)
        assert [len(self.members(zone)) for zone in self.zones] == [9, 9, 9]

    @property
    def zones(self) -> list[str]:
        return sorted({peer.own_zone.zone for peer in self.sim.alive()})

    def members(self, zone: str) -> list[PeerId]:
        return [peer.me for peer in self.sim.alive() if peer.own_zone.zone == zone]

    def peer(self, peer: PeerId) -> Peer:
        found = self.sim.nodes[peer].peer
        assert found is not None
        return found

    def aggregators(self, zone: str) -> list[PeerId]:
        return [claim.peer for claim in zone_summaries(self.sim.alive()[0].global_ledger, self.sim.now)[zone]]

    def ordinary(self, zone: str) -> PeerId:
        """A member that is no aggregator."""
        return next(peer for peer in self.members(zone) if peer not in self.aggregators(zone))

    def ask(self, asker: PeerId, name: str) -> LookupAnswer:
        self._asked += 1
        self.sim.feed(asker, LookUp(self._asked, name))
        self.sim.run_until(self.sim.now + TIMEOUT_S + 0.1)
        return self._answers[self._asked]

    def look(self, asker: PeerId, subject: PeerId, name: str = "") -> RemotePeer:
        """Ask for a peer by its whole id, or by a part of it."""
        answer = self.ask(asker, name or subject.hex())
        assert list(answer.ledger) == [subject]
        down_after_s = self.peer(asker).config.detector.down_after_s
        return RemotePeer(answer, subject, self.sim.now, wall_offset_s=EPOCH_S, down_after_s=down_after_s)

    def _note(self, peer: PeerId, effect: Effect, now: float) -> None:
        if isinstance(effect, LookedUp):
            assert effect.number not in self._answers, "a question is answered once"
            self._answers[effect.number] = effect.answer


@pytest.fixture
def world() -> World:
    return World(seed=1)


def seen(found: RemotePeer) -> Seen:
    view = found.view()
    return found.hearsay().zone, view.verdict, view.status


def lying(change: Callable[[Found], Found]) -> Corruption:
    """Answers other zones with something else than it knows."""

    def lie(peer: Peer, effects: list[Effect], now: float) -> list[Effect]:
        return [_lied(effect, change) for effect in effects]

    return lie


def _lied(effect: Effect, change: Callable[[Found], Found]) -> Effect:
    message: Message | None = decode(effect.data) if isinstance(effect, Send) else None
    if not isinstance(effect, Send) or not isinstance(message, Found):
        return effect
    return replace(effect, data=encode(change(message)))


def called(verdict: str) -> Callable[[Found], Found]:
    opinion = Opinion(verdict, 7, 8, 7, 8, 5)
    return lambda found: replace(found, peers=tuple(replace(one, opinion=opinion) for one in found.peers))


def forged(found: Found) -> Found:
    """A goodbye in the subject's name."""
    told = found.peers[0]
    goodbye = encode_body(Profile((), None, "forged", 0, left=True, zone=found.zone))
    record = replace(told.records[0].record, version=told.records[0].record.version + 1, body=goodbye)
    return replace(found, peers=(replace(told, records=(replace(told.records[0], record=record),)),))


@pytest.mark.parametrize("seed", [1, 2])
def test_every_zone_finds_living_dead_and_departed_peers_of_every_other(seed: int) -> None:
    world = World(seed)
    zones = world.zones
    dead = {zone: world.ordinary(zone) for zone in zones}
    for peer in dead.values():
        world.sim.crash(peer)
    gone = {zone: world.ordinary(zone) for zone in zones}
    for peer in gone.values():
        world.sim.leave(peer)
    world.sim.run_until(world.sim.now + 10.0)
    for zone in zones:
        asker = world.members(zone)[-1]
        for other in zones:
            if other != zone:
                living = world.members(other)[0]
                assert seen(world.look(asker, living)) == (other, "alive", "healthy")
                assert seen(world.look(asker, dead[other])) == (other, "down", "down")
                shown = world.look(asker, dead[other]).view()
                assert (shown.checks, shown.metrics, shown.links, shown.uptime_s) == (None, None, (), None)
                assert shown.gone_age_s is None  # nobody here knows since when
                assert seen(world.look(asker, gone[other])) == (other, "left", "left")


def test_what_the_peer_said_of_itself_comes_with_its_links_and_the_word_of_three(world: World) -> None:
    here, there = world.zones[:2]
    subject = world.ordinary(there)
    found = world.look(world.ordinary(here), subject, subject.hex()[:12])
    view, hearsay = found.view(), found.hearsay()
    profile = world.peer(subject).ledger.profile(subject)
    assert profile is not None
    assert (view.region, view.addresses) == (profile.region, profile.addresses)
    assert {link.peer_id for link in view.links} == {peer.hex()[:16] for peer in world.peer(subject).links.up()}
    assert set(hearsay.said) == {peer.hex() for peer in world.aggregators(there)}
    assert len(hearsay.said) == 3
    assert hearsay.disagreeing == hearsay.silent == ()
    assert found.evidence().hearsay == hearsay
    assert view.age_s is not None
    assert view.age_s < 60.0


def test_a_question_leaves_no_links_behind(world: World) -> None:
    here, there = world.zones[:2]
    asker, subject = world.ordinary(here), world.ordinary(there)
    links = world.peer(asker).links
    before = set(links)
    world.look(asker, subject)
    elsewhere = {peer for peer, link in links.items() if link.zone != here}  # guests of our zone measure coordinates
    assert elsewhere <= before
    world.sim.run_until(world.sim.now + 10.0)
    assert subject not in world.peer(asker).ledger


def test_in_a_network_with_a_secret_it_is_proved_to_each_who_is_asked() -> None:
    world = World(4, NetworkConfig(secret="0123456789abcdef"))
    here, there = world.zones[:2]
    found = world.look(world.ordinary(here), world.ordinary(there))
    assert seen(found) == (there, "alive", "healthy")
    assert len(found.hearsay().said) == 3


def test_a_dead_aggregator_is_named_and_hides_nobody(world: World) -> None:
    here, there = world.zones[:2]
    asker, subject = world.ordinary(here), world.ordinary(there)
    victim = world.aggregators(there)[0]
    world.sim.crash(victim)
    found = world.look(asker, subject)
    assert seen(found) == (there, "alive", "healthy")
    assert found.hearsay().silent == (victim.hex(),)
    assert len(found.hearsay().said) == 2


@pytest.mark.parametrize("rank", [0, 1, 2])
@pytest.mark.parametrize(("truth", "lie"), [("alive", "down"), ("down", "alive")])
def test_an_aggregator_that_lies_about_a_verdict_is_outvoted_and_named(
    world: World, rank: int, truth: str, lie: str
) -> None:
    here, there = world.zones[:2]
    asker, subject = world.ordinary(here), world.ordinary(there)
    liar = world.aggregators(there)[rank]
    world.sim.nodes[liar].corruption = lying(called(lie))
    if truth == "down":
        world.sim.crash(subject)
        world.sim.run_until(world.sim.now + 10.0)
    found = world.look(asker, subject)
    assert found.view().verdict == truth
    assert found.hearsay().disagreeing == (liar.hex(),)
    assert found.hearsay().said[liar.hex()] == lie


def test_an_aggregator_that_hides_a_peer_is_named(world: World) -> None:
    here, there = world.zones[:2]
    liar = world.aggregators(there)[1]
    world.sim.nodes[liar].corruption = lying(lambda found: replace(found, peers=()))
    found = world.look(world.ordinary(here), world.ordinary(there))
    assert found.view().verdict == "alive"
    assert found.hearsay().said[liar.hex()] is None
    assert found.hearsay().disagreeing == (liar.hex(),)


def test_forged_records_are_refused_and_their_bringer_counts_as_silent(world: World) -> None:
    here, there = world.zones[:2]
    asker, liar = world.ordinary(here), world.aggregators(there)[0]
    world.sim.nodes[liar].corruption = lying(forged)
    found = world.look(asker, world.ordinary(there))
    assert found.view().verdict == "alive"
    assert found.hearsay().silent == (liar.hex(),)
    assert world.peer(asker).refused["forged"] == 1


def test_a_peer_that_just_moved_is_found_where_it_is_now(world: World) -> None:
    here, old, new = world.zones
    subject, asker = world.ordinary(old), world.ordinary(here)
    world.sim.crash(subject)
    world.sim.run_until(world.sim.now + 10.0)
    world.sim.nodes[subject].region = new.removesuffix("/")
    world.sim.start(subject, world.ordinary(new), zone=new)
    world.sim.run_until(world.sim.now + 10.0)
    assert subject in world.members(new)
    found = world.look(asker, subject)
    assert seen(found)[:2] == (new, "alive")
    assert set(found.hearsay().said) == {peer.hex() for peer in world.aggregators(new)}


def test_an_unknown_id_is_answered_with_the_zones_that_were_asked_and_those_that_were_silent(world: World) -> None:
    here, deaf, other = world.zones
    for peer in world.aggregators(deaf):
        world.sim.crash(peer)
    answer = world.ask(world.ordinary(here), "00" * 32)
    assert list(answer.ledger) == []
    assert answer.answered == (other,)
    assert set(answer.silent) == {deaf}


def test_an_ambiguous_beginning_is_shown_to_be_one(world: World) -> None:
    here = world.zones[0]
    beyond = [peer.hex() for zone in world.zones[1:] for peer in world.members(zone)]
    digit = max("0123456789abcdef", key=lambda digit: sum(name.startswith(digit) for name in beyond))
    answer = world.ask(world.ordinary(here), digit)
    assert len(answer.ledger) >= 2
    assert {peer.hex()[0] for peer in answer.ledger} == {digit}


def test_only_so_many_questions_are_open_at_once(world: World) -> None:
    asker = world.ordinary(world.zones[0])
    for number in range(100, 101 + OPEN_MAX):
        world.sim.feed(asker, LookUp(number, "00" * 32))
    assert world._answers[100 + OPEN_MAX].is_busy
    world.sim.run_until(world.sim.now + TIMEOUT_S)
    assert [world._answers[number].is_busy for number in range(100, 100 + OPEN_MAX)] == [False] * OPEN_MAX
    assert not world.ask(asker, "00" * 32).is_busy


def test_in_a_network_of_one_zone_there_is_nobody_to_ask() -> None:
    sim = Simulator(seed=3, signed=False)
    answers: list[LookupAnswer] = []
    sim.on_effect.append(
        lambda peer, effect, now: answers.append(effect.answer) if isinstance(effect, LookedUp) else None
    )
    alone = sim.add()
    sim.start(alone)
    sim.feed(alone, LookUp(1, "00"))
    assert [(answer.answered, dict(answer.silent)) for answer in answers] == [((), {})]
