"""Alerts of one cause are one message: correlation, groups and notifiers together, without a network."""

from msgspec.structs import replace

from alarms import BEGAN, alert, incidents, name, network, partition
from ledgers import Book
from notices import WALL, Office, group
from peerscope.alerts.correlation import Correlation
from peerscope.alerts.grouping import groups
from peerscope.alerts.model import Alert
from peerscope.alerts.silences import StandingAcknowledgement, StandingOrders, mark_incidents
from peerscope.records.identity import PeerId

FIVE = [alert(number, 0.0) for number in range(5)]


def seen(correlation: Correlation, alerts: list[Alert], at: float) -> list[tuple[str, str]]:
    """What one look at these alerts brings, so many seconds after the first."""
    snapshot = Book().snapshot(at + BEGAN - WALL)
    if not correlation.is_due(alerts, snapshot.now):
        return []
    return [(one.id, one.state) for one in correlation.update(snapshot, (), alerts)]


def test_fifty_alerts_of_one_partition_are_one_message() -> None:
    members = tuple(sorted(name(number) for number in range(50)))
    around = replace(network(200), groups={"network-partition-group-a": members})
    cut = [partition("group-a", 0.0), *(alert(number, 1.0 + number / 50, "peer-down") for number in range(50))]
    office = Office(3)
    office.groups = groups(cut, incidents(cut, around), StandingOrders())
    assert len(office.groups[0].alerts) == 51
    office.run(60)
    assert len(office.told()) == 1


def test_two_notifiers_that_know_an_incident_by_different_names_tell_it_once() -> None:
    office = Office(4)
    names = ("pattern-peer-down-1", "region-outage-eu-1")

    def sees(observer: PeerId) -> list[object]:
        return [group(names[observer[0] % 2], incident="pattern", names=names)]

    office.sees = sees  # type: ignore[assignment]
    office.run(120)
    assert len(office.told()) == 1
    office.sees = lambda observer: [
        replace(one, state="resolved", resolved_at=WALL + office.now) for one in sees(observer)
    ]  # type: ignore[assignment,type-var,arg-type]
    office.run(120)
    assert len(office.told("resolved")) == 1


def test_an_incident_is_news_when_it_opens_grows_and_closes_and_only_then() -> None:
    correlation = Correlation()
    assert seen(correlation, FIVE[:4], 10.0) == []
    assert seen(correlation, FIVE, 11.0) == [("pattern-resource-exhaustion-1", "open")]
    assert seen(correlation, FIVE, 12.0) == []
    assert seen(correlation, [*FIVE, alert(6, 9.0)], 13.0) == [("pattern-resource-exhaustion-1", "open")]
    over = [alert(number, 0.0, until=20.0) for number in range(5)]
    assert seen(correlation, [*over, alert(6, 9.0, until=21.0)], 22.0) == [("pattern-resource-exhaustion-1", "closed")]
    assert seen(Correlation(), over, 22.0) == []


def test_an_alert_names_its_incident_while_that_one_is_open() -> None:
    correlation = Correlation()
    seen(correlation, FIVE, 10.0)
    assert {one.incident for one in correlation.mark(FIVE)} == {"pattern-resource-exhaustion-1"}
    assert correlation.mark([alert(9, 0.0)])[0].incident is None
    over = [alert(number, 0.0, until=20.0) for number in range(5)]
    seen(correlation, over, 22.0)
    assert {one.incident for one in correlation.mark(over)} == {None}


def test_alerts_whose_incident_falls_apart_are_not_told_again_one_by_one() -> None:
    correlation, office = Correlation(), Office(2)

    def look(alerts: list[Alert], at: float) -> None:
        seen(correlation, alerts, at)
        office.groups = groups(alerts, correlation.incidents, StandingOrders(), told_as=correlation.told_as)

    grave = [replace(one, severity="high") for one in FIVE]
    look(grave, 1.0)
    office.run(60)
    assert len(office.told()) == 1
    # One of the five ended and begins again much later: what is left are four, and no pattern any more.
    look([*grave[:4], replace(grave[4], started_at=BEGAN + 4000.0)], 4001.0)
    assert correlation.incidents == ()
    office.run(60)
    assert [key for _, _, key in office.told()][1:] == [grave[4].id]


def test_an_incident_is_looked_after_when_one_of_its_names_or_every_active_alert_is() -> None:
    (incident,) = incidents(FIVE, network(40))
    known = replace(incident, names=("other-name-1",))

    def by(author: str, key: str) -> StandingOrders:
        return StandingOrders((), {key: StandingAcknowledgement(key, BEGAN + 1.0, author, "", "aa" * 32)})

    assert mark_incidents([known], FIVE, by("ann", "other-name-1"))[0].acknowledged_by == "ann"
    assert mark_incidents([known], FIVE, StandingOrders())[0].acknowledged_by is None
    each = [replace(one, acknowledged_by="bob") for one in FIVE]
    assert mark_incidents([known], each, StandingOrders())[0].acknowledged_by == "bob"
    assert mark_incidents([known], [*each[:4], FIVE[4]], StandingOrders())[0].acknowledged_by is None
