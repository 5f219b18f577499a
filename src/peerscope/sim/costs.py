"""Costs of a simulated network: bytes, messages and copies."""

from __future__ import annotations

from collections import Counter
from statistics import fmean
from typing import Any

from peerscope.mesh.limits.reputation import WEIGHTS
from peerscope.sim.outcome import quantile
from peerscope.sim.simulator import Simulator


class TrafficCost:
    """Traffic of all peers since the counting began."""

    def __init__(self, sim: Simulator) -> None:
        self._sim = sim
        self._began_at = sim.now
        self._before = {peer.me: (peer, self._count(peer)) for peer in sim.alive()}

    @staticmethod
    def _count(peer: Any) -> tuple[Counter[str], Counter[str], Counter[str]]:
        return Counter(peer.out.bytes), Counter(peer.out.messages), Counter(peer.copies)

    def since(self) -> dict[str, Any]:
        """The fields of an `Outcome` that speak of traffic, over peers that ran all the time."""
        passed_s = self._sim.now - self._began_at
        stayed = [(p, self._before[p.me][1]) for p in self._sim.alive() if self._before.get(p.me, (None,))[0] is p]
        sent, messages, copies = Counter[str](), Counter[str](), Counter[str]()
        each: list[float] = []
        aggregators: list[float] = []
        for peer, (bytes_then, messages_then, copies_then) in stayed:
            now = self._count(peer)
            sent += now[0] - bytes_then
            messages += now[1] - messages_then
            copies += now[2] - copies_then
            each.append((now[0] - bytes_then).total() / passed_s)
            if peer.me in peer.global_ledger:
                aggregators.append(each[-1])
        each.sort()
        total = sent.total()
        everybody = self._sim.alive()
        refused: Counter[str] = sum((peer.refused for peer in everybody), Counter())
        return {
            "bytes_per_peer_s": {
                "mean": fmean(each) if each else None,
                "p99": quantile(each, 0.99),
                "max": each[-1] if each else None,
                "aggregators": fmean(aggregators) if aggregators else None,
            },
            "messages_per_peer_s": messages.total() / passed_s / len(each) if each else None,
            "redundancy": _above_one(copies["announced"], copies["announced news"]),
            "redundancy_pushed": _above_one(copies["pushed"], copies["pushed news"]),
            "last_hop": max((max(peer.hops) for peer in everybody if peer.hops), default=None),
            "bytes_share": {name: round(count / total, 4) for name, count in sorted(sent.items())} if total else {},
            "refused": dict(sorted(refused.items())),
            "offences": sum(refused[reason] for reason in WEIGHTS),
        }


def _above_one(copies: int, news: int) -> float | None:
    return copies / news - 1 if news else None
