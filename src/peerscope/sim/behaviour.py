"""Honest nodes, which differ from each other and from hour to hour, and attacks on them.

The seed mixes five kinds. Steady nodes; nodes that follow the day; bursty ones, busy for some minutes and quiet for
longer. Heavy-tailed ones, whose messages are mostly small and now and then huge (Pareto); hubs with many connections.
Rates differ from node to node by orders of magnitude (log-normal). Every node's lookups disagree now and then.
"""

from __future__ import annotations

from math import cos, exp, pi, sqrt
from random import Random

from msgspec import Struct

from peerscope.records.identity import PeerId
from peerscope.sim.simulator import Simulator
from peerscope.threats.monitor import NodeActivity

DAY_S = 86_400.0
KINDS = ("steady", "daily", "bursty", "heavy", "hub")
BURST_S = (60.0, 900.0)
QUIET_S = 1200.0
TURN_S = 5.0


class Attack(Struct, frozen=True):
    """An attack on a node, beside what the node does by itself."""

    puts_minute: float = 0.0
    connections_minute: float = 0.0
    inconsistent_share: float = 0.0
    """Share of its lookups that an attacker answers."""

    def beside(self, other: Attack) -> Attack:
        """Both at once."""
        return Attack(
            self.puts_minute + other.puts_minute,
            self.connections_minute + other.connections_minute,
            max(self.inconsistent_share, other.inconsistent_share),
        )


NO_ATTACK = Attack()


class Behaviour:
    """One node over time."""

    def __init__(self, rng: Random, kind: str | None = None) -> None:
        self.kind = kind or rng.choice(KINDS)
        self.attack = NO_ATTACK
        self._rng = rng
        self._messages_s = min(200.0, 2.0 * rng.lognormvariate(0.0, 1.2))
        self._size_bytes = 600.0 * rng.lognormvariate(0.0, 0.8)
        # Honest nodes keep clear of the fixed limits: where one does not, its operator raises the limit.
        self._connections_minute = min(1.2, (0.8 if self.kind == "hub" else 0.2) * rng.lognormvariate(0.0, 0.6))
        self._puts_minute = min(200.0, 5.0 * rng.lognormvariate(0.0, 1.0))
        self._lookups_minute = min(1500.0, 30.0 * rng.lognormvariate(0.0, 1.0))
        self._stale_share = rng.uniform(0.0, 0.02)
        self._phase = rng.random()
        self._depth = rng.uniform(0.3, 0.9)
        self._burst = rng.uniform(3.0, 30.0)
        self._until = 0.0
        self._is_bursting = False

    def act(self, now: float, seconds: float) -> dict[str, float]:
        """Its activity in the `seconds` up to `now`, as counters."""
        rng, pace = self._rng, self._pace(now)
        messages = _poisson(rng, self._messages_s * seconds * pace)
        lookups = _poisson(rng, self._lookups_minute / 60 * seconds * min(pace, 3.0))
        connections = self._connections_minute / 60 * seconds * min(pace, 1.5)
        opened = _poisson(rng, connections) + _poisson(rng, self.attack.connections_minute / 60 * seconds)
        wrong = 1 - (1 - self._stale_share) * (1 - self.attack.inconsistent_share)
        return {
            "messages": messages,
            "bytes": self._bytes(messages),
            "errors": _binomial(rng, messages, 0.002),
            "opened": opened,
            "closed": _poisson(rng, connections) + (opened if self.attack.connections_minute else 0),
            "puts": _poisson(rng, self._puts_minute / 60 * seconds * min(pace, 3.0))
            + _poisson(rng, self.attack.puts_minute / 60 * seconds),
            "lookups": lookups,
            "judged": lookups,
            "inconsistent": _binomial(rng, lookups, wrong),
        }

    def _pace(self, now: float) -> float:
        """How busy it is now, beside its own mean."""
        if self.kind == "daily":
            return 1.0 + self._depth * cos(2 * pi * (now / DAY_S + self._phase))
        if self.kind == "bursty":
            if now >= self._until:
                self._is_bursting = not self._is_bursting
                length_s = self._rng.uniform(*BURST_S) if self._is_bursting else self._rng.expovariate(1 / QUIET_S)
                self._until = now + length_s
            return self._burst if self._is_bursting else 0.5
        return 1.0

    def _bytes(self, messages: int) -> float:
        if not messages:
            return 0.0
        if self.kind == "heavy":
            # The sum of many Pareto sizes is its mean, and now and then the one that outweighs all others.
            huge = sum(self._rng.paretovariate(1.3) for _ in range(min(messages, 30))) / min(messages, 30)
            return messages * self._size_bytes * huge / 4
        return messages * self._size_bytes * max(0.1, self._rng.gauss(1.0, 0.3 / sqrt(messages)))


