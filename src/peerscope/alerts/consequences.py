"""Alerts that an incident explains without holding them: a region is critical because its peers are unwell.

An alert about a region names no peer, so it may stand outside of the incident of those peers. One cause is one message:
such an alert follows the incident in whose alerts half of the region's unwell peers take part. It fires longer than
they do, since its rule waits before it ends. So it follows a closed incident while no other peer is unwell. Once it is
over, nobody knows any more which peers were unwell: it follows the incident of its time with most peers of the region.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence

from peerscope.alerts.incident import Incident
from peerscope.alerts.model import Alert

ENOUGH = 0.5
"""Least share of the region's unwell peers that an incident must concern to explain the region."""


def consequences(
    alerts: Iterable[Alert], incidents: Sequence[Incident], unwell: Callable[[str], Collection[str]]
) -> dict[str, str]:
    """The incident that explains an alert about a region, by id of that alert. `unwell`: full ids by region."""
    by_id = {alert.id: alert for alert in alerts}
    held = {name for incident in incidents if incident.state == "open" for name in incident.alerts}
    found: dict[str, str] = {}
    for alert in by_id.values():
        if alert.peer_id is not None or not alert.region or alert.id in held:
            continue
        if alert.state != "firing":
            during = [(len(_mine(one, alert, by_id)), one.id) for one in incidents if _overlaps(one, alert)]
            count, name = max(during, default=(0, ""))
            if count:
                found[alert.id] = name
            continue
        concerned = unwell(alert.region)
        explained = [(_share(one, alert, concerned, by_id), one.id) for one in incidents]
        share, name = max(((share, name) for share, name in explained if share > 0), default=(0.0, ""))
        if share >= ENOUGH:
            found[alert.id] = name
    return found


def _share(incident: Incident, alert: Alert, unwell: Collection[str], by_id: dict[str, Alert]) -> float:
    """Share of the unwell peers of the region that the incident concerns. Over a closed one: whether any is left."""
    mine = _mine(incident, alert, by_id)
    if incident.state == "open":
        return len(mine.intersection(unwell)) / len(unwell) if unwell else 0.0
    return float(bool(mine) and mine.issuperset(unwell) and _overlaps(incident, alert))


def _mine(incident: Incident, alert: Alert, by_id: dict[str, Alert]) -> set[str]:
    """Peers of the region with an alert in this incident; in an open one an alert that fires, if the region's does."""
    both_last = incident.state == "open" and alert.state == "firing"
    return {
        one.peer_id
        for name in incident.alerts
        if (one := by_id.get(name)) is not None and one.region == alert.region and one.peer_id is not None
        if one.state == "firing" or not both_last
    }


def _overlaps(incident: Incident, alert: Alert) -> bool:
    ends = (incident.ended_at, alert.resolved_at)
    return (ends[0] is None or alert.started_at <= ends[0]) and (ends[1] is None or incident.started_at <= ends[1])
