"""Which incident of now is which one of before: over all orders in which alerts begin, end and come late."""

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from alarms import BEGAN, alert, name, network, partition
from peerscope.alerts.correlation import Incidents
from peerscope.alerts.incident import Incident
from peerscope.alerts.incident_ids import IncidentIds
from peerscope.alerts.model import Alert

RULES = ("cpu-high", "peer-down", "error-ratio")
SEVERITIES = ("low", "medium", "high", "critical")
WINDOW_S, KEEP_S = 300.0, 86_400.0


def weight(one: Alert) -> int:
    return 1 + SEVERITIES.index(one.severity)


def incident(alerts: list[Alert], kind: str, root: str | None, number: int) -> Incident:
    """One that a correlation found, under the id of a first sight."""
    return Incident(
        id=f"{kind}-{root or 'any'}-{number}",
        kind=kind,  # type: ignore[arg-type]
        severity="high",
        title="",
        description="",
        state="open",
        started_at=BEGAN,
        updated_at=BEGAN,
        ended_at=None,
        alerts=tuple(sorted(one.id for one in alerts)),
        peers=(),
        root=root,
        confidence=0.9,
    )


ALERTS = [replace(alert(number, float(number)), severity=SEVERITIES[number % 4]) for number in range(12)]
CAUSES = (("host", "m"), ("region-outage", "eu"), ("region-outage", "ap"), ("pattern", None))
grouped = st.lists(st.sampled_from((None, 0, 1, 2, 3)), min_size=12, max_size=12)
"""For each alert the cause whose incident has it; None for no incident."""
histories = st.lists(st.tuples(grouped, st.sets(st.integers(0, 11))), min_size=1, max_size=7)
"""At each update: the groups, and the alerts that are over by then."""


def play(history: list[tuple[list[int | None], set[int]]]) -> list[tuple[list[Incident], dict[str, Alert]]]:
    ids, seen, over = IncidentIds(WINDOW_S, KEEP_S), [], set[int]()
    for groups, ended in history:
        over |= ended
        now = [
            replace(one, state="resolved", resolved_at=BEGAN + 50.0) if number in over else one
            for number, one in enumerate(ALERTS)
        ]
        found = [
            incident([now[number] for number, its in enumerate(groups) if its == cause], *CAUSES[cause], 1)
            for cause in sorted({its for its in groups if its is not None})
        ]
        seen.append((ids.name(found, now, BEGAN + 100.0), {one.id: one for one in now}))
    return seen


@settings(max_examples=300)
@given(histories)
def test_an_id_stays_only_with_most_of_its_alerts(history: list[tuple[list[int | None], set[int]]]) -> None:
    members: dict[str, set[str]] = {}
    kinds: dict[str, tuple[str, str | None]] = {}
    for found, known in play(history):
        assert len({one.id for one in found}) == len(found)
        before = {key: set(its) for key, its in members.items()}
        for one in found:
            if one.id in before:
                parts = [set(other.alerts) & before[one.id] for other in found]
                together = set().union(*parts)
                every = sum(weight(known[its]) for its in before[one.id])
                held = sum(weight(known[its]) for its in (set(one.alerts) & before[one.id]))
                assert 2 * sum(weight(known[its]) for its in together) > every
                assert held
                is_root = one.root is not None and (one.kind, one.root) == kinds[one.id]
                assert 2 * held > every or is_root
            members.setdefault(one.id, set()).update(one.alerts)
            kinds[one.id] = (one.kind, one.root) if one.root is not None else kinds.get(one.id, (one.kind, None))
            if one.root is not None or one.id not in kinds:
                kinds[one.id] = (one.kind, one.root)


@settings(max_examples=300)
@given(histories)
def test_no_chain_of_updates_takes_an_id_to_alerts_that_never_met_the_first(
    history: list[tuple[list[int | None], set[int]]],
) -> None:
    first: dict[str, set[str]] = {}
    for found, _ in play(history):
        for one in found:
            first.setdefault(one.id, set(one.alerts))
            assert first[one.id] & set(one.alerts), "it shares alerts with the incident that had this id first"