class Nodes:
    """The nodes beside the peers of a simulated network: what each does reaches its peer every five seconds."""

    def __init__(self, sim: Simulator, rng: Random) -> None:
        self._sim = sim
        self._rng = rng
        self._behaviours: dict[PeerId, Behaviour] = {}
        sim.at(sim.now, self._act)

    def attack(self, peer: PeerId, attack: Attack) -> None:
        """Do this to a peer's node from now on, beside what is done to it already."""
        behaviour = self._of(peer)
        behaviour.attack = behaviour.attack.beside(attack)

    def _of(self, peer: PeerId) -> Behaviour:
        if peer not in self._behaviours:
            self._behaviours[peer] = Behaviour(Random(self._rng.getrandbits(64)))
        return self._behaviours[peer]

    def _act(self) -> None:
        now = self._sim.now
        self._sim.at(now + TURN_S, self._act)
        for peer, node in sorted(self._sim.nodes.items()):
            if node.peer is not None and now >= node.paused_until and node.corruption is None:
                self._sim.feed(peer, NodeActivity(self._of(peer).act(now, TURN_S)))


def _poisson(rng: Random, mean: float) -> int:
    """A Poisson number (Knuth; from fifty on, its normal approximation)."""
    if mean > 50:
        return max(0, round(rng.gauss(mean, sqrt(mean))))
    count, product, floor = 0, rng.random(), exp(-mean)
    while product > floor:
        count += 1
        product *= rng.random()
    return count


def _binomial(rng: Random, trials: int, share: float) -> int:
    """How many of `trials` happen, exactly for few and by Poisson or normal approximation for many."""
    if trials <= 50:
        return sum(rng.random() < share for _ in range(trials))
    mean = trials * share
    if mean > 50 and trials - mean > 50:
        return min(trials, max(0, round(rng.gauss(mean, sqrt(mean * (1 - share))))))
    return min(trials, _poisson(rng, mean))


class Prefixes:
    """Where honest machines stand: most alone in their /24, some where others are already.

    Each newcomer joins a prefix in proportion to those in it, or opens one of its own (a Chinese restaurant process).
    So there are few large prefixes and many small ones, as of providers and households.
    """

    def __init__(self, rng: Random, alone_share: float | None = None) -> None:
        self._rng = rng
        self._alone_share = rng.uniform(0.6, 0.95) if alone_share is None else alone_share
        self._taken: list[str] = []
        self._next = 0

    def address(self) -> str:
        """One more machine's."""
        if self._taken and self._rng.random() > self._alone_share:
            prefix = self._rng.choice(self._taken)
        else:
            prefix = self.unused()
        self._taken.append(prefix)
        return self.inside(prefix)

    def unused(self) -> str:
        """The first three numbers of a prefix in which nobody is."""
        self._next += 1
        return f"10.{self._next >> 8}.{self._next & 255}"

    def inside(self, prefix: str) -> str:
        """An address in a prefix."""
        return f"{prefix}.{self._rng.randrange(1, 255)}:4600"
