"""How near the estimated round-trip times come, as a simulated network of the world's latencies settles. Prints JSON.

    python benchmarks/coordinates.py --peers 1000 --at 60 300

`own`: with the places where peers themselves think they are; `seen`: with those in the reports that one peer holds,
which are older in a large network. `bytes_per_peer_s` counts what coordinates add to pings and pongs, and the greetings
of all connections, of which visits are the most.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from random import Random

import msgspec
from msgspec.structs import replace

from peerscope.mesh.config import PeerConfig
from peerscope.mesh.coordinates.vivaldi import CoordinateConfig
from peerscope.mesh.events import Effect, Lane, Send
from peerscope.mesh.messages import Ping, Pong, decode
from peerscope.records.identity import PeerId
from peerscope.sim.accuracy import coordinate_error, own_places, seen_places
from peerscope.sim.population import populate
from peerscope.sim.scenario import ScenarioStep, load
from peerscope.sim.simulator import Simulator
from peerscope.sim.truth import Truth
from peerscope.sim.workload import Workload
from peerscope.sim.world import World


class Cost:
    """Bytes that would not be sent without coordinates."""

    def __init__(self) -> None:
        self.places = 0

    def on_effect(self, peer: PeerId, effect: Effect, now: float) -> None:
        """Count the coordinates in pings and pongs."""
        if isinstance(effect, Send) and effect.lane is Lane.DATAGRAM:
            message = decode(effect.data)
            if isinstance(message, Ping | Pong) and message.coordinate is not None:
                self.places += len(msgspec.msgpack.encode(message.coordinate))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peers", type=int, default=200)
    parser.add_argument("--at", type=float, nargs="+", default=[60.0, 300.0], help="virtual seconds after the start")
    parser.add_argument("--dimensions", type=int, default=CoordinateConfig().dimensions)
    parser.add_argument("--visit-interval", type=float, default=CoordinateConfig().visit_interval_s)
    parser.add_argument("--liars", type=float, default=0.0, help="share of the peers that lie about their place")
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    scenario = replace(load("coordinates"), peers=args.peers)
    config = PeerConfig(coordinates=CoordinateConfig(dimensions=args.dimensions, visit_interval_s=args.visit_interval))
    rng, world, truth, cost = Random(args.seed), World(args.seed), Truth(), Cost()
    sim = Simulator(seed=args.seed, config=config, latency=world, faults=scenario.network, signed=False)
    sim.on_effect.append(cost.on_effect)
    populate(sim, scenario, rng)
    if args.liars:
        Workload(sim, truth, rng).do(ScenarioStep(at_s=0.0, do="misplace", count=0, share=args.liars))
    began, found = time.perf_counter(), []
    for at in sorted(args.at):
        sim.run_until(at)
        (observer,) = [p for p in sim.alive() if p.me not in truth.byzantine][:1]
        honest = [(node, place) for node, place in seen_places(sim, observer) if node.peer_id not in truth.byzantine]
        greetings = sum(p.out.bytes["hello"] + p.out.bytes["bye"] for p in sim.alive())
        rounds = args.peers * at
        found.append(
            {
                "virtual_s": at,
                "own": coordinate_error(own_places(sim, truth), world, rng),
                "seen": coordinate_error(honest, world, rng),
                "bytes_per_peer_s": {
                    "places": round(cost.places / rounds, 1),
                    "greetings": round(greetings / rounds, 1),
                },
                "wall_s": round(time.perf_counter() - began, 1),
            }
        )
        print(f"{at:g} virtual s: {found[-1]['own']}", file=sys.stderr)
    result = {**vars(args), "error": found}
    print(json.dumps(msgspec.to_builtins(result), indent=2))


if __name__ == "__main__":
    main()