@settings(max_examples=300)
@given(histories)
def test_a_kind_never_changes_without_a_word_and_a_split_names_its_origin(
    history: list[tuple[list[int | None], set[int]]],
) -> None:
    kind_of: dict[str, str] = {}
    before: list[Incident] = []
    for found, known in play(history):
        for one in found:
            if one.id in kind_of and kind_of[one.id] != one.kind:
                assert one.was == kind_of[one.id]
            if one.id not in kind_of and before:
                whole = sum(weight(known[its]) for its in one.alerts)
                origins = {
                    other.id: sum(weight(known[its]) for its in set(one.alerts) & set(other.alerts)) for other in before
                }
                if any(2 * its > whole for its in origins.values()):
                    assert one.split_from is not None
            kind_of[one.id] = one.kind
        before = found


def test_an_outage_that_becomes_a_pattern_and_then_another_outage_is_another_incident() -> None:
    """Seen in the first version: an acknowledgement of one region's outage would have followed to the other."""
    eu, ap = ALERTS[:5], ALERTS[5:11]
    ids = IncidentIds(WINDOW_S, KEEP_S)
    (first,) = ids.name([incident(eu, "region-outage", "eu", 1)], ALERTS, BEGAN + 1)
    (both,) = ids.name([incident(eu + ap, "pattern", None, 1)], ALERTS, BEGAN + 2)
    over = [replace(one, state="resolved", resolved_at=BEGAN + 3) for one in eu]
    (last,) = ids.name([incident(ap, "region-outage", "ap", 1)], [*over, *ALERTS[5:]], BEGAN + 4)
    assert last.id not in (first.id, both.id)
    assert last.split_from == both.id


def test_of_a_split_the_part_with_the_root_keeps_the_id() -> None:
    ids = IncidentIds(WINDOW_S, KEEP_S)
    (whole,) = ids.name([incident(ALERTS[:8], "host", "m", 1)], ALERTS, BEGAN + 1)
    parts = [incident(ALERTS[:3], "host", "m", 1), incident(ALERTS[3:6], "pattern", None, 1)]
    parts.append(incident(ALERTS[6:8], "region-outage", "eu", 1))
    kept, other, third = ids.name(parts, ALERTS, BEGAN + 2)
    assert kept.id == whole.id
    assert other.split_from == third.split_from == whole.id


def test_an_incident_that_takes_in_another_names_it() -> None:
    ids = IncidentIds(WINDOW_S, KEEP_S)
    large, small = ids.name(
        [incident(ALERTS[:5], "host", "m", 1), incident(ALERTS[5:7], "region-outage", "eu", 1)], ALERTS, BEGAN + 1
    )
    (both,) = ids.name([incident(ALERTS[:7], "host", "m", 1)], ALERTS, BEGAN + 2)
    assert both.id == large.id
    assert both.merged == (small.id,)


@settings(max_examples=40)
@given(st.lists(st.tuples(st.integers(0, 39), st.sampled_from(RULES), st.integers(0, 600)), max_size=60), st.randoms())
def test_real_incidents_keep_these_laws_in_any_order_of_arrival(drawn: list[tuple[int, str, int]], rng: object) -> None:
    around, known = network(40, regions=4), Incidents()
    alerts = list({one.id: one for one in (alert(peer, float(at), rule) for peer, rule, at in drawn)}.values())
    rng.shuffle(alerts)  # type: ignore[attr-defined]
    first: dict[str, set[str]] = {}
    for count in range(0, len(alerts) + 1, 6):
        found = known.update(alerts[:count], around, BEGAN + 700.0)
        assert len({one.id for one in found}) == len(found)
        for one in found:
            first.setdefault(one.id, set(one.alerts))
            assert first[one.id] & set(one.alerts)


def test_a_group_and_its_members_stay_one_while_members_come_late() -> None:
    members = tuple(sorted(name(number) for number in range(1, 60, 4)))
    around = replace(network(60), groups={"network-partition-group-a": members})
    known, ids = Incidents(), set[str]()
    for count in (0, 3, 9, 15):
        late = [alert(peer, 1.0, "peer-down") for peer in members[:count]]
        (found,) = known.update([partition("group-a", 0.0), *late], around, BEGAN + 10.0 + count)
        ids.add(found.id)
    assert len(ids) == 1
