"""What a source is: something that knows the P2P node beside this peer, and can be asked now and then.

A source measures; it decides nothing. `Attachment` (in `attachment.py`) asks it, bounds its time, and stands between
its failures and the agent.
"""

from __future__ import annotations

from typing import Protocol

from msgspec import Struct

from peerscope.records.bodies import OverlayLink
from peerscope.records.measures import NodeMetrics


class Reading(Struct, frozen=True, kw_only=True):
    """What a source found. Counters are the node's own running totals."""

    node: str
    """What the node is: "beam", "yggdrasil", "kubo". Names the layer of its links on the map."""
    node_id: str | None = None
    """Its name in its own network, as its neighbours there call it."""
    version: str | None = None
    metrics: NodeMetrics = NodeMetrics()
    overlay: tuple[OverlayLink, ...] = ()
    """Its neighbours in its own network."""
    latency_s: float | None = None
    """Mean latency of its messages since the last reading, where it tells."""


class Source(Protocol):
    """One way to know a node. Constructed by its factory: `factory(argument: str) -> Source`, registered under the
    entry point group `peerscope.sources` by the name before the colon of `--node-source NAME:ARGUMENT`."""

    async def read(self) -> Reading:
        """What the node is doing now. Raises `SourceError` with a reason for people; may be cancelled when it hangs."""

    async def close(self) -> None:
        """Let go of sockets and files."""
