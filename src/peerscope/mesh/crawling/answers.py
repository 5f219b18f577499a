"""Answers to crawlers, which map the network without joining it (`peerscope crawl`): our profile and our links.

The crawler proves the network's secret as a member would, and stays a stranger: we do not greet it or watch a link to
it. A connection without a hello is closed after a few seconds like any other. Keys cost nothing, so the limit that
counts is that of all answers. The limit per crawler keeps one impatient crawler from using that up.
"""

from __future__ import annotations

from math import isfinite

from msgspec import Struct

from peerscope.errors import ConfigError, RemoteError
from peerscope.mesh.messages import MESSAGE_BYTES_MAX, NEIGHBOURS_MAX, Vicinity
from peerscope.records.bodies import Kind
from peerscope.records.identity import PeerId
from peerscope.records.ledger import Ledger
from peerscope.records.record import Record

TOO_OFTEN = "crawl-too-often"
"""Reason of the refusal; crawlers then ask again later."""
BURST_S = 4.0
"""The bucket holds the answers of so many seconds."""
RECORD_BYTES = 160
"""Most bytes of a record beside its body: id, signature, numbers and the marks of msgpack."""


class CrawlConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Limits of answers to crawlers. One crawl asks each peer once."""

    answers_per_s: float = 5.0  # about three kilobytes each: with many crawlers no more than the budget of gossip
    """Answers to all crawlers together."""
    answers_per_peer_s: float = 1.0
    """Answers to one crawler."""

    def __post_init__(self) -> None:
        for name in ("answers_per_s", "answers_per_peer_s"):
            value = getattr(self, name)
            if not isfinite(value) or not 0.01 <= value <= 10_000:
                raise ConfigError(f"crawl.{name} is {value}; must lie between 0.01 and 10000")


class CrawlAnswers:
    """Answers `Neighbors`, within limits."""

    def __init__(self, config: CrawlConfig, ledger: Ledger, me: PeerId) -> None:
        self._config = config
        self._ledger = ledger
        self._me = me
        self._tokens = self._tokens_max = max(1.0, config.answers_per_s * BURST_S)
        self._counted_at = 0.0
        self._answered_at: dict[PeerId, float] = {}
        """The latest crawlers, in order, while their pauses last."""

    def answer(self, asker: PeerId, linked: list[PeerId], now: float) -> Vicinity:
        """Our profile and those of linked peers, for an admitted crawler.

        Raises `RemoteError`: "no-profile", "crawl-too-often".
        """
        own = self._profile(self._me)
        if own is None:
            raise RemoteError("no-profile", "we have not said yet who we are")
        self._spend(asker, now)
        known = [record for peer in linked if (record := self._profile(peer)) is not None]
        room, fitting = MESSAGE_BYTES_MAX - 64 - len(own.body) - RECORD_BYTES, list[Record]()
        for record in known[:NEIGHBOURS_MAX]:
            room -= len(record.body) + RECORD_BYTES
            if room < 0:
                break
            fitting.append(record)
        return Vicinity(own, tuple(fitting), len(linked) - len(fitting))

    def _profile(self, peer: PeerId) -> Record | None:
        entry = self._ledger.get(peer, Kind.PROFILE)
        return entry.record if entry else None

    def _spend(self, asker: PeerId, now: float) -> None:
        """Take one answer from the token bucket. Raises `RemoteError` if nothing is left."""
        pause_s = 1.0 / self._config.answers_per_peer_s
        while self._answered_at and now - next(iter(self._answered_at.values())) >= pause_s:
            del self._answered_at[next(iter(self._answered_at))]
        earned = (now - self._counted_at) * self._config.answers_per_s
        self._tokens, self._counted_at = min(self._tokens_max, self._tokens + earned), now
        if asker in self._answered_at:
            raise RemoteError(TOO_OFTEN, f"asked again within {pause_s:g} s")
        if self._tokens < 1.0:
            raise RemoteError(TOO_OFTEN, f"more than {self._config.answers_per_s:g} answers a second")
        self._tokens -= 1.0
        self._answered_at[asker] = now
