"""How well attacks are found, and how often honest peers are accused. Prints JSON.

    python benchmarks/threats.py --seeds 20 --peers 100 --control-seeds 1
    python benchmarks/threats.py --wire --seeds 3 --peers 40 --control-seeds 0

Attacks and control run without the wire, for many seeds (`sim/ledger_only.py` says what that leaves out); with `--wire`
the attacks run as scenarios, with the protocol's own messages between simulated peers. The control is a day of honest
peers. `false_alarms` are different findings of medium severity or more about anybody who neither attacks nor is
attacked; `remarks` are those of low severity, which only say that something is unlike its own past.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import Counter
from statistics import fmean, median
from typing import Any

from ledger_only import UnwiredNetwork
from msgspec.structs import replace

from peerscope.host.signature_files import load_signatures
from peerscope.sim.behaviour import Attack
from peerscope.sim.run import run
from peerscope.sim.scenario import load
from peerscope.sim.score import Score

ATTACKS = ("sybil", "eclipse", "flood", "poison", "liars", "cold-boot")


CALM_MINUTES, ATTACKED_MINUTES = 15.0, 15.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--peers", type=int, default=100, help="honest peers of an attacked network")
    parser.add_argument("--attacks", nargs="*", default=ATTACKS, choices=ATTACKS)
    parser.add_argument("--wire", action="store_true", help="run the attacks as scenarios, message by message")
    parser.add_argument("--control-seeds", type=int, default=1)
    parser.add_argument("--control-peers", type=int, default=200)
    parser.add_argument("--control-hours", type=float, default=24.0)
    args = parser.parse_args()
    print(
        json.dumps(
            {**vars(args), "found": {name: attacked(name, args) for name in args.attacks}, "control": control(args)},
            indent=2,
        )
    )


def attacked(name: str, args: argparse.Namespace) -> dict[str, Any]:
    """One scenario over all seeds."""
    scores: list[Score] = []
    for seed in range(1, args.seeds + 1):
        began = time.perf_counter()
        scores.append(wired(name, args.peers, seed) if args.wire else unwired(name, args.peers, seed))
        print(f"{name} {seed}: {scores[-1]} in {time.perf_counter() - began:.1f} s", file=sys.stderr, flush=True)
    return summary(scores)


def wired(name: str, peers: int, seed: int) -> Score:
    """The scenario of this name."""
    outcome = run(replace(load(name), peers=peers), seed=seed, signed=False)
    assert outcome.threats is not None
    return outcome.threats


def unwired(name: str, peers: int, seed: int) -> Score:
    """The same attacks on a network without the wire, after it was quiet for a while."""
    network = UnwiredNetwork(5 if name == "cold-boot" else peers, seed, load_signatures())
    network.run(CALM_MINUTES / 60)
    match name:
        case "sybil":
            network.sybil(20, prefixes=2)
        case "eclipse":
            network.eclipse(6, prefixes=3)
        case "flood":
            network.attack("dht-flood", 4, Attack(puts_minute=1500.0))
            network.attack("connection-flood", 4, Attack(connections_minute=150.0))
        case "poison":
            network.attack("data-poisoning", max(1, peers // 10), Attack(inconsistent_share=0.3))
        case "liars":
            network.lie(0.3)
        case _:
            network.boot(2 * peers)
    network.run(ATTACKED_MINUTES / 60)
    return network.score()


def summary(scores: list[Score]) -> dict[str, Any]:
    """Means over runs; what a run has nothing to say about is left out."""
    precision = [score.precision for score in scores if score.precision is not None]
    recall = [score.recall for score in scores if score.recall is not None]
    first_s = [score.first_s for score in scores if score.first_s is not None]
    found: Counter[str] = sum((Counter(score.found) for score in scores), Counter())
    return {
        "runs": len(scores),
        "precision": fmean(precision) if precision else None,
        "recall": fmean(recall) if recall else None,
        "recall_min": min(recall, default=None),
        "false_alarms": sum(score.false_alarms for score in scores),
        "remarks": sum(score.remarks for score in scores),
        "first_s_median": median(first_s) if first_s else None,
        "found": dict(sorted(found.items())),
    }


def control(args: argparse.Namespace) -> dict[str, Any] | None:
    """Honest peers over a day, for each seed."""
    scores, began = [], time.perf_counter()
    for seed in range(1, args.control_seeds + 1):
        network = UnwiredNetwork(args.control_peers, seed, load_signatures())
        network.run(args.control_hours)
        scores.append(network.score())
        print(f"control {seed}: {scores[-1]}", file=sys.stderr, flush=True)
    return {**summary(scores), "wall_s": round(time.perf_counter() - began, 1)} if scores else None


if __name__ == "__main__":
    main()
