"""What a source is: something that knows the P2P node beside this peer, and can be asked now and then.

A source measures; it decides nothing. `Attachment` (in `attachment.py`) asks it, bounds its time, and stands between
its failures and the agent.
"""

from __future__ import annotations

from importlib.metadata import EntryPoint, entry_points
from typing import Annotated, Protocol

from msgspec import Meta, Struct

from peerscope.errors import ConfigError
from peerscope.records.bodies import OverlayLink
from peerscope.records.measures import MEASURE_US_MAX, NodeMetrics
from peerscope.records.texts import Name, OverlayId

NodeName = Annotated[Name, Meta(min_length=1)]
Seconds = Annotated[float, Meta(ge=0.0, le=MEASURE_US_MAX / 1e6)]


class Reading(Struct, frozen=True, kw_only=True):
    """What a source found. Counters are the node's own running totals."""

    node: NodeName
    """What the node is: "beam", "yggdrasil", "kubo". Names the layer of its links on the map."""
    node_id: OverlayId | None = None
    """Its name in its own network, as its neighbours there call it."""
    version: Name | None = None
    metrics: NodeMetrics = NodeMetrics()
    overlay: tuple[OverlayLink, ...] = ()
    """Its neighbours in its own network."""
    latency_s: Seconds | None = None
    """Mean latency of its messages since the last reading, where it tells."""
    details: Annotated[dict[Name, float | Name | None], Meta(max_length=32)] = {}
    """Whatever else it tells, by name: shown beside this agent only, never sent to others."""


class Source(Protocol):
    """One way to know a node. Constructed by its factory: `factory(argument: str) -> Source`, registered under the
    entry point group `peerscope.sources` by the name before the colon of `--node-source NAME:ARGUMENT`."""

    async def read(self) -> Reading:
        """What the node is doing now. Raises `SourceError` with a reason for people; is cancelled when it takes too
        long. Runs in an event loop and a thread of its own, so that waiting the simple way harms nobody."""

    async def close(self) -> None:
        """Let go of sockets and files."""


GROUP = "peerscope.sources"


def make_source(spec: str) -> Source:
    """The source that a spec names. Raises `ConfigError`, also for whatever its factory raises."""
    name, _, argument = spec.partition(":")
    found = _known()
    if name not in found:
        known = ", ".join(sorted(found)) or "none: peerscope is not installed as a package"
        raise ConfigError(f"node.sources: no source is called {name!r} (from {spec!r}); known are {known}")
    try:
        source = found[name].load()(argument)
    except ConfigError as error:
        raise ConfigError(f"node.sources: {spec!r}: {error}") from None
    except Exception as error:
        reason = str(error) or type(error).__name__
        raise ConfigError(f"node.sources: {spec!r} cannot be used: {reason}") from error
    if not callable(getattr(source, "read", None)) or not callable(getattr(source, "close", None)):
        raise ConfigError(f"node.sources: {spec!r} makes a {type(source).__name__}, which has no read() and close()")
    made: Source = source
    return made


def _known() -> dict[str, EntryPoint]:
    return {point.name: point for point in entry_points(group=GROUP)}
