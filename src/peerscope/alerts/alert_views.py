"""What alerts are about, as it is now.

A statement of an alert carries the numbers of the moment at which it was written, and it stands on after its condition
is over, until that has lasted (`clear_for_s`). Beside counts of now, its text would contradict them. So the text of an
alert about the network is written anew from the very evidence that those counts come from; where the condition is over,
it says so. Alerts that peers state of themselves keep their words, and when these were true.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from msgspec import Struct
from msgspec.structs import replace

from peerscope.alerts.incidents import Incident
from peerscope.alerts.model import Alert
from peerscope.alerts.network_signals import accusers, accusers_of_all, counted, lost_together, missed
from peerscope.alerts.rules import Rule
from peerscope.alerts.silences import StandingAcknowledgement, StandingForget, StandingSilence
from peerscope.alerts.subjects import PREFIX, peer_of
from peerscope.mesh.detection.verdicts import Verdict
from peerscope.records.identity import PeerId, short
from peerscope.views.regions import RegionHealth, RegionStatus
from peerscope.views.snapshot import Snapshot

Regions = Callable[[], Sequence[RegionHealth]]
ALERTS_MAX = 1000


class AlertView(Alert, frozen=True):
    """One alert."""

    started_age_s: float | None = None
    resolved_age_s: float | None = None
    described_age_s: float | None = None


class IncidentView(Incident, frozen=True):
    """One incident."""

    started_age_s: float | None = None
    updated_age_s: float | None = None
    ended_age_s: float | None = None


class SilenceView(StandingSilence, frozen=True):
    """A silence that holds now."""

    begun_age_s: float | None = None
    ends_in_s: float | None = None


class AcknowledgementView(StandingAcknowledgement, frozen=True):
    """Somebody looks after an alert or incident."""

    age_s: float | None = None


class ForgottenView(StandingForget, frozen=True):
    """A peer that is to be forgotten until it speaks again."""

    age_s: float | None = None


def is_clearing(incident: Incident, alerts: Mapping[str, Alert]) -> bool:
    """Of all its alerts that still fire the condition is over. `alerts`: those of now, by id."""
    firing = [one for name in incident.alerts if (one := alerts.get(name)) is not None and one.state == "firing"]
    return bool(firing) and all(one.clearing for one in firing)


class PastAlert(Struct, frozen=True, gc=False, omit_defaults=True):
    """When one alert fired. Of one that fired several times, the last time."""

    id: str
    rule: str
    severity: str
    title: str
    started_at: float
    """Unix seconds."""
    description: str = ""
    peer_id: str | None = None
    region: str | None = None
    resolved_at: float | None = None


def fired_since(alerts: Iterable[Alert], since: float) -> tuple[PastAlert, ...]:
    """Those that fired at some time after that Unix second, by their beginning: the last ones of too many."""
    found = [
        PastAlert(**{name: getattr(alert, name) for name in PastAlert.__struct_fields__})
        for alert in alerts
        if alert.state != "pending" and (alert.resolved_at is None or alert.resolved_at > since)
    ]
    return tuple(sorted(found, key=lambda one: (one.started_at, one.id))[-ALERTS_MAX:])


def as_it_is(alerts: Iterable[Alert], snapshot: Snapshot, rules: Mapping[str, Rule], regions: Regions) -> list[Alert]:
    """The same alerts, those about the network with what is so now. `regions`: asked only for an alert about one."""
    told = []
    for alert in alerts:
        rule = rules.get(alert.rule)
        tell = TELLERS.get(rule.signal) if rule is not None and alert.state == "firing" else None
        if rule is None or tell is None:
            told.append(alert)
            continue
        now = tell(snapshot, alert.id.removeprefix(f"{alert.rule}-"), regions)
        text = now.text
        if now.is_over:
            text = f"over for now; the alert ends once that has lasted {rule.clear_for_s:g} s" + (text and f": {text}")
        if text:
            confirmed = alert.confirmed_by if now.confirmed_by is None else now.confirmed_by
            alert = replace(alert, description=text, clearing=now.is_over, described_at=None, confirmed_by=confirmed)
        told.append(alert)
    return told


class Present(Struct, frozen=True):
    """How it is with what an alert is about."""

    text: str = ""
    """Empty where nothing is known here."""
    is_over: bool = False
    """Its condition does not hold now."""
    confirmed_by: tuple[str, ...] | None = None
    """Full ids of the observers on whose word it rests now; None where these stay as they were stated."""


def _peer_down(snapshot: Snapshot, subject: str, _: Regions) -> Present:
    peer = peer_of(subject, snapshot)
    if peer is None:
        return Present()
    found = snapshot.evidence[peer]
    is_over = found.verdict not in (Verdict.DOWN, Verdict.PARTITIONED)
    if not found.accusing:  # with others of its group it can be lost without a word against itself
        return Present(is_over=True) if is_over else Present(f"{short(peer)} fell silent together with others")
    return Present(missed(found, peer), is_over, confirmed_by=_ids(accusers(found)))


def _partition(snapshot: Snapshot, subject: str, _: Regions) -> Present:
    groups, peer = snapshot.partitions, peer_of(subject.removeprefix(PREFIX), snapshot)
    # A group keeps its name when the peer that it is named after is back.
    group = next((group for group in groups if peer in group.peers), groups[0] if len(groups) == 1 else None)
    if group is None:
        return Present(is_over=not groups and peer is not None)
    confirmed = accusers_of_all(group.peers, snapshot.evidence)
    return Present(lost_together(len(group.peers)), confirmed_by=_ids(confirmed))


def _region(_: Snapshot, subject: str, regions: Regions) -> Present:
    health = next((one for one in regions() if one.region == subject), None)
    if health is None:
        return Present(is_over=True)  # all its peers left, or are forgotten
    return Present(counted(health), health.status != RegionStatus.CRITICAL)


TELLERS: dict[str, Callable[[Snapshot, str, Regions], Present]] = {
    "peer_down": _peer_down,
    "partition": _partition,
    "region_critical": _region,
}
"""By signal: those that speak of counts and verdicts of others."""


def _ids(peers: Iterable[PeerId]) -> tuple[str, ...]:
    return tuple(peer.hex() for peer in peers)
