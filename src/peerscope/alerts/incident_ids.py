"""Incidents over time: which incident of now is which one of before.

An incident keeps its id only if most of it stays together. The weight of an alert is its severity. It must hold most
alerts of that incident that stand now. It must also hold most of all that ever belonged to it and are still known. The
second condition ends chains: an outage of one region that grows into a pattern and shrinks to another region's outage
is another incident. An incident also holds one of the alerts that it was first known by. If none holds most, the part
with the root keeps the id, as long as the parts together hold most.

All others that came from it say so in `split_from`. An incident that took in most of another one names that in
`merged`. A change of kind stands in `was`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import count

from msgspec import Struct
from msgspec.structs import replace

from peerscope.alerts.incident import Incident
from peerscope.alerts.model import Alert
from peerscope.records.alerts import Severity

MERGED_MAX = 16
"""Ids of merged incidents that one incident names; older ones drop out."""


class IdHistory(Struct):
    """The past of one id."""

    kind: str
    root: str | None
    alerts: dict[str, float]
    """All alerts that ever belonged to it, and when each began."""
    first: frozenset[str] = frozenset()
    """Alerts that it was first known by."""
    split_from: str | None = None
    merged: tuple[str, ...] = ()
    was: str | None = None


class IncidentIds:
    """The ids under which this peer knows incidents."""

    def __init__(self, window_s: float, keep_s: float) -> None:
        self._window_s = window_s
        self._keep_s = keep_s
        self._past: dict[str, IdHistory] = {}
        self._used: dict[str, float] = {}
        """Ids given, and when last."""
        self._last: dict[str, tuple[str, float]] = {}
        """The last incident of each alert, and when that alert began."""

    def name(self, found: Sequence[Incident], alerts: Iterable[Alert], now: float) -> list[Incident]:
        """Give incidents their ids, and say which came from which. `now`: Unix seconds."""
        known = {alert.id: alert for alert in alerts}
        self._forget(known, now)
        shares = self._shares(found, known)
        kept = self._kept(found, shares, known)
        taken = set(self._used)
        named = []
        for incident in found:
            name = kept.get(incident.id) or _unused(incident.id, taken)
            taken.add(name)
            self._used[name] = now
            named.append(self._noted(incident, name, shares, known))
        return self._with_merged(named, shares, kept, known)

    def last_of(self, alert: Alert) -> str | None:
        """The last incident of this alert, even if that is gone; None if it was in none since it began."""
        name, at = self._last.get(alert.id, ("", 0.0))
        return name if name and abs(alert.started_at - at) < self._window_s else None

    def _forget(self, known: Mapping[str, Alert], now: float) -> None:
        for name, past in list(self._past.items()):
            past.alerts = {one: at for one, at in past.alerts.items() if self._is_same(known.get(one), at)}
            if not past.alerts:
                del self._past[name]
        self._used = {name: at for name, at in self._used.items() if at >= now - self._keep_s or name in self._past}
        for alert, (_, at) in list(self._last.items()):
            if alert not in known and at < now - self._keep_s:
                del self._last[alert]

    def _is_same(self, alert: Alert | None, began_at: float) -> bool:
        """Whether it still fires for that time; much later it is another one."""
        return alert is not None and abs(alert.started_at - began_at) < self._window_s

    def _shares(self, found: Iterable[Incident], known: Mapping[str, Alert]) -> dict[str, dict[str, list[str]]]:
        """By earlier id and incident of now, the alerts that both have."""
        owners: defaultdict[str, list[str]] = defaultdict(list)
        for name, past in self._past.items():
            for alert in past.alerts:
                owners[alert].append(name)
        shares: defaultdict[str, dict[str, list[str]]] = defaultdict(dict)
        for incident in found:
            for alert in incident.alerts:
                for name in owners.get(alert, ()):
                    shares[name].setdefault(incident.id, []).append(alert)
        return dict(shares)

    def _kept(
        self, found: Iterable[Incident], shares: Mapping[str, Mapping[str, Sequence[str]]], known: Mapping[str, Alert]
    ) -> dict[str, str]:
        """By incident of now, the earlier id that it keeps."""
        by_id = {incident.id: incident for incident in found}
        wishes: list[tuple[bool, float, str, str]] = []
        for name, parts in shares.items():
            past = self._past[name]
            every, standing = _weights(past.alerts, known)
            together = [alert for part in parts.values() for alert in part]
            if not _is_most(together, every, standing, known):
                continue
            first = past.first & past.alerts.keys()
            parts = {part: its for part, its in parts.items() if not first or not first.isdisjoint(its)}
            heirs = [part for part in parts if _is_most(parts[part], every, standing, known)]
            if not heirs and past.root is not None:
                heirs = [part for part in parts if by_id[part].root == past.root and by_id[part].kind == past.kind]
            for part in heirs:
                weight = sum(_weight(known[alert]) for alert in parts[part])
                wishes.append((by_id[part].root == past.root and past.root is not None, weight, name, part))
        kept: dict[str, str] = {}
        given: set[str] = set()
        for _, _, name, part in sorted(wishes, key=lambda wish: (not wish[0], -wish[1], wish[2], wish[3])):
            if part not in kept and name not in given:
                kept[part] = name
                given.add(name)
        return kept

    def _noted(
        self,
        incident: Incident,
        name: str,
        shares: Mapping[str, Mapping[str, Sequence[str]]],
        known: Mapping[str, Alert],
    ) -> Incident:
        """The incident under its id, with where it came from."""
        past = self._past.get(name)
        if past is None:
            origin = _origin(incident, shares, known)
            first = frozenset(incident.alerts)
            past = self._past[name] = IdHistory(incident.kind, incident.root, {}, first, split_from=origin)
        if past.kind != incident.kind:
            past.was, past.kind = past.kind, incident.kind
        past.root = incident.root if incident.root is not None else past.root
        for alert in incident.alerts:
            past.alerts.setdefault(alert, known[alert].started_at)
            self._last[alert] = (name, known[alert].started_at)
        return replace(incident, id=name, split_from=past.split_from, merged=past.merged, was=past.was)

    def _with_merged(
        self,
        named: Sequence[Incident],
        shares: Mapping[str, Mapping[str, Sequence[str]]],
        kept: Mapping[str, str],
        known: Mapping[str, Alert],
    ) -> list[Incident]:
        """Ids that nobody kept, named by the incident that holds most of them."""
        holders: defaultdict[str, list[str]] = defaultdict(list)
        held = {one: incident.id for incident in named for one in incident.alerts}
        for name, parts in shares.items():
            if name in kept.values() or name not in self._past:
                continue
            every, standing = _weights(self._past[name].alerts, known)
            for alerts in parts.values():
                holder = held[alerts[0]]
                if holder != name and _is_most(alerts, every, standing, known):
                    holders[holder].append(name)
        merged = []
        for incident in named:
            past = self._past[incident.id]
            new = [name for name in holders.get(incident.id, ()) if name not in past.merged]
            if new:
                past.merged = (*past.merged, *sorted(new))[-MERGED_MAX:]
            for name in holders.get(incident.id, ()):
                self._past.pop(name, None)
            merged.append(replace(incident, merged=past.merged))
        return merged


def _weight(alert: Alert) -> float:
    return 1.0 + Severity[alert.severity.upper()]


def _weights(alerts: Collection[str], known: Mapping[str, Alert]) -> tuple[float, float]:
    """The weight of all these alerts, and of those that stand."""
    every = sum(_weight(known[one]) for one in alerts)
    return every, sum(_weight(known[one]) for one in alerts if known[one].state == "firing")


def _is_most(alerts: Iterable[str], every: float, standing: float, known: Mapping[str, Alert]) -> bool:
    """Whether these alerts are more than half by weight: of all, and of those that stand, if any do."""
    ours, ours_standing = _weights(list(alerts), known)
    return ours * 2 > every and (not standing or ours_standing * 2 > standing)


def _origin(
    incident: Incident, shares: Mapping[str, Mapping[str, Sequence[str]]], known: Mapping[str, Alert]
) -> str | None:
    """The earlier incident from which most of it came, if that is two alerts or half of this one."""
    every, _ = _weights(incident.alerts, known)
    parts = {name: its[incident.id] for name, its in shares.items() if incident.id in its}
    weights = {name: _weights(its, known)[0] for name, its in parts.items()}
    best = min(parts, key=lambda name: (-weights[name], name), default=None)
    return best if best is not None and (len(parts[best]) > 1 or weights[best] * 2 >= every) else None


def _unused(name: str, taken: set[str]) -> str:
    """The name, or the same with the next free number."""
    stem, _, number = name.rpartition("-")
    numbers = (f"{stem}-{n}" for n in count(int(number.partition(".")[0])))
    return name if name not in taken else next(other for other in numbers if other not in taken)
