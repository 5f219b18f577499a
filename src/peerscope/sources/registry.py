"""Which sources there are: installed packages name them under the entry point group `peerscope.sources`.

A *spec* is what an operator writes: `NAME` or `NAME:ARGUMENT`, such as `yggdrasil:/run/yggdrasil.sock`. What stands
after the first colon goes to the factory of that name, as it is.
"""

from __future__ import annotations

from importlib.metadata import EntryPoint, entry_points

from peerscope.errors import ConfigError
from peerscope.sources.base import Source

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
