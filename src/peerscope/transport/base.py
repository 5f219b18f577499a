"""What the driver needs of a transport."""

from __future__ import annotations

from collections import Counter
from typing import Protocol

from peerscope.core import Event
from peerscope.mesh.events import Lane
from peerscope.records.identity import PeerId

CONNECTING = frozenset({"dial-failed", "handshake-failed", "connection-refused"})
"""Counters about connections that did not come about; all others count messages that were dropped."""


class Transport(Protocol):
    """Connections to peers by id. Nothing here but `receive` and `close` ever waits."""

    counters: Counter[str]
    """What was dropped, refused or failed, by reason."""

    @property
    def queued(self) -> int:
        """Messages and events that wait inside, on their way in or out."""

    @property
    def ticket(self) -> str:
        """A string by which others can join us."""

    @property
    def addresses(self) -> tuple[str, ...]:
        """Where we can be dialled, "host:port"."""

    def relayed(self) -> frozenset[PeerId] | None:
        """Peers whose packets go through a relay now; None where that cannot be told."""

    async def receive(self, timeout_s: float) -> list[Event]:
        """What happened since the last call; empty after `timeout_s` without anything."""

    def inject(self, event: Event) -> None:
        """Let an event of this process's own be received with those of the network."""

    def send(self, to: PeerId, data: bytes, lane: Lane) -> None:
        """Queue bytes for a neighbour; dropped and counted when its queue is full."""

    def dial(self, peer: PeerId, addresses: tuple[str, ...], *, afresh: bool = False) -> None:
        """Try to connect; ends in `Connected` or `DialFailed`. `afresh`: first close the connections that stand."""

    def hang_up(self, peer: PeerId, reason: str) -> None:
        """Close the connections with a peer once what was queued is out."""

    async def close(self) -> None:
        """Close everything; never takes longer than five seconds."""
