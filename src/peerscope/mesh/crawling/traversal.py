"""A walk over a network from outside: ask every peer once for its neighbours, the nearest first.

The walk knows nothing of messages and sockets. It names the peers to ask (`next`), takes each result (`answered`,
`failed`, `busy`), and ends as a graph (`survey`). Ids are opaque, so it maps any network that answers "who are the
neighbours of X?".

Neighbours are claims. A peer can invent thousands, or run them itself and have each name more. No local rule separates
such a farm from an honest part of the network, but the farm hangs on the few links of the liar. So names wait in a tree
by their source. Each peer that answered is a branch, with its names and the branches of those that were asked. Each
choice starts at the root, and at every fork branches take turns. All names of a liar, and of its farm, thus share the
one turn of the liar. Next to seven honest neighbours they get an eighth of the requests while anything honest waits.
This is hierarchical round-robin, as in fair queueing of packets (Demers, Keshav and Shenker 1989). Inside a branch, its
own names come before those of its branches: the walk is breadth-first. A name from several peers waits with each of
them, so its turn comes sooner.

`WalkConfig` bounds everything.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Hashable, Iterable
from math import inf, isfinite
from typing import Generic, TypeVar

from msgspec import Struct

from peerscope.errors import ConfigError

P = TypeVar("P", bound=Hashable)

NAMES_WHEN_CROWDED = 8
"""Names taken from one answer while more wait than `peers_max`: an ordinary peer has as many neighbours."""

MARGIN_S = 0.5
"""So long before its end a walk needs answers, else they do not count."""


class WalkConfig(Struct, frozen=True, kw_only=True):
    """Limits of a walk."""

    peers_max: int = 10_000
    neighbours_max: int = 64
    """Names taken from one answer; more are counted and dropped."""
    concurrency: int = 64
    answer_timeout_s: float = 6.0  # above the limit of the transport for connecting, whose error is more precise
    """A peer that has not answered by then is unreachable."""
    timeout_s: float = 60.0
    """The whole walk ends after this time with what it has."""
    busy_wait_s: float = 0.5
    """First pause before asking again a peer that said it is busy; doubles each time."""
    busy_tries: int = 5
    """Times a busy peer is asked; the last one is about eight seconds after the first."""

    def __post_init__(self) -> None:
        if not isfinite(self.timeout_s):  # it would never end
            raise ConfigError(f"the time for a crawl is {self.timeout_s} s; must be a number of seconds")


class Candidates(Struct, Generic[P], frozen=True):
    """The graph that a walk found."""

    depths: dict[P, int]
    """Peers that answered, each with its distance in links from the nearest start."""
    links: dict[tuple[P, P], bool]
    """Links between peers that were asked, once each; true where both ends named each other."""
    unreachable: dict[P, str]
    """Peers asked in vain, each with the reason."""
    unasked: int
    """Names not asked, or without an answer yet, when the walk ended."""
    surplus: int
    stopped: str | None
    """The limit that ended the walk, in words; None if it ended by itself."""
    seconds: float


class Branch(Generic[P]):
    """A peer that answered: its waiting names, and the branches of those that were asked."""

    __slots__ = ("branches", "depth", "has_turn", "in_flight", "names", "parent")

    def __init__(self, parent: Branch[P] | None, names: Iterable[P]) -> None:
        self.parent = parent
        self.depth: int = 0 if parent is None else parent.depth + 1
        self.names = deque(names)
        self.branches: deque[Branch[P]] = deque()
        """Branches with something to ask, the next one first."""
        self.in_flight = 0
        """Requests under way to peers that this one named."""
        self.has_turn = False
        """It is among the branches of its parent."""


class Walk(Generic[P]):
    """The state of one walk. `now` is in seconds of any clock that does not go back."""

    def __init__(self, starts: Iterable[P], config: WalkConfig, now: float) -> None:
        self.config = config
        self.surplus = 0
        self._began_at = now
        self._ended_at = now
        self._starts = tuple(dict.fromkeys(starts))
        self._root: Branch[P] = Branch(None, self._starts)
        self._waiting = set(self._starts)
        self._asked: dict[P, Branch[P]] = {}
        """Asked peers, each with the branch that named it."""
        self._in_flight: dict[P, float] = {}
        """Deadlines of the answers, in the order of asking."""
        self._postponed: list[tuple[float, int, P]] = []
        self._tries: dict[P, int] = {}
        self._answered: set[P] = set()
        self._links: dict[tuple[P, P], bool] = {}
        self._unreachable: dict[P, str] = {}
        self._depth = 0

    def __contains__(self, peer: P) -> bool:
        """The peer was asked, or waits."""
        return peer in self._asked or peer in self._waiting

    @property
    def found(self) -> int:
        return len(self._asked) + len(self._waiting)

    @property
    def asked(self) -> int:
        return len(self._asked)

    @property
    def heard(self) -> int:
        return len(self._answered)

    @property
    def unreachable(self) -> int:
        return len(self._unreachable)

    @property
    def depth(self) -> int:
        """Steps from a start to the last peer asked."""
        return self._depth

    @property
    def ends_at(self) -> float:
        """When the time for the whole walk is over."""
        return self._began_at + self.config.timeout_s

    def ends_by(self, seconds: float, now: float) -> float:
        """When an answer that takes so long at most has to end: within half of the time, and before the walk does."""
        return min(now + min(seconds, self.config.timeout_s / 2), self.ends_at - MARGIN_S)

    @property
    def room(self) -> int:
        """Names that it takes from one answer now."""
        is_crowded = len(self._waiting) >= self.config.peers_max
        return NAMES_WHEN_CROWDED if is_crowded else self.config.neighbours_max

    def is_asking(self, peer: P) -> bool:
        """Its answer would count."""
        return peer in self._in_flight

    def is_done(self, now: float) -> bool:
        """Nothing is left to ask or to wait for, or a limit ends the walk."""
        if now >= self.ends_at:
            return True
        if self._in_flight or self._postponed:
            return False
        return not self._waiting or len(self._asked) >= self.config.peers_max

    def next(self, now: float) -> list[P]:
        """Peers to ask now. Requests past their deadline fail first."""
        self._ended_at = now
        while self._in_flight and (late := next(iter(self._in_flight.items())))[1] <= now:
            self.failed(late[0], f"no answer within {self.config.answer_timeout_s:g} s", now)
        if self.is_done(now):
            self._in_flight.clear()  # what still comes does not count
            self._postponed.clear()
            return []
        chosen: list[P] = []
        while len(self._in_flight) < self.config.concurrency and (peer := self._take(now)) is not None:
            self._in_flight[peer] = now + self.config.answer_timeout_s
            self._asked[peer].in_flight += 1
            chosen.append(peer)
        return chosen

    def answered(self, peer: P, neighbours: Iterable[P], now: float) -> None:
        """A peer named its neighbours. Counts only while its request is under way."""
        branch = self._landed(peer, now)
        if branch is None:
            return
        names = [name for name in dict.fromkeys(neighbours) if name != peer]
        taken = names[: self.room]
        self.surplus += len(names) - len(taken)
        self._answered.add(peer)
        for name in taken:
            if (name, peer) in self._links:
                self._links[name, peer] = True
            else:
                self._links[peer, name] = False
        fresh = [name for name in taken if name not in self._asked]
        self._waiting.update(fresh)
        self._give_turn(Branch(branch, fresh))

    def failed(self, peer: P, reason: str, now: float) -> None:
        """A request failed. Counts only while it is under way."""
        if self._landed(peer, now) is not None:
            self._unreachable[peer] = reason

    def busy(self, peer: P, now: float) -> None:
        """The peer is busy: ask again later, a few times."""
        if peer not in self._in_flight:
            return
        tries = self._tries[peer] = self._tries.get(peer, 0) + 1
        if tries >= self.config.busy_tries:
            self.failed(peer, f"busy, {tries} times", now)
        else:
            self._landed(peer, now)
            again_at = now + self.config.busy_wait_s * 2.0 ** (tries - 1)
            heapq.heappush(self._postponed, (again_at, len(self._asked), peer))

    def deadline(self) -> float:
        """When to call `next` again, if nothing happens before; infinity once the walk is over."""
        due = next(iter(self._in_flight.values()), inf)
        again = self._postponed[0][0] if self._postponed else inf
        first = min(due, again)
        return first if first == inf else min(first, self.ends_at)

    def survey(self) -> Candidates[P]:
        settled = self._answered | self._unreachable.keys()
        unasked = len(self._waiting) + len(self._asked) - len(settled)
        seconds, stopped = self._ended_at - self._began_at, None
        if unasked and seconds >= self.config.timeout_s:
            stopped = f"{self.config.timeout_s:g} s were over"
        elif unasked and len(self._asked) >= self.config.peers_max:
            stopped = f"{self.config.peers_max} peers were asked"
        return Candidates(
            depths=self._depths(),
            links={pair: both for pair, both in self._links.items() if settled.issuperset(pair)},
            unreachable=dict(self._unreachable),
            unasked=unasked,
            surplus=self.surplus,
            stopped=stopped,
            seconds=seconds,
        )

    def _take(self, now: float) -> P | None:
        """The next peer to ask; None if that has to wait for an answer."""
        if self._postponed and self._postponed[0][0] <= now:
            return heapq.heappop(self._postponed)[2]
        if len(self._asked) >= self.config.peers_max:
            return None
        share = max(1, self.config.concurrency // 2)  # of the requests under way, for the names of one peer
        branch = self._root
        while True:
            while branch.names and branch.in_flight < share:
                name = branch.names.popleft()
                if name in self._waiting:  # else it had its turn elsewhere
                    self._waiting.remove(name)
                    self._asked[name] = branch
                    self._depth = branch.depth
                    return name
            if branch.branches:
                branch.branches.rotate(-1)  # the others before this one again
                branch = branch.branches[-1]
            elif branch.parent is None:
                return None
            else:  # nothing to ask here until an answer comes
                branch.has_turn = False
                branch = branch.parent
                branch.branches.pop()

    def _landed(self, peer: P, now: float) -> Branch[P] | None:
        """End a request: the branch that named the peer; None without a request."""
        self._ended_at = now
        if self._in_flight.pop(peer, None) is None:
            return None
        branch = self._asked[peer]
        branch.in_flight -= 1
        self._give_turn(branch)
        return branch

    def _give_turn(self, branch: Branch[P]) -> None:
        while branch.parent is not None and not branch.has_turn:
            branch.has_turn = True
            branch.parent.branches.append(branch)
            branch = branch.parent

    def _depths(self) -> dict[P, int]:
        """Fewest links from a start to each peer that answered; a link counts both ways."""
        around: dict[P, list[P]] = {peer: [] for peer in self._answered}
        for one, other in self._links:
            if one in around and other in around:
                around[one].append(other)
                around[other].append(one)
        depths = {peer: 0 for peer in self._starts if peer in around}
        queue = deque(depths)
        while queue:
            peer = queue.popleft()
            for other in around[peer]:
                if other not in depths:
                    depths[other] = depths[peer] + 1
                    queue.append(other)
        return depths
