"""Anti-entropy: two neighbours compare their ledgers and exchange the differences.

One sends fingerprints of its ledger by ranges of the id space. The other answers with its keys in the ranges that
differ. The first pulls the records that it lacks and gives those that the other lacks. This runs when a link comes up,
and now and then with a random neighbour (Demers et al. 1987). Equal ledgers cost one small message.
"""

from __future__ import annotations

from functools import reduce
from math import inf
from operator import xor
from random import Random
from typing import NamedTuple

from msgspec import Struct

from peerscope.errors import ConfigError, RemoteError
from peerscope.mesh.messages import FINGERPRINT_BYTES, KEYS_MAX, Digest, Held, Inventory, Key, Topic
from peerscope.mesh.peer_state import PeerState
from peerscope.records.identity import PeerId, PeerRef, ref
from peerscope.records.ledger import BUCKETS, Entry, Ledger


class SyncConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Timing of anti-entropy."""

    interval_s: float = 30.0  # a guess, no measurement yet
    """Time between comparisons with a random neighbour."""
    answer_interval_s: float = 1.0
    """Least time between two comparisons that a neighbour may ask for."""

    def __post_init__(self) -> None:
        if self.interval_s <= self.answer_interval_s:
            raise ConfigError(
                f"sync.interval_s is {self.interval_s}; must exceed sync.answer_interval_s {self.answer_interval_s}"
            )


class Differences(NamedTuple):
    """The result of a comparison."""

    give: list[Entry]
    """Records that the neighbour lacks, or holds in an older version."""
    disputed: list[Topic]
    """The two hold different statements of one version of these. Both must see both."""
    announced: list[Key]
    """Keys of the neighbour, those of unknown peers first."""


class Sync:
    """Compares one of our ledgers with those of neighbours."""

    def __init__(self, state: PeerState, config: SyncConfig, ledger: Ledger, rng: Random, now: float) -> None:
        self._me = state.me
        self._world = ledger is state.global_ledger
        self._ledger = ledger
        self._config = config
        self._rng = rng
        self._out = state.out
        self._answered: dict[PeerId, float] = {}
        self._started: dict[PeerId, float] = {}
        self._asked: dict[PeerId, set[tuple[int, int]]] = {}
        """By neighbour that we asked, the parts (bits, index) that it has answered."""
        self._next_at = now + config.interval_s * rng.uniform(0.5, 1.0)

    def deadline(self) -> float:
        return self._next_at

    def tick(self, now: float, neighbours: list[PeerId]) -> None:
        """Compare with one neighbour, chosen at random."""
        if now < self._next_at:
            return
        self._next_at = now + self._config.interval_s * self._rng.uniform(0.75, 1.25)
        if neighbours:
            self.start(self._rng.choice(neighbours), now)

    def start(self, neighbour: PeerId, now: float) -> None:
        """Send our fingerprints, unless we just did."""
        if now - self._started.get(neighbour, -inf) < 1.5 * self._config.answer_interval_s:
            return
        self._started[neighbour] = now
        bits = bits_for(len(self._ledger))
        self._asked[neighbour] = set()
        self._out.send(neighbour, Digest(bits, pack(self._ledger.fingerprints(), bits), self._world))

    def closed(self, neighbour: PeerId) -> None:
        self._answered.pop(neighbour, None)
        self._started.pop(neighbour, None)
        self._asked.pop(neighbour, None)

    def compared(self, neighbour: PeerId, digest: Digest, now: float) -> None:
        """A neighbour's fingerprints: answer with what we hold where they differ."""
        if len(digest.fingerprints) != FINGERPRINT_BYTES << digest.bits:
            raise RemoteError("malformed-message", "a digest with the wrong number of fingerprints")
        if self._me < neighbour and now - self._started.get(neighbour, -inf) < self._config.answer_interval_s:
            return  # both asked at once: only ours gets an answer
        if now - self._answered.get(neighbour, -inf) < self._config.answer_interval_s:
            raise RemoteError("sync-too-often", f"within {self._config.answer_interval_s} s")
        self._answered[neighbour] = now
        ours = pack(self._ledger.fingerprints(), digest.bits)
        bits = max(digest.bits, bits_for(len(self._ledger)))
        finer = bits - digest.bits
        parts: list[int] = []
        found: list[Held] = []
        for coarse in range(1 << digest.bits):
            at = coarse * FINGERPRINT_BYTES
            if ours[at : at + FINGERPRINT_BYTES] == digest.fingerprints[at : at + FINGERPRINT_BYTES]:
                continue
            for part in range(coarse << finer, (coarse + 1) << finer):
                held = [_held(entry) for entry in self._part(bits, part)][:KEYS_MAX]
                if len(found) + len(held) > KEYS_MAX:
                    self._out.send(neighbour, Inventory(bits, tuple(parts), tuple(found), self._world))
                    parts, found = [], []
                parts.append(part)
                found += held
        if parts:
            self._out.send(neighbour, Inventory(bits, tuple(parts), tuple(found), self._world))

    def listed(self, neighbour: PeerId, inventory: Inventory) -> Differences:
        """Compare the inventory of a neighbour with our ledger.

        Raises `RemoteError`: "unasked", "malformed-message".
        """
        answered = self._asked.get(neighbour)
        parts = {(inventory.bits, part) for part in inventory.parts}
        if answered is None or parts & answered or any(bits != inventory.bits for bits, _ in answered):
            raise RemoteError("unasked", "an inventory that nobody asked for, or the same part twice")
        if any(part >= 1 << inventory.bits for part in inventory.parts):
            raise RemoteError("malformed-message", "an inventory of a part that does not exist")
        answered |= parts
        theirs = {(PeerRef(held.origin), held.kind): held for held in inventory.held}
        give: list[Entry] = []
        disputed: list[Topic] = []
        for entry in (entry for part in inventory.parts for entry in self._part(inventory.bits, part)):
            ours = _held(entry)
            held = theirs.get((PeerRef(ours.origin), ours.kind))
            if held is None or held.version < ours.version:
                give.append(entry)
            elif held.version == ours.version and held.digest != ours.digest:
                give.append(entry)  # an equivocation: both sides must see both statements
                disputed.append(Topic(ours.origin, ours.kind))
        unseen = sorted(inventory.held, key=lambda held: self._ledger.find(PeerRef(held.origin)) is not None)
        return Differences(give, disputed, [Key(held.origin, held.kind, held.version) for held in unseen])

    def _part(self, bits: int, part: int) -> list[Entry]:
        width = BUCKETS >> bits
        return [e for index in range(part * width, (part + 1) * width) for e in self._ledger.bucket(index)]


def bits_for(peers: int) -> int:
    """Bits of the cut: about four peers a part, at most 256 parts."""
    return min(8, max(0, (peers // 4).bit_length()))


def pack(fingerprints: tuple[int, ...], bits: int) -> bytes:
    """The 256 fingerprints of the ledger, folded into 2**bits of eight bytes each."""
    width = BUCKETS >> bits
    folded = (reduce(xor, fingerprints[at : at + width]) for at in range(0, BUCKETS, width))
    return b"".join(value.to_bytes(FINGERPRINT_BYTES, "big") for value in folded)


def _held(entry: Entry) -> Held:
    return Held(ref(entry.record.peer_id), entry.record.kind, entry.record.version, entry.digest[:4])
