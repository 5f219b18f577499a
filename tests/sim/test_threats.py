"""Attacks on simulated networks are found, and honest networks are left alone: on the wire once, without it often."""

import sys
from pathlib import Path
from random import Random

import pytest
from msgspec.structs import replace

from peerscope.sim.behaviour import KINDS, Attack, Behaviour, Prefixes
from peerscope.sim.run import run
from peerscope.sim.scenario import load, shipped
from peerscope.sim.score import Score
from signatures import signatures

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
from ledger_only import UnwiredNetwork

pytestmark = pytest.mark.sim
ATTACKS = [scenario.name for scenario in shipped() if scenario.threats]


def test_the_promised_attacks_are_there() -> None:
    assert {"sybil", "eclipse", "poison", "flood", "liars", "cold-boot"} <= set(ATTACKS)


@pytest.mark.parametrize("name", ATTACKS)
def test_an_attack_on_the_wire_is_found_and_nobody_else_is_accused(name: str) -> None:
    peers = 14 if name == "liars" else 24  # every lie is refuted by urgent news to all
    outcome = run(replace(load(name), peers=peers), seed=1, signed=False, options=f" --peers {peers} --unsigned")
    assert outcome.failures == (), f"again with: {outcome.replay}"
    assert outcome.false_alarms == 0
    assert (outcome.recall is None) == (name == "cold-boot")


def attacked(seed: int, attack: str, peers: int = 50) -> Score:
    network = UnwiredNetwork(peers, seed, signatures())
    network.run(0.2)
    match attack:
        case "sybil":
            network.sybil(20, prefixes=2)
        case "eclipse":
            network.eclipse(6, prefixes=3)
        case "liars":
            network.lie(0.3)
        case "poison":
            network.attack("data-poisoning", 5, Attack(inconsistent_share=0.4))
        case "flood":
            network.attack("dht-flood", 3, Attack(puts_minute=1500.0))
            network.attack("connection-flood", 3, Attack(connections_minute=200.0))
    network.run(0.2)
    return network.score()


@pytest.mark.parametrize("attack", ["sybil", "eclipse", "liars", "poison", "flood"])
def test_attacks_are_found_whatever_the_seed(attack: str) -> None:
    scores = [attacked(seed, attack) for seed in (11, 12)]
    assert [score.false_alarms for score in scores] == [0, 0]
    assert min(score.recall or 0.0 for score in scores) >= 0.8


def test_honest_peers_are_left_alone() -> None:
    network = UnwiredNetwork(60, 21, signatures())
    network.run(1.0)
    assert network.score().false_alarms == 0


def test_nobody_is_found_by_detections_that_are_switched_off() -> None:
    """What finds attackers is the detection, not the score."""
    off = "".join(f"[{one.name}]\nenabled = false\n" for one in signatures())
    network = UnwiredNetwork(30, 22, signatures(off))
    network.run(0.1)
    network.sybil(20, prefixes=2)
    network.attack("dht-flood", 3, Attack(puts_minute=9000.0))
    network.run(0.1)
    assert (network.score().recall, network.score().precision) == (0.0, None)


@pytest.mark.parametrize("kind", KINDS)
def test_a_seed_is_a_behaviour(kind: str) -> None:
    one, same, other = Behaviour(Random(1), kind), Behaviour(Random(1), kind), Behaviour(Random(2), kind)
    acts = [[node.act(60.0 * minute, 60.0) for minute in range(1, 60)] for node in (one, same, other)]
    assert acts[0] == acts[1]
    assert acts[0] != acts[2]
    assert all(act["inconsistent"] <= act["judged"] for act in acts[0])


def test_honest_machines_share_prefixes_but_never_all_of_them() -> None:
    for seed in range(5):
        places = Prefixes(Random(seed))
        prefixes = [places.address().rpartition(".")[0] for _ in range(200)]
        assert 60 < len(set(prefixes)) < 200
