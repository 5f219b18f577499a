"""What a minority of liars can reach, computed: who watches whom on the rings, and what it costs to choose one's place.

    .venv/bin/python benchmarks/observers.py [--peers 100 1000] [--draws 100000] [--seed 1]

Prints JSON. `malicious`: a fraction f of the members lies together. For a given honest peer, drawn on the real rings
(mesh/membership/rings.py) with the real quorum (mesh/detection/verdicts.py), the chance that the liars among its
observers
- `accuse`: reach the quorum by themselves, and
- `hide`: are so many that the honest ones no longer reach it, so that its death is not confirmed, and
- `surround`: are all of its neighbours, so that it hears only what they pass on.
`peers_hit` is how many honest peers that is in the whole network, on average. `exact` is the same chance for eight
distinct neighbours drawn without rings (hypergeometric), as a check.

`grinding`: identities are free, so a liar makes keys until they lie beside a victim. Keys tried until so many of the
victim's neighbours are the liar's, by trial on the real rings: median and ninth decile of the trials (the mean is
ruled by victims that stand very close to a neighbour), and the seconds of one core that the median takes here.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from math import comb
from random import Random

from peerscope.mesh.detection.observers import quorum
from peerscope.mesh.membership.rings import Rings
from peerscope.records.identity import Identity, PeerId

FRACTIONS = (0.05, 0.10, 0.20, 0.30, 0.40)
PLACES = 8
NETWORKS = 20
"""So many networks of random ids, each with many draws of who lies."""
TRIALS = 30
TAKEN = (1, 5, 8)
"""One neighbour, a majority of observers, all of them."""
KEYS_TIMED = 2000


def main() -> None:
    """Parse, compute, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peers", type=int, nargs="+", default=[100, 1000])
    parser.add_argument("--draws", type=int, default=100_000, help="peers looked at for each line of the first table")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    rng = Random(options.seed)
    key_s = key_seconds(rng)
    malicious, grinding = [], []
    for peers in options.peers:
        networks = [neighbours(peers, rng) for _ in range(NETWORKS)]
        malicious += [{"peers": peers, "f": f, **chances(networks, f, options.draws, rng)} for f in FRACTIONS]
        grinding += [{"peers": peers, **ground(peers, taken, key_s, rng)} for taken in TAKEN]
    found = {"malicious": malicious, "grinding": grinding, "key_us": round(key_s * 1e6, 1)}
    print(json.dumps({"benchmark": "observers", "seed": options.seed} | found, indent=2))


def neighbours(peers: int, rng: Random) -> list[list[int]]:
    """Everybody's neighbours by number, on the rings of random ids."""
    ids = [PeerId(rng.randbytes(32)) for _ in range(peers)]
    rings, numbers = Rings("", ids), {peer: number for number, peer in enumerate(ids)}
    return [[numbers[other] for other in rings.neighbours(peer)] for peer in ids]


def chances(networks: Sequence[list[list[int]]], f: float, draws: int, rng: Random) -> dict[str, object]:
    """How often liars among the observers of an honest peer suffice, and on how many peers that falls."""
    peers = len(networks[0])
    liars = round(f * peers)
    looked = accuse = hide = surround = 0
    while looked < draws:
        around = networks[rng.randrange(len(networks))]
        lying = bytearray(peers)
        for number in rng.sample(range(peers), liars):
            lying[number] = 1
        for number in range(peers):
            if lying[number]:
                continue
            observers = len(around[number])
            bad = sum(lying[other] for other in around[number])
            needed = quorum(observers)
            looked += 1
            accuse += bad >= needed
            hide += observers - bad < needed
            surround += bad == observers
    honest = peers - liars
    return {
        name: {
            "chance": hits / looked,
            "peers_hit": round(hits / looked * honest, 2),
            "exact": exact(peers, liars, bound),
        }
        for name, hits, bound in (
            ("accuse", accuse, quorum(PLACES)),
            ("hide", hide, PLACES - quorum(PLACES) + 1),
            ("surround", surround, PLACES),
        )
    }


def exact(peers: int, liars: int, bound: int) -> float:
    """At least `bound` liars among eight of the others."""
    ways = sum(comb(liars, bad) * comb(peers - 1 - liars, PLACES - bad) for bad in range(bound, PLACES + 1))
    return ways / comb(peers - 1, PLACES)


def ground(peers: int, taken: int, key_s: float, rng: Random) -> dict[str, object]:
    """How many keys it takes to hold so many of the places beside one victim."""
    tries = sorted(tried(peers, taken, rng) for _ in range(TRIALS))
    median = tries[TRIALS // 2]
    return {
        "neighbours_taken": taken,
        "keys_median": median,
        "keys_p90": tries[TRIALS * 9 // 10],
        "seconds_median": round(median * key_s, 4),
    }


def tried(peers: int, taken: int, rng: Random) -> int:
    """Keys made for one victim; of those only the useful ones join."""
    ids = [PeerId(rng.randbytes(32)) for _ in range(peers)]
    rings, victim = Rings("", ids), ids[0]
    honest = set(ids)
    around = rings.neighbours(victim)
    count = 0
    while around & honest and len(around - honest) < taken:
        count += 1
        key = PeerId(rng.randbytes(32))
        rings.add(key)
        now = rings.neighbours(victim)
        if len(now & honest) < len(around & honest):
            around = now
        else:
            rings.remove(key)
    return count


def key_seconds(rng: Random) -> float:
    """What one key costs here."""
    seeds = [rng.randbytes(32) for _ in range(KEYS_TIMED)]
    began = time.process_time()
    for seed in seeds:
        Identity(seed)
    return (time.process_time() - began) / KEYS_TIMED


if __name__ == "__main__":
    main()
