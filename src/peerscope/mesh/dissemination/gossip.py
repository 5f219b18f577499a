"""Gossip: push urgent records, announce and pull the rest.

Push: the body goes at once to `fanout` random neighbours, and its key soon after to the others. Each peer without the
record does the same. A known record stops here: the ledger is the seen-set.

Announce and pull: keys go out in batches, mostly along with pings (`batches.py`). A peer that lacks a record pulls it
from one of its announcers, so each peer gets a body about once. This is the lazy push of Plumtree (Leitao et al. 2007).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from math import ceil, inf, log
from random import Random

from msgspec import Struct

from peerscope.errors import ConfigError
from peerscope.mesh.detection.observers import watchers
from peerscope.mesh.dissemination.batches import Batches, RecordName, age_ms
from peerscope.mesh.events import Outbox
from peerscope.mesh.messages import (
    KEYS_MAX,
    PATH_MAX,
    RECORDS_MAX,
    Aged,
    Key,
    Load,
    Pull,
    Push,
    Records,
    Topic,
)
from peerscope.records.bodies import Kind, Observations
from peerscope.records.identity import PeerId, PeerRef, ref
from peerscope.records.ledger import Entry, Ledger

SOURCES_MAX = 8
ANSWER_BYTES_MAX = 32 * 1024
CROWD_S = 1.5
"""Least time between batches for the sake of new profiles."""
URGENT_S = 0.05
"""Keys of urgent news are batched for so long. When a tenth of the network dies, hundreds of observers publish."""

TRACED = 10
"""So many peers push a report now and then only to measure latency; of a larger network, as many by turns. Pushes are
dear."""
PATIENCE_S = 3.0
"""How long to wait for a record that a neighbour sends whole, while others announce it (Plumtree's timer)."""
HAND_INTERVAL_S = 0.5
"""Least time between two statements of one accuser that we hand to the accused."""


class GossipConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of gossip."""

    fanout: int = 3
    """Neighbours that get the body of urgent news. Each one more costs every peer a copy."""
    announce_interval_s: float = 5.0  # longer than `detector.ping_period_s`, so that nearly all travel with pings
    """Keys wait at most this long for a ping to travel with. Longer saves messages, and may delay ordinary news."""
    introduce_s: float = 0.1
    """Keys of new profiles are batched for this long."""
    pull_timeout_s: float = 2.0
    """After this time a pull without an answer goes to another announcer."""
    wanted_max: int = 8_192
    """Open pulls at one time, in records."""
    budget_bytes_s: int = 10_000
    """Traffic per peer in bytes per second. Report intervals stretch with the network to keep it."""
    trace_interval_s: float = 600.0
    """A report is pushed this often to measure latency without urgent news. Longer with many peers: `TRACED`."""

    def __post_init__(self) -> None:
        if not self.trace_interval_s > 0:
            raise ConfigError(f"gossip.trace_interval_s is {self.trace_interval_s}; must be above 0")
        if not 1 <= self.fanout <= 64:
            raise ConfigError(f"gossip.fanout is {self.fanout}; must lie between 1 and 64")
        if self.announce_interval_s <= 0 or self.pull_timeout_s <= 0:
            raise ConfigError("gossip.announce_interval_s and gossip.pull_timeout_s must be above 0")
        if self.budget_bytes_s < 100:
            raise ConfigError(f"gossip.budget_bytes_s is {self.budget_bytes_s}; must be at least 100")


def ttl(peers: int, fanout: int) -> int:
    """Most hops of a push: enough for the network, and two to spare."""
    return max(5, ceil(log(max(peers, 2)) / log(max(fanout, 2))) + 2)


def trace_interval_s(peers: int, config: GossipConfig) -> float:
    """Seconds between pushed reports of one peer."""
    return config.trace_interval_s * max(1.0, peers / TRACED)


class Want:
    """A record that we lack: its announcers, the asked one first."""

    __slots__ = ("asked_at", "sources", "tried", "version")

    def __init__(self, version: int, source: PeerId, now: float) -> None:
        self.version = version
        self.sources: list[PeerId] = [source]
        self.tried: set[PeerId] = {source}
        """Announcers that were asked: where they do not answer, they may have invented their version."""
        self.asked_at = now


def succeeding(want: Want | None, version: int, source: PeerId, now: float) -> Want:
    """A pull of a newer version. It keeps the announcers of the older one and its time: the newer may be invented."""
    newer = Want(version, source, now)
    if want is not None:
        newer.asked_at, newer.tried = want.asked_at, want.tried | {source}
        newer.sources += [one for one in want.sources if one != source][: SOURCES_MAX - 1]
    return newer


class Gossip:
    """Push, announce and pull between one peer and its neighbours."""

    def __init__(self, me: PeerId, ledger: Ledger, config: GossipConfig, rng: Random, out: Outbox) -> None:
        self._me = ref(me)
        self._ledger = ledger
        self._config = config
        self._rng = rng
        self._out = out
        self._batches = Batches(ledger)
        self._providers: dict[RecordName, PeerId] = {}
        """Neighbours that send the next version of a record whole: the last one came from them."""
        self._wanted: dict[tuple[PeerRef, int], Want] = {}
        self._asked: Counter[PeerId] = Counter()
        """Open pulls by neighbour, in records."""
        self._handed: dict[tuple[PeerId, PeerId], float] = {}
        """By (accused neighbour, accuser): when we last handed a statement over."""
        self._to_hand: dict[tuple[PeerId, PeerId], float] = {}
        """When to hand the next one over, if it came too soon after the last."""
        self._introduced_at = -inf
        self._retry_at = inf

    def deadline(self) -> float:
        return min(self._batches.deadline(), self._retry_at, min(self._to_hand.values(), default=inf))

    def tick(self, now: float) -> None:
        if now >= self._batches.deadline():
            for neighbour, announce in self._batches.due(now):
                self._out.send(neighbour, announce)
        if now >= self._retry_at:
            self._retry(now)
        for neighbour, origin in [pair for pair, due_at in self._to_hand.items() if now >= due_at]:
            self._hand(neighbour, origin, now)

    def opened(self, neighbour: PeerId) -> None:
        """A link is up."""
        self._batches.open(neighbour)

    def closed(self, neighbour: PeerId) -> None:
        """A link is gone, and its batch with it. Anti-entropy repairs that when the link returns."""
        self._batches.close(neighbour)
        self._providers = {name: peer for name, peer in self._providers.items() if peer != neighbour}
        for kept in (self._handed, self._to_hand):
            for pair in [pair for pair in kept if pair[0] == neighbour]:
                del kept[pair]

    def spread(self, entry: Entry, now: float, *, source: PeerId | None = None) -> None:
        """Announce a new record, in the next batch."""
        self._to_accused(entry, now, source)
        key = (ref(entry.record.peer_id), entry.record.kind)
        wait_s = self._config.announce_interval_s
        if key[1] == Kind.PROFILE:  # soon, but many in a row travel together
            wait_s = max(self._config.introduce_s, self._introduced_at + CROWD_S - now)
            self._introduced_at = max(now, self._introduced_at) if wait_s > self._config.introduce_s else now
        flush_at = now + wait_s * self._rng.uniform(0.7, 1.3)  # peers not in step
        for neighbour in self._batches:
            if neighbour != source:
                self._batches.add(neighbour, key, entry.record.version, flush_at)

    def push(
        self,
        entry: Entry,
        now: float,
        *,
        hops: int,
        path: tuple[bytes, ...] = (),
        source: PeerId | None = None,
        hops_us: tuple[int | None, ...] = (),
        sent_us: int | None = None,
    ) -> None:
        """Pass urgent news on: the body at once to a few, the key very soon to all others.

        `path`: the peers it came through, the last of them is `source`; it does not go there again. `hops_us`: duration
        of each hop, the one to us included; `sent_us`: our wall clock.
        """
        record = entry.record
        self._to_accused(entry, now, source)
        been = set(path)
        others = [n for n in sorted(self._batches) if ref(n) not in been and n not in (record.peer_id, source)]
        self._rng.shuffle(others)
        fanout = self._config.fanout if hops > 0 else 0
        if others[:fanout]:
            through = (*path, self._me)[-PATH_MAX:]
            news = Push(record, age_ms(entry, now), hops, through, hops_us[-PATH_MAX + 1 :], sent_us)
            for neighbour in others[:fanout]:
                self._out.send(neighbour, news)
        for neighbour in others[fanout:]:
            self._batches.add(neighbour, (ref(record.peer_id), record.kind), record.version, now + URGENT_S)

    def _to_accused(self, entry: Entry, now: float, source: PeerId | None) -> None:
        """Hand accusations to accused neighbours, so that these can answer at once.

        The path does not matter here: the author could have put them there to keep them ignorant.
        """
        if not isinstance(entry.body, Observations):
            return
        accused, origin = {one.subject for one in entry.body.lost}, entry.record.peer_id
        for neighbour in sorted(self._batches) if accused else ():
            is_about = ref(neighbour) in accused and neighbour not in (origin, source)
            if is_about and origin in watchers(self._ledger, neighbour):  # other accusers have no vote
                self._hand(neighbour, origin, now)

    def _hand(self, neighbour: PeerId, origin: PeerId, now: float) -> None:
        """Hand the newest statement of an accuser over, twice a second at most."""
        again_at = self._handed.get((neighbour, origin), -inf) + HAND_INTERVAL_S
        if now < again_at:
            self._to_hand[neighbour, origin] = again_at
            return
        self._to_hand.pop((neighbour, origin), None)
        entry = self._ledger.get(origin, Kind.OBSERVATIONS)
        if neighbour in self._batches and entry is not None:
            self._handed[neighbour, origin] = now
            self._out.send(neighbour, Push(entry.record, age_ms(entry, now), 0, (self._me,)))

    def announced(self, source: PeerId, keys: Iterable[Key], now: float, *, is_patient: bool = False) -> None:
        """A neighbour holds these: pull those that we lack, if no pull for them is open.

        `is_patient`: wait a moment for those that another neighbour is about to send whole.
        """
        ask: list[Topic] = []
        for key in keys:
            topic = (PeerRef(key.origin), key.kind)
            self._batches.has(source, topic, key.version)
            if not self._ledger.lacks(topic[0], key.kind, key.version):
                continue
            want = self._wanted.get(topic)
            if want is None or want.version < key.version:
                if want is None and not self._has_room(source):
                    continue
                provider = self._providers.get(topic, source) if is_patient else source
                if want is None and provider != source and provider in self._batches:
                    self._want(topic, Want(key.version, provider, now - self._config.pull_timeout_s + PATIENCE_S))
                    self._wanted[topic].sources.append(source)
                    self._retry_at = min(self._retry_at, now + PATIENCE_S)
                    continue
                self._want(topic, succeeding(want, key.version, source, now))
                ask.append(Topic(*topic))
            elif source not in want.sources and len(want.sources) < SOURCES_MAX:
                want.sources.append(source)
        self._ask(source, ask, now)

    def arrived(self, entry: Entry) -> None:
        topic = (ref(entry.record.peer_id), entry.record.kind)
        want = self._wanted.get(topic)
        if want is not None and want.version <= entry.record.version:
            self._drop(topic)

    def demand(self, neighbour: PeerId, topics: Iterable[Topic]) -> None:
        """Pull records of any version: there are two statements of one version."""
        self._ask(neighbour, list(topics), inf)

    def pulled(self, neighbour: PeerId, topics: Iterable[Topic], now: float) -> None:
        found = []
        for topic in dict.fromkeys(topics):
            peer = self._ledger.find(PeerRef(topic.origin))
            entry = self._ledger.get(peer, topic.kind) if peer is not None else None
            if entry is not None:
                found.append(entry)
                self._batches.pulled(neighbour, (PeerRef(topic.origin), topic.kind))
        self.give(neighbour, found, now)

    def give(self, neighbour: PeerId, entries: Sequence[Entry], now: float) -> None:
        """Send records, in messages of bounded size."""
        batch: list[Aged] = []
        size = 0
        for entry in entries:
            batch.append(Aged(entry.record, age_ms(entry, now)))
            size += len(entry.record.body) + 128
            if len(batch) == RECORDS_MAX or size > ANSWER_BYTES_MAX:
                self._out.send(neighbour, Records(tuple(batch)))
                batch, size = [], 0
        if batch:
            self._out.send(neighbour, Records(tuple(batch)))

    def load(self, neighbour: PeerId, now: float, room: int) -> Load | None:
        """News that travel with a ping or a pong to this neighbour, in so many bytes.

        Sends the whole records that do not fit.
        """
        load, rest = self._batches.load(neighbour, now, room)
        self.give(neighbour, rest, now)
        return load

    def carried(self, neighbour: PeerId, load: Load, now: float) -> None:
        """News came with a ping or a pong. The records in it are not taken in here."""
        for topic in load.spare:
            self._batches.spared(neighbour, (PeerRef(topic.origin), topic.kind))
        for item in load.records:
            record = item.record
            name = (ref(record.peer_id), record.kind)
            self._batches.has(neighbour, name, record.version)
            if self._ledger.lacks(*name, record.version):
                self._provided(name, neighbour)
            else:
                self._batches.in_vain(neighbour, name)
        self.announced(neighbour, load.keys, now, is_patient=True)

    def forget(self, peer: PeerId) -> None:
        """No record of this peer is kept any more."""
        self._batches.forget(ref(peer))
        self._providers = {name: who for name, who in self._providers.items() if name[0] != ref(peer)}

    def load_arrived(self, neighbour: PeerId) -> None:
        """The neighbour shows that our last load came."""
        self._batches.arrived(neighbour)

    @property
    def wanted(self) -> int:
        return len(self._wanted)

    def _ask(self, source: PeerId, topics: list[Topic], now: float) -> None:
        for topic in topics:
            self._provided((PeerRef(topic.origin), topic.kind), source)
        for at in range(0, len(topics), KEYS_MAX):
            self._out.send(source, Pull(tuple(topics[at : at + KEYS_MAX])))
        if topics:
            self._retry_at = min(self._retry_at, now + self._config.pull_timeout_s)

    def _provided(self, name: RecordName, neighbour: PeerId) -> None:
        if len(self._providers) >= self._config.wanted_max:
            self._providers.clear()
        self._providers[name] = neighbour

    def _has_room(self, source: PeerId) -> bool:
        """One neighbour may cause at most half of the open pulls: it may have invented its keys."""
        most = self._config.wanted_max
        return len(self._wanted) < most and self._asked[source] < max(1, most // 2)

    def _want(self, topic: tuple[PeerRef, int], want: Want) -> None:
        self._drop(topic)
        self._wanted[topic] = want
        self._asked[want.sources[0]] += 1

    def _drop(self, topic: tuple[PeerRef, int]) -> None:
        want = self._wanted.pop(topic, None)
        if want is None:
            return
        source = want.sources[0]
        self._asked[source] -= 1
        if not self._asked[source]:
            del self._asked[source]

    def _retry(self, now: float) -> None:
        patience_s = self._config.pull_timeout_s
        asks: dict[PeerId, list[Topic]] = {}
        for topic, want in list(self._wanted.items()):
            if want.asked_at + patience_s > now:  # the same sum as in the deadline
                continue
            self._drop(topic)
            known = [source for source in want.sources if source in self._batches]
            untried = [source for source in known if source not in want.tried]
            if not untried:
                continue  # a later announcement or a comparison brings it
            want.tried.add(untried[0])
            sources = untried + [source for source in known if source in want.tried]
            want.sources, want.asked_at = sources, now
            self._want(topic, want)
            asks.setdefault(want.sources[0], []).append(Topic(*topic))
        self._retry_at = min((want.asked_at for want in self._wanted.values()), default=inf)
        self._retry_at += patience_s
        for source, topics in asks.items():
            self._ask(source, topics, now)
