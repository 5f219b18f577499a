"""Causes and groups of equal alerts in words, alike in messages and in the terminal."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

SHORT_HEX = 10
"""As in records/identity.py, which takes longer to load."""
CAUSES = {
    "partition": "a partition of the network",
    "region-outage": "an outage of region {}",
    "region": "a cause that region {} shares",
    "version": "version {}",
    "cascade": "a cascade that began at {}",
    "pattern": "one cause at many peers",
    "peer-cluster": "peer {}",
    "host": "the machine {}",
    "chance": "chance: the alerts are unrelated",
}
"""By kind of an incident, with a place for the root."""
UNROOTED = {
    "region-outage": "an outage of a region",
    "region": "a cause that a region shares",
    "version": "a version",
    "cascade": "a cascade",
    "peer-cluster": "a single peer",
    "host": "a machine that these peers share",
}
"""The same where no root is known."""
PEERS_SHOWN = 3

T = TypeVar("T")


def cause(kind: str, root: str | None) -> str:
    """A cause in a few words. A kind of a newer version keeps its name."""
    if root is None:
        return UNROOTED.get(kind, CAUSES.get(kind, kind))
    return CAUSES.get(kind, f"{kind} {{}}").replace("{}", shortened(root))


def shortened(root: str) -> str:
    """The root as people see it: a peer by the short form of its id."""
    is_peer = len(root) == 64 and not set(root) - set("0123456789abcdef")
    return root[:SHORT_HEX] if is_peer else root


def verdict(
    kind: str, root: str | None, confidence: float, alternatives: Iterable[tuple[str, str | None, float]]
) -> str:
    """The probable cause, or all causes that are nearly as likely: kind, root and probability of each."""
    found = [f"{cause(one, at)} ({share:.0%})" for one, at, share in alternatives]
    if not found:
        return f"Probable cause: {cause(kind, root)}, {confidence:.0%} sure."
    return f"Either {' or '.join(found)}."


def times(count: int, words: str) -> str:
    """A count and the name of the counted."""
    return words if count == 1 else f"×{count} {words}"


def folded(found: Iterable[T], same: Callable[[T], object]) -> list[list[T]]:
    """The items in groups of equal ones, in the order of the first of each."""
    groups: dict[object, list[T]] = {}
    for one in found:
        groups.setdefault(same(one), []).append(one)
    return list(groups.values())


def some(names: Sequence[str], most: int = PEERS_SHOWN) -> str:
    """The first names, and how many follow."""
    more = len(names) - most
    return ", ".join(names[:most]) + (f" and {more} more" if more > 0 else "")
