"""The truth about alerts: what really caused each of them.

A *cause* is one disaster, or one piece of everyday trouble. It marks what it does to which peer, when it does it. An
alert about a marked peer has that cause. The first mark of a rule at a peer counts, since trouble lasts: what comes
later cannot begin an alert that stands already.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping

from msgspec import Struct

from peerscope.alerts.model import Alert
from peerscope.records.identity import PeerId

LOSES_PEERS = frozenset({"region-outage", "partition"})
"""Kinds of causes that silence peers, or the links to them."""
SEVERAL = 2
"""Peers of one incident, at least."""
AFTERMATH = frozenset({"low-connectivity", "link-latency", "latency-rise"})
"""Rules that fire at bystanders of a loss."""


class TrueIncident(Struct, frozen=True):
    """One thing that really happened to several peers."""

    kind: str
    """host, region-outage, version, cascade or partition."""
    root: str | None
    """Name of a machine, region or version, or full id of a peer; null for a partition."""
    peers: tuple[str, ...]
    """Full ids of all peers to which it did something."""


class Cause:
    """One cause, and what it has done so far."""

    def __init__(self, kind: str, root: str | None) -> None:
        """`kind`: as of an incident, or "noise" for trouble of one peer alone."""
        self.kind = kind
        self.root = root
        self.marked: set[PeerId] = set()


class Causes:
    """All causes of one simulated network."""

    def __init__(self) -> None:
        self.all: list[Cause] = []
        self._marks: dict[tuple[PeerId, str], Cause] = {}
        """By peer and rule, the first cause of that trouble."""

    def begin(self, kind: str, root: str | None) -> Cause:
        """A new cause, which has done nothing yet."""
        self.all.append(Cause(kind, root))
        return self.all[-1]

    def mark(self, cause: Cause | None, peer: PeerId, rules: Iterable[str]) -> None:
        """The cause makes these rules fire at a peer, from now on. None: a cause that nobody keeps account of."""
        if cause is None:
            return
        cause.marked.add(peer)
        for rule in rules:
            self._marks.setdefault((peer, rule), cause)

    def cut(self, group: Collection[PeerId], peers: Collection[PeerId]) -> None:
        """The group and all others lose each other. It is about the smaller side, and either side misses the other."""
        cause = self.begin("partition", None)
        for peer in peers:
            self._marks.setdefault((peer, "peer-down"), cause)
        cause.marked |= set(group)

    @property
    def incidents(self) -> tuple[TrueIncident, ...]:
        """All causes that concern several peers, in the order of their beginning."""
        return tuple(
            TrueIncident(cause.kind, cause.root, tuple(sorted(peer.hex() for peer in cause.marked)))
            for cause in self.all
            if cause.kind != "noise" and len(cause.marked) >= SEVERAL
        )

    def attribute(self, alerts: Collection[Alert], regions: Mapping[PeerId, str]) -> dict[str, object]:
        """The cause of each alert, by its id. Alerts that nothing caused are each their own cause.

        An alert that more than one cause may have brought about is absent: nobody can say with which it belongs.
        """
        found: dict[str, object] = {}
        for alert in alerts:
            cause = self._cause(alert, regions)
            if cause is not _UNSURE:
                found[alert.id] = alert.id if cause is None else cause
        return found

    def _cause(self, alert: Alert, regions: Mapping[PeerId, str]) -> object:
        if alert.peer_id is not None:
            peer = PeerId(bytes.fromhex(alert.peer_id))
            own = self._marks.get((peer, alert.rule))
            if own is not None:
                return own
            about = [cause for cause in self.all if peer in cause.marked]
            if not about and alert.rule in AFTERMATH:
                about = [cause for cause in self.all if cause.kind in LOSES_PEERS]
        elif alert.type == "network-partition":
            about = [cause for cause in self.all if cause.kind in LOSES_PEERS]
        else:
            return self._of_region(alert, regions)
        return _UNSURE if len(about) > 1 else about[0] if about else None

    def _of_region(self, alert: Alert, regions: Mapping[PeerId, str]) -> object:
        """The cause that did something to most of the region's peers that anything happened to."""
        counts = Counter[Cause]()
        marked = set[PeerId]()
        for cause in self.all:
            mine = {peer for peer in cause.marked if regions.get(peer) == alert.region}
            counts[cause] = len(mine)
            marked |= mine
        most = max(counts, key=lambda cause: counts[cause], default=None)
        if most is None or not marked:
            return None
        return most if 2 * counts[most] > len(marked) else _UNSURE


_UNSURE = object()
