"""The interface between the driver and a transport."""

from __future__ import annotations

from collections import Counter
from typing import Protocol

from peerscope.core import Event
from peerscope.mesh.events import Lane
from peerscope.records.identity import PeerId

CONNECTING = frozenset({"dial-failed", "handshake-failed", "connection-refused"})
"""Counters of failed connections."""
STRAYS = frozenset({"ping-malformed", "ping-unknown-key", "ping-forged", "ping-replayed", "ping-flood"})
"""Counters of UDP packets that anybody can send."""
NO_MESSAGES = CONNECTING | STRAYS | {"ping-path-lost"}
"""All other counters count dropped messages."""


class Transport(Protocol):
    """Connections to peers by id. Only `receive` and `close` wait."""

    counters: Counter[str]
    """Counts of dropped, refused or failed messages and connections, by reason."""

    @property
    def queued(self) -> int:
        """Messages and events that wait in queues, in and out."""

    @property
    def ticket(self) -> str:
        """A string for other peers to join this one."""

    @property
    def addresses(self) -> tuple[str, ...]:
        """Addresses to dial this peer, "host:port"."""

    def relayed(self) -> frozenset[PeerId] | None:
        """Peers whose packets go through a relay now; None where that is unknown."""

    async def receive(self, timeout_s: float) -> list[Event]:
        """Events since the last call; empty after `timeout_s` without any."""

    def inject(self, event: Event) -> None:
        """Add an event of this process to those of the network."""

    def send(self, to: PeerId, data: bytes, lane: Lane) -> None:
        """Queue bytes for a neighbour; a full queue drops and counts them."""

    def dial(self, peer: PeerId, addresses: tuple[str, ...], *, afresh: bool = False) -> None:
        """Try to connect; ends in `Connected` or `DialFailed`. `afresh`: first close existing connections."""

    def hang_up(self, peer: PeerId, reason: str) -> None:
        """Close the connections with a peer after its queue is sent."""

    async def close(self) -> None:
        """Close everything, within five seconds."""
