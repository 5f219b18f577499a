"""How many clocks of other peers an agent knows, and how well: by its own pings alone, and along the mesh.

    .venv/bin/python benchmarks/clocks.py [--peers 100] [--liars 0] [--asymmetry 0.1] [--seed 1]

A simulated network in ten regions of the world, with clocks off by up to an hour. Each ordered pair of peers exchanges
one message of a node, which takes the direct way: its latency is known if the origin's clock is. `asymmetry`: by how
much each direction of a pair differs from the mean, at most. A liar shows each neighbour another clock, up to 50 ms
off, and reports what those measure. Prints JSON: shares of pairs, errors in seconds, CPU seconds.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from hashlib import blake2b
from random import Random

from msgspec.structs import replace

from peerscope.records.bodies import Kind, Report
from peerscope.records.identity import PeerId, PeerRef, ref
from peerscope.records.ledger import Ledger
from peerscope.sim.node import Machine
from peerscope.sim.simulator import Simulator
from peerscope.sim.world import REGIONS, World
from peerscope.views.clocks import ClockOffset, MeshClocks
from peerscope.views.snapshot import Snapshot

LIE_S = 0.05
SETTLE_S = 120.0


class Uneven:
    """Latencies of the world whose two directions differ."""

    def __init__(self, seed: int, asymmetry: float) -> None:
        self._world = World(seed)
        self._asymmetry = asymmetry

    def __call__(self, one: Machine, other: Machine, rng: Random) -> float:
        name = bytes(a ^ b for a, b in zip(one.peer_id, other.peer_id, strict=True))
        share = int.from_bytes(blake2b(name, digest_size=4).digest()) / 2**32
        sign = 1 if one.peer_id < other.peer_id else -1
        return self._world(one, other, rng) * (1 + sign * self._asymmetry * (2 * share - 1))


def spoiled(snapshot: Snapshot, liars: set[PeerRef]) -> Snapshot:
    """The snapshot if liars show every neighbour another clock: both ends of their links report it."""

    def lie_s(liar: PeerRef, other: PeerRef) -> float:
        return (int.from_bytes(blake2b(liar + other, digest_size=4).digest()) / 2**31 - 1) * LIE_S

    ledger = Ledger()
    for peer in snapshot.ledger:
        for entry in snapshot.ledger.entries(peer):
            body = entry.body
            if isinstance(body, Report):
                links = []
                for link in body.links:
                    other, shift_s = PeerRef(link.peer), 0.0
                    if other in liars:
                        shift_s += lie_s(other, ref(peer))
                    if ref(peer) in liars:
                        shift_s -= lie_s(ref(peer), other)
                    parts = None if link.ahead_s is None else round((link.ahead_s + shift_s) * 10_000)
                    skew_s = 0 if parts is None else round(parts / 10_000)
                    rest = None if parts is None else parts - skew_s * 10_000
                    links.append(replace(link, skew_s=skew_s, skew_rest=rest))
                body = replace(body, links=tuple(links))
            ledger.merge(entry.record, body, entry.heard_at, entry.skew_s)
    return Snapshot(ledger, snapshot.me, snapshot.now, snapshot.config)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peers", type=int, default=100)
    parser.add_argument("--liars", type=int, default=0)
    parser.add_argument("--asymmetry", type=float, default=0.1)
    parser.add_argument("--seed", type=int, default=1)
    chosen = parser.parse_args()
    rng = Random(chosen.seed)
    latency = Uneven(chosen.seed, chosen.asymmetry)
    sim = Simulator(seed=chosen.seed, latency=latency, signed=False)
    ids = [sim.add(REGIONS[n % len(REGIONS)], skew_s=rng.uniform(-3600, 3600)) for n in range(chosen.peers)]
    for peer in ids:
        sim.start(peer, *ids[:2])
    sim.run_until(SETTLE_S)
    liars = {ref(peer) for peer in rng.sample(ids, chosen.liars)}
    direct, by_bound, by_error, errors, direct_errors, within, bounded, cpu_s = 0, 0, 0, [], [], 0, 0, []
    pairs = 0
    for me in ids:
        if ref(me) in liars:
            continue
        snapshot = spoiled(sim.snapshot(me), liars) if liars else sim.snapshot(me)
        began = time.process_time()
        clocks = MeshClocks(snapshot)
        found: dict[PeerId, ClockOffset | None] = {peer: clocks.of(ref(peer)) for peer in ids}
        cpu_s.append(time.process_time() - began)
        own = sim.nodes[me].peer
        assert own is not None
        for origin in ids:
            if origin == me or ref(origin) in liars:
                continue
            pairs += 1
            true_s = sim.nodes[origin].skew_s - sim.nodes[me].skew_s
            latency_s = latency(sim.nodes[origin], sim.nodes[me], rng)
            ahead_s = own.links.ahead_s(origin)
            offset = found[origin]
            if ahead_s is not None:
                direct += 1
                direct_errors.append(abs(ahead_s - true_s))
            elif offset is not None:
                errors.append(abs(offset.ahead_s - true_s))
                within += errors[-1] <= offset.error_s
                bounded += errors[-1] <= offset.bound_s
            by_bound += ahead_s is not None or (offset is not None and offset.bound_s <= latency_s)
            by_error += ahead_s is not None or (offset is not None and offset.error_s <= latency_s)
    reports = [len(sim.nodes[peer].peer.ledger.get(peer, Kind.REPORT).record.body) for peer in ids]  # type: ignore[union-attr]
    print(
        json.dumps(
            {
                "peers": chosen.peers,
                "liars": chosen.liars,
                "asymmetry": chosen.asymmetry,
                "known_before": round(direct / pairs, 3),
                "known": round(by_error / pairs, 3),
                "known_by_bound": round(by_bound / pairs, 3),
                "error_s": _summary(errors),
                "error_of_own_pings_s": _summary(direct_errors),
                "within_likely_error": round(within / max(1, len(errors)), 3),
                "within_bound": round(bounded / max(1, len(errors)), 4),
                "cpu_s": round(statistics.median(cpu_s), 4),
                "report_bytes": statistics.median(reports),
            },
            indent=2,
        )
    )


def _summary(errors: list[float]) -> dict[str, float]:
    if not errors:
        return {}
    ordered = sorted(errors)
    return {
        "median": round(statistics.median(ordered), 5),
        "p95": round(ordered[int(0.95 * (len(ordered) - 1))], 5),
        "max": round(ordered[-1], 5),
    }


if __name__ == "__main__":
    main()
