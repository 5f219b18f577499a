"""The interface of sources, which measure the P2P node beside this peer, and how to make one from its spec.

A source only measures. `Attachment` (in `attachment.py`) asks it, limits its time, and handles its failures.

A *spec* has the form `NAME` or `NAME:ARGUMENT`, such as `yggdrasil:/run/yggdrasil.sock`. Installed packages register
factories by name in the entry point group `peerscope.sources`. A factory gets the argument unchanged.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Protocol

from msgspec import Meta, Struct

from peerscope.errors import ConfigError
from peerscope.records.bodies import ADDRESSES_MAX, OverlayLink
from peerscope.records.measures import MEASURE_US_MAX, MEASURES_MAX, Measure, NodeMetrics
from peerscope.records.texts import Name, OverlayId, Text
from peerscope.sources.place import shown

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

UNNAMED = "node"
"""The name of a node whose source does not know its kind. The name from any other source counts before it."""
NodeName = Annotated[Name, Meta(min_length=1)]
Seconds = Annotated[float, Meta(ge=0.0, le=MEASURE_US_MAX / 1e6)]


class Reading(Struct, frozen=True, kw_only=True):
    """One answer of a source. Counters are the node's own running totals."""

    node: NodeName
    """Kind of the node: "beam", "yggdrasil", "kubo". Names the layer of its links on the map."""
    node_id: OverlayId | None = None
    """The id of the node in its own network."""
    version: Name | None = None
    metrics: NodeMetrics = NodeMetrics()
    overlay: tuple[OverlayLink, ...] = ()
    """Its neighbours in its own network."""
    latency_s: Seconds | None = None
    """Mean latency of its messages since the last reading, or the last known mean; None where unknown."""
    latency_age_s: Seconds | None = None
    """How old that mean is; None if it is of now."""
    measures: Annotated[tuple[Measure, ...], Meta(max_length=MEASURES_MAX)] = ()
    """Values of its own kind that all peers may see."""
    addresses: Annotated[tuple[Text, ...], Meta(max_length=ADDRESSES_MAX)] = ()
    """Where others can reach the node by TCP: "HOST:PORT"."""
    details: Annotated[dict[Name, float | Text | None], Meta(max_length=32)] = {}
    """Other values, by name. This agent shows them and never sends them to others."""
    counted_by: tuple[str | None, ...] = ()
    """Where readings were merged: the source of each of `metrics`. Sources leave it empty."""


class Source(Protocol):
    """Measures one node. A factory makes it: `factory(argument: str) -> Source`."""

    async def read(self) -> Reading:
        """Measure the node. Raises `SourceError` with a reason for people; is cancelled after too long a time.

        Runs in an event loop and a thread of its own, so it may block.
        """

    async def close(self) -> None:
        """Close sockets and files."""


GROUP = "peerscope.sources"


def make_source(spec: str) -> Source:
    """Make the source that a spec names. Raises `ConfigError`, also for any error of its factory."""
    name, _, argument = spec.partition(":")
    text = shown(spec)
    found = _known()
    if name not in found:
        known = ", ".join(sorted(found)) or "none: peerscope is not installed as a package"
        raise ConfigError(f"node.sources: no source is called {name!r} (from {text!r}); known are {known}")
    try:
        source = found[name].load()(argument)
    except ConfigError as error:
        raise ConfigError(f"node.sources: {text!r}: {error}") from None
    except Exception as error:
        reason = str(error) or type(error).__name__
        raise ConfigError(f"node.sources: {text!r} cannot be used: {reason}") from error
    if not callable(getattr(source, "read", None)) or not callable(getattr(source, "close", None)):
        raise ConfigError(f"node.sources: {text!r} makes a {type(source).__name__}, which has no read() and close()")
    made: Source = source
    return made


def known_sources() -> frozenset[str]:
    """Names of the installed sources."""
    return frozenset(_known())


def _known() -> dict[str, EntryPoint]:
    from importlib.metadata import entry_points  # loads the e-mail package: only where there is a node

    return {point.name: point for point in entry_points(group=GROUP)}
