"""Each kind of incident, what decides between them, and the ids they keep."""

from random import Random

import msgspec
import pytest
from msgspec.structs import replace

from alarms import BEGAN, alert, incidents, name, network, partition, spread
from ledgers import Book
from notices import WALL, Office, group
from peerscope.alerts.correlation import Correlation, Incidents
from peerscope.alerts.incident import Incident
from peerscope.alerts.incidents import IncidentConfig, correlate
from peerscope.alerts.model import Alert
from peerscope.alerts.notification import groups
from peerscope.alerts.silences import StandingAcknowledgement, StandingOrders, mark_incidents
from peerscope.errors import ConfigError
from peerscope.records.identity import PeerId

AROUND = network(100, versions=("1.0", "1.1", "2.0"))
SPREAD_OUT = [0, 16, 32, 48, 64, 80, 96]
"""Peers of several regions and versions, not all neighbours of each other."""
REGION_1 = range(0, 100, 5)
FIVE = [alert(number, 0.0) for number in range(5)]
VERSION_2 = [number for number in range(100) if number // 5 % 3 == 2]


def kinds(found: list[Incident]) -> list[tuple[str, str | None]]:
    return [(incident.kind, incident.root) for incident in found]


def test_five_peers_with_one_type_are_a_pattern_and_four_are_none() -> None:
    alerts = [alert(number, 4.0 * place) for place, number in enumerate(SPREAD_OUT)]
    assert incidents(alerts[:4], network(100, regions=25)) == []
    (found,) = incidents(alerts[:5], network(100, regions=25))
    assert (found.kind, found.root, len(found.peers), found.state) == ("pattern", None, 5, "open")
    assert found.alerts == tuple(one.id for one in alerts[:5])
    assert found.started_at == BEGAN


def test_a_gap_as_long_as_the_window_ends_an_incident() -> None:
    around = network(30, regions=1)
    first, second = range(12), range(12, 24)
    joined = [alert(number, 5.0 * number) for number in (*first, *second)]
    (found,) = incidents(joined, around, at=3000)
    assert len(found.peers) == 24
    torn = [alert(number, 5.0 * number + 400.0 * (number in second)) for number in (*first, *second)]
    assert sorted(len(one.peers) for one in incidents(torn, around, at=3000)) == [12, 12]


def test_three_rules_at_one_peer_are_a_cluster_and_a_repeated_rule_is_none() -> None:
    rules = ("cpu-high", "error-ratio", "link-latency")
    (found,) = incidents([alert(7, place, rule) for place, rule in enumerate(rules)], AROUND)
    assert (found.kind, found.root, found.peers) == ("peer-cluster", name(7), (name(7),))
    assert incidents([alert(7, 0.0, rules[0]), alert(7, 1.0, rules[1]), alert(7, 2.0, rules[0])], AROUND) == []


def test_half_a_region_is_an_outage_and_less_is_a_pattern() -> None:
    lost = [alert(number, place, "peer-down") for place, number in enumerate(REGION_1)]
    assert "region-outage" not in {one.kind for one in incidents(lost[:9], AROUND)}
    (found,) = incidents(lost[:10], AROUND)
    assert (found.kind, found.root) == ("region-outage", "region-1")
    assert found.confidence > 0.9


def test_three_peers_of_a_small_region_are_an_outage() -> None:
    around = network(20, regions=5)
    lost = [alert(number, place, "peer-down") for place, number in enumerate((0, 5, 10))]
    assert kinds(incidents(lost, around)) == [("region-outage", "region-1")]
    assert incidents(lost[:2], around) == []


def test_what_befalls_all_regions_alike_is_no_outage_of_each() -> None:
    alerts = [alert(number, number / 10) for number in range(100) if number % 3]
    assert {incident.kind for incident in incidents(alerts, network(100))} == {"pattern"}


def test_a_version_needs_others_that_are_well() -> None:
    bad = [alert(number, 10.0 * place, "memory-high") for place, number in enumerate(VERSION_2[:12])]
    (found,) = incidents(bad, AROUND)
    assert (found.kind, found.root) == ("version", "2.0")
    assert found.confidence == 0.99
    assert kinds(incidents(bad, network(100))) == [("pattern", None)]  # everybody runs the same
    everywhere = bad + [alert(number, 30.0, "memory-high") for number in range(100) if number // 5 % 3 != 2]
    assert "version" not in {incident.kind for incident in incidents(everywhere, AROUND)}


def test_the_version_of_the_node_beside_a_peer_counts_too() -> None:
    beam = {name(number): "0.9" if number in VERSION_2 else "0.8" for number in range(100)}
    around = replace(network(100), versions={"agent": dict.fromkeys(beam, "1.0"), "beam": beam})
    bad = [alert(number, 10.0 * place, "error-ratio") for place, number in enumerate(VERSION_2[:12])]
    assert kinds(incidents(bad, around)) == [("version", "beam 0.9")]


def test_a_bad_version_is_seen_though_it_fills_half_of_a_region() -> None:
    in_region = [number for number in REGION_1 if number // 5 % 3 == 2]
    some = [number for number in VERSION_2 if number % 5] + in_region
    around = replace(AROUND, regions={**AROUND.regions, **{name(n): "small" for n in [*in_region, 0, 1]}})
    found = incidents([alert(number, number, "memory-high") for number in some], around)
    assert kinds(found) == [("version", "2.0")]


def test_a_partition_takes_its_members_and_is_one() -> None:
    members = tuple(sorted(name(number) for number in range(40)))
    around = replace(AROUND, groups={"network-partition-group-a": members})
    down = [alert(number, 1.0, "peer-down") for number in range(12)]
    (found,) = incidents([partition("group-a", 0.0), *down], around)
    assert found.kind == "partition"
    assert len(found.alerts) == 13
    assert found.peers == members
    assert found.severity == "critical"


def test_a_partition_takes_what_is_said_of_the_regions_it_fell_on_and_of_no_others() -> None:
    members = [number for number in range(100) if number % 5 in (0, 1) and number < 60]
    around = replace(AROUND, groups={"network-partition-group-a": tuple(map(name, members))})
    here, there = (
        replace(alert(0, 20.0, "region-critical"), id=f"region-critical-{region}", peer_id=None, region=region)
        for region in (AROUND.regions[name(1)], AROUND.regions[name(2)])
    )
    cut_off = alert(50, 30.0, "low-connectivity")
    much_later = alert(51, 5000.0, "low-connectivity")
    (found,) = incidents([partition("group-a", 0.0), here, there, cut_off, much_later], around)
    assert found.alerts == ("network-partition-group-a", here.id, cut_off.id)
    assert len(found.peers) == len(members)  # who was lost, not who lost them


def test_a_partition_that_is_a_region_is_its_outage() -> None:
    members = tuple(sorted(name(number) for number in range(0, 99, 3)))
    around = replace(network(99, regions=3), groups={"network-partition-group-a": members})
    assert kinds(incidents([partition("group-a", 0.0)], around)) == [("region-outage", "region-1")]
    others = tuple(sorted(name(number) for number in range(0, 99, 4)))
    around = replace(network(99, regions=3), groups={"network-partition-group-a": others})
    assert kinds(incidents([partition("group-a", 0.0)], around)) == [("partition", None)]


def test_a_partition_that_is_stated_as_two_groups_is_one() -> None:
    groups = {"a": range(5), "b": range(3, 8), "c": (21, 44, 67, 90)}
    around = replace(AROUND, groups={f"network-partition-group-{g}": tuple(map(name, n)) for g, n in groups.items()})
    stated = [partition(f"group-{g}", at) for g, at in (("a", 0.0), ("b", 4.0), ("c", 5.0))]
    found = incidents([*stated, alert(0, 1.0, "peer-down"), alert(7, 1.0, "peer-down")], around)
    assert [(one.kind, len(one.peers), len(one.alerts)) for one in found] == [("partition", 8, 4), ("partition", 4, 1)]


def test_an_old_peer_down_has_nothing_to_do_with_a_new_partition() -> None:
    around = replace(AROUND, groups={"network-partition-group-a": tuple(name(number) for number in range(40))})
    old = alert(3, -5000.0, "peer-down", until=-4000.0)
    (found,) = incidents([partition("group-a", 0.0), old], around)
    assert found.alerts == ("network-partition-group-a",)


def test_a_cascade_is_found_in_a_storm_of_unrelated_alerts_of_its_type() -> None:
    around, rng = network(300), Random(5)
    root = name(17)
    chain = spread(around, root, rng, share=0.1)
    hit = {one.peer_id for one in chain}
    others = [number for number in rng.sample(range(300), 40) if name(number) not in hit]
    noise = [alert(number, rng.uniform(-600, 600)) for number in others]
    (found,) = incidents(chain + noise, around, at=1000)
    assert (found.kind, found.root) == ("cascade", root)
    assert found.tree[0].parent is None
    assert len(set(found.alerts) - {one.id for one in chain}) <= 8


def test_no_alert_is_in_two_incidents() -> None:
    rng = Random(3)
    alerts = [alert(number, rng.uniform(0, 90), "error-ratio") for number in range(0, 100, 2)]
    alerts += [alert(number, 100.0, "peer-down") for number in REGION_1]
    found = incidents(alerts, AROUND, at=1000)
    members = [one for incident in found for one in incident.alerts]
    assert len(found) > 1
    assert len(members) == len(set(members))


def test_severity_rises_with_the_share_of_the_network() -> None:
    def severity(peers: int) -> str:
        chosen = [number for number in range(200) if number % 5 == number // 5 % 5][:peers]
        return incidents([alert(number, 1.0) for number in chosen], network(200))[0].severity

    assert [severity(5), severity(20), severity(40)] == ["medium", "high", "high"]
    assert incidents([alert(number, 1.0) for number in range(0, 100, 2)], network(100))[0].severity == "critical"


def test_an_incident_closes_with_its_last_alert_and_is_told_for_a_day() -> None:
    alerts = [alert(number, 0.0, until=50.0 + number) for number in SPREAD_OUT]
    (found,) = incidents(alerts, AROUND)
    assert (found.state, found.ended_at, found.updated_at) == ("closed", BEGAN + 146.0, BEGAN + 146.0)
    (still,) = incidents([*alerts[1:], alert(0, 0.0)], AROUND)
    assert (still.state, still.ended_at, len(still.peers)) == ("open", None, 7)
    assert incidents(alerts, AROUND, at=86_400.0 + 200.0) == []


def test_alerts_that_are_only_pending_make_nothing() -> None:
    assert incidents([replace(alert(number, 0.0), state="pending") for number in SPREAD_OUT], AROUND) == []


def test_an_incident_keeps_its_id_while_it_grows_shrinks_and_a_late_alert_turns_up() -> None:
    known = Incidents()
    alerts = [alert(number, 100.0 + place, "peer-down") for place, number in enumerate(REGION_1)]
    ids, seen = [], []
    late = [alert(1, -150.0, "peer-down")]
    shrunk = [replace(one, state="resolved", resolved_at=BEGAN + 300.0) for one in alerts[:10]] + alerts[10:]
    for step in (alerts[:5], alerts[:9], alerts[:10], alerts, alerts + late, shrunk):
        (found,) = known.update(step, AROUND, BEGAN + 400.0)
        ids.append(found.id)
        seen.append(found.kind)
    assert seen == ["pattern"] * 2 + ["region-outage"] * 4
    assert set(ids) == {"pattern-loss-1"}
    assert "pattern-loss-1" in incidents(alerts, AROUND)[0].names  # who comes later knows it by that, too


def test_the_same_thing_later_is_another_incident() -> None:
    known = Incidents()
    first = [alert(number, 0.0, until=60.0) for number in SPREAD_OUT]
    again = [alert(number, 4000.0) for number in SPREAD_OUT]
    (before,) = known.update(first, AROUND, BEGAN + 100)
    (after,) = known.update(again, AROUND, BEGAN + 4100)
    assert (before.id, after.id) == ("pattern-cpu-high-1", "pattern-cpu-high-2")


def test_two_at_once_keep_their_own_ids_when_one_vanishes() -> None:
    known = Incidents()
    one = [alert(number, 0.0, "cpu-high") for number in SPREAD_OUT]
    two = [alert(number, 0.0, "error-ratio") for number in (3, 19, 35, 51, 67)]
    before = {incident.id for incident in known.update(one + two, AROUND, BEGAN + 10)}
    (left,) = known.update(two, AROUND, BEGAN + 20)
    assert left.id in before


def test_an_incident_is_plain_json() -> None:
    (found,) = incidents([alert(number, 0.0) for number in SPREAD_OUT], AROUND)
    plain = msgspec.json.decode(msgspec.json.encode(found))
    assert plain["peers"] == list(found.peers)
    assert msgspec.json.decode(msgspec.json.encode(found), type=Incident) == found


def test_an_impossible_window_is_refused_with_what_is_possible() -> None:
    with pytest.raises(ConfigError, match=r"incidents.window_s is 0"):
        IncidentConfig(window_s=0)


def test_a_shorter_window_tears_what_a_longer_one_joins() -> None:
    alerts = [alert(number, 30.0 * place) for place, number in enumerate(SPREAD_OUT)]
    assert correlate(alerts, AROUND, BEGAN + 600, IncidentConfig(window_s=20.0)) == ()


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
    names = ("pattern-loss-1", "region-outage-eu-1")

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
    assert seen(correlation, FIVE, 11.0) == [("pattern-cpu-high-1", "open")]
    assert seen(correlation, FIVE, 12.0) == []
    assert seen(correlation, [*FIVE, alert(6, 9.0)], 13.0) == [("pattern-cpu-high-1", "open")]
    over = [alert(number, 0.0, until=20.0) for number in range(5)]
    assert seen(correlation, [*over, alert(6, 9.0, until=21.0)], 22.0) == [("pattern-cpu-high-1", "closed")]
    assert seen(Correlation(), over, 22.0) == []


def test_an_alert_names_its_incident_while_that_one_is_open() -> None:
    correlation = Correlation()
    seen(correlation, FIVE, 10.0)
    assert {one.incident for one in correlation.mark(FIVE)} == {"pattern-cpu-high-1"}
    assert correlation.mark([alert(9, 0.0)])[0].incident is None
    over = [alert(number, 0.0, until=20.0) for number in range(5)]
    seen(correlation, over, 22.0)
    assert {one.incident for one in correlation.mark(over)} == {None}


def test_alerts_whose_incident_falls_apart_are_not_told_again_one_by_one() -> None:
    correlation, office = Correlation(), Office(2)

    def look(alerts: list[Alert], at: float) -> None:
        seen(correlation, alerts, at)
        office.groups = groups(alerts, correlation.incidents, StandingOrders(), last_incident=correlation.last_incident)

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
