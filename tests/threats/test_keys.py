"""Keys whose nearest nodes lie too near, in networks of several sizes."""

from random import Random

import pytest

from peerscope.threats.findings import Finding
from peerscope.threats.keys import Keys, divergence
from signatures import signatures

BITS = 256


def nearest(key: int, nodes: list[int], most: int = 20) -> list[str]:
    return [f"{node:064x}" for node in sorted(nodes, key=lambda node: node ^ key)[:most]]


def look_up(nodes: int, keys: int, ground: int, seed: int) -> tuple[list[Finding], str]:
    """Findings after looking up many keys, the last of which an attacker surrounded with so many nodes."""
    rng, told = Random(seed), Keys()
    honest = [rng.getrandbits(BITS) for _ in range(nodes)]
    for _ in range(keys):
        key = rng.getrandbits(BITS)
        told.note(f"{key:064x}", nearest(key, honest), 0.0)
    victim = rng.getrandbits(BITS)
    near = [victim ^ rng.getrandbits(BITS - 30) for _ in range(ground)]
    told.note(f"{victim:064x}", nearest(victim, honest + near), 0.0)
    (signature,) = signatures().of("key_divergence")
    return told.find(signature, 1.0), f"{victim:064x}"


@pytest.mark.parametrize("nodes", [200, 2000])
@pytest.mark.parametrize("ground", [12, 20])
def test_a_surrounded_key_is_found_and_no_other(nodes: int, ground: int) -> None:
    (one,), victim = look_up(nodes, 40, ground, seed=nodes + ground)
    assert dict(one.evidence)["key"] == victim
    assert float(dict(one.evidence)["divergence"]) > 0.94


@pytest.mark.parametrize("seed", range(6))
def test_honest_keys_are_left_alone(seed: int) -> None:
    assert look_up(500, 100, 0, seed)[0] == []


def test_too_few_lookups_say_nothing() -> None:
    assert look_up(500, 9, 20, seed=1)[0] == []


def test_what_is_no_id_is_passed_over() -> None:
    keys = Keys()
    hostile = [("k", ["a"] * 20), ("zz" * 32, ["ab" * 32] * 20), ("ab" * 32, ["x"] * 30), ("", [])]
    for key, closest in (*hostile, ("\uff11" * 64, ["1" * 64]), ("1_" * 32, ["2_" * 32] * 20)):
        keys.note(key, closest, 0.0)
    (signature,) = signatures().of("key_divergence")
    assert keys.find(signature, 0.0) == []


def test_what_was_expected_diverges_little() -> None:
    assert divergence([5] * 10 + [6] * 5 + [7] * 3 + [8] * 2, 640.0) < 0.2
