"""Alerts, incidents and orders as people and scripts read them: with current texts, and the age of every time.

A statement carries the numbers of the moment at which its author wrote it. It stays while the condition is over for
less than `clear_for_s`. Next to current counts its text would contradict them. So alerts about the network get their
text from the evidence behind those counts. If the condition is over, the text says so. Alerts that peers state about
themselves keep their text and its date.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from msgspec import Struct
from msgspec.structs import replace

from peerscope.alerts.incident import Incident
from peerscope.alerts.model import Alert
from peerscope.alerts.network_signals import accusers, accusers_of_all, counted, lost_together, missed
from peerscope.alerts.rules import Rule
from peerscope.alerts.silences import StandingAcknowledgement, StandingForget, StandingSilence
from peerscope.alerts.subjects import PREFIX, peer_of
from peerscope.mesh.detection.verdicts import Verdict
from peerscope.records.identity import PeerId, short
from peerscope.views.ages import aged
from peerscope.views.regions import RegionHealth, RegionStatus
from peerscope.views.snapshot import Snapshot

Regions = Callable[[], Sequence[RegionHealth]]
ALERTS_MAX = 1000


class AlertView(Alert, frozen=True):
    """An alert with the ages of its times."""

    started_age_s: float | None = None
    resolved_age_s: float | None = None
    described_age_s: float | None = None


class IncidentView(Incident, frozen=True):
    """An incident with the ages of its times."""

    started_age_s: float | None = None
    updated_age_s: float | None = None
    ended_age_s: float | None = None


class SilenceView(StandingSilence, frozen=True):
    """A silence that holds now or later."""

    begun_age_s: float | None = None
    ends_in_s: float | None = None
    begins_in_s: float = 0.0
    """0 while it holds."""
    state: str = "active"
    """active or scheduled."""


class AcknowledgementView(StandingAcknowledgement, frozen=True):
    """An operator looks after an alert or incident."""

    age_s: float | None = None


class ForgottenView(StandingForget, frozen=True):
    """A peer that all forget until it reports again."""

    age_s: float | None = None


def silence_view(silence: StandingSilence, wall: float) -> SilenceView:
    """A silence as people read it. `wall`: Unix seconds now."""
    shown = aged(SilenceView, silence, wall)
    begins_in_s = max(0.0, silence.begun_at - wall) if silence.windows else 0.0
    return replace(shown, begins_in_s=begins_in_s, state="scheduled" if begins_in_s else "active")


def is_clearing(incident: Incident, alerts: Mapping[str, Alert]) -> bool:
    """Whether all its alerts that still fire have a condition that is over. `alerts`: current ones, by id."""
    firing = [one for name in incident.alerts if (one := alerts.get(name)) is not None and one.state == "firing"]
    return bool(firing) and all(one.clearing for one in firing)


class PastAlert(Struct, frozen=True, gc=False, omit_defaults=True):
    """When an alert fired last."""

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
    """Alerts that fired after that Unix second, by their beginning; of too many the last ones."""
    found = [
        PastAlert(**{name: getattr(alert, name) for name in PastAlert.__struct_fields__})
        for alert in alerts
        if alert.state != "pending" and (alert.resolved_at is None or alert.resolved_at > since)
    ]
    return tuple(sorted(found, key=lambda one: (one.started_at, one.id))[-ALERTS_MAX:])


def describe_now(
    alerts: Iterable[Alert], snapshot: Snapshot, rules: Mapping[str, Rule], regions: Regions
) -> list[Alert]:
    """Give alerts about the network the text of now. `regions`: called only for an alert about a region."""
    described = []
    for alert in alerts:
        rule = rules.get(alert.rule)
        look_up = PRESENT.get(rule.signal) if rule is not None and alert.state == "firing" else None
        if rule is None or look_up is None:
            described.append(alert)
            continue
        now = look_up(snapshot, alert.id.removeprefix(f"{alert.rule}-"), regions)
        text = now.text
        if now.is_over:
            text = f"over for now; the alert ends once that has lasted {rule.clear_for_s:g} s" + (text and f": {text}")
        if text:
            confirmed = alert.confirmed_by if now.confirmed_by is None else now.confirmed_by
            alert = replace(alert, description=text, clearing=now.is_over, described_at=None, confirmed_by=confirmed)
        described.append(alert)
    return described


class Present(Struct, frozen=True):
    """Current state of the subject of an alert."""

    text: str = ""
    """Empty if this peer knows nothing."""
    is_over: bool = False
    """The condition does not hold now."""
    confirmed_by: tuple[str, ...] | None = None
    """Full ids of the observers behind it now; None to keep those of the statement."""


def _peer_down(snapshot: Snapshot, subject: str, _: Regions) -> Present:
    peer = peer_of(subject, snapshot)
    if peer is None:
        return Present()
    found = snapshot.evidence[peer]
    is_over = found.verdict not in (Verdict.DOWN, Verdict.PARTITIONED)
    if not found.accusing:  # in a group a peer can be lost without an accusation against itself
        return Present(is_over=True) if is_over else Present(f"{short(peer)} fell silent together with others")
    return Present(missed(found, peer), is_over, confirmed_by=_ids(accusers(found)))


def _partition(snapshot: Snapshot, subject: str, _: Regions) -> Present:
    groups, peer = snapshot.partitions, peer_of(subject.removeprefix(PREFIX), snapshot)
    # A group keeps its name when the peer in its name is back.
    group = next((group for group in groups if peer in group.peers), groups[0] if len(groups) == 1 else None)
    if group is None:
        return Present(is_over=not groups and peer is not None)
    confirmed = accusers_of_all(group.peers, snapshot.evidence)
    return Present(lost_together(len(group.peers)), confirmed_by=_ids(confirmed))


def _region(_: Snapshot, subject: str, regions: Regions) -> Present:
    health = next((one for one in regions() if one.region == subject), None)
    if health is None:
        return Present(is_over=True)  # all its peers left or are forgotten
    return Present(counted(health), health.status != RegionStatus.CRITICAL)


PRESENT: dict[str, Callable[[Snapshot, str, Regions], Present]] = {
    "peer_down": _peer_down,
    "partition": _partition,
    "region_critical": _region,
}
"""By signal: those that report counts and verdicts of others."""


def _ids(peers: Iterable[PeerId]) -> tuple[str, ...]:
    return tuple(peer.hex() for peer in peers)
