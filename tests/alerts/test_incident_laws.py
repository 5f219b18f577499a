"""What holds for any alerts: incidents do not depend on how the alerts came."""

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from alarms import BEGAN, TYPES, alert, name, network
from peerscope.alerts.correlation import Incidents
from peerscope.alerts.incident import Incident
from peerscope.alerts.incidents import correlate
from peerscope.alerts.model import Alert

PEERS = 30
AROUND = network(PEERS + 1, regions=3, versions=("1.0", "2.0"))
STRANGER = name(PEERS)
ALONE = replace(
    AROUND,
    regions={**AROUND.regions, STRANGER: "far"},
    links={
        peer: {other: rtt_s for other, rtt_s in others.items() if other != STRANGER and peer != STRANGER}
        for peer, others in AROUND.links.items()
    },
)
"""Nobody is linked with the stranger, and its region is its own."""
NOW = BEGAN + 3600

alerts_drawn = st.lists(
    st.builds(
        lambda peer, at, rule, lasts: alert(peer, at, rule, until=None if lasts is None else at + lasts, unsure_s=0.2),
        st.integers(0, PEERS - 1),
        st.integers(0, 1500).map(float),
        st.sampled_from(sorted(set(TYPES) - {"clock-skew"})),
        st.none() | st.integers(1, 500).map(float),
    ),
    max_size=60,
    unique_by=lambda one: one.id,
)


def correlated(alerts: list[Alert]) -> tuple[Incident, ...]:
    return correlate(alerts, ALONE, NOW)


@given(alerts_drawn, st.randoms(use_true_random=False), st.integers(0, 59))
def test_order_and_repetition_do_not_matter(alerts: list[Alert], rng: object, again: int) -> None:
    shuffled = alerts + alerts[:again]
    rng.shuffle(shuffled)  # type: ignore[attr-defined]
    assert correlated(shuffled) == correlated(alerts)


@given(alerts_drawn)
def test_an_earlier_word_about_an_alert_does_not_matter(alerts: list[Alert]) -> None:
    stale = [replace(one, state="firing", resolved_at=None) for one in alerts]
    assert correlated(alerts + stale) == correlated(stale + alerts) == correlated(alerts)


@given(alerts_drawn)
def test_an_alert_is_in_one_incident_at_most(alerts: list[Alert]) -> None:
    members = [one for incident in correlated(alerts) for one in incident.alerts]
    assert len(members) == len(set(members))
    assert set(members) <= {one.id for one in alerts}


@given(alerts_drawn, st.integers(0, 1500))
def test_an_alert_that_has_to_do_with_nothing_joins_nothing_and_ends_nothing_certain(
    alerts: list[Alert], at: int
) -> None:
    """It may only make others a little less surprising."""
    unrelated = alert(STRANGER, float(at), "clock-skew")
    found = correlated([*alerts, unrelated])
    assert not any(unrelated.id in one.alerts for one in found)
    certain = {(one.kind, one.root) for one in correlated(alerts) if one.confidence > 0.995}
    assert certain <= {(one.kind, one.root) for one in found}


@settings(max_examples=60)
@given(alerts_drawn, st.randoms(use_true_random=False))
def test_whatever_came_late_the_incidents_end_up_the_same(alerts: list[Alert], rng: object) -> None:
    """Two peers that hear of the same alerts in another order see the same incidents, each under ids of its own."""
    late = list(alerts)
    rng.shuffle(late)  # type: ignore[attr-defined]
    one, other = Incidents(), Incidents()
    for count in range(0, len(late), 7):
        one.update(late[:count], ALONE, NOW)
        other.update(alerts[:count], ALONE, NOW)

    def told(known: Incidents) -> list[Incident]:
        return sorted((replace(found, id="") for found in known.update(alerts, ALONE, NOW)), key=str)

    assert told(one) == told(other) == sorted((replace(found, id="") for found in correlated(alerts)), key=str)


@settings(max_examples=60)
@given(alerts_drawn)
def test_ids_are_never_shared_and_stay_with_most_of_the_members(alerts: list[Alert]) -> None:
    known = Incidents()
    before: dict[str, str] = {}
    for count in range(0, len(alerts) + 1, 3):
        found = known.update(alerts[:count], ALONE, NOW)
        assert len({incident.id for incident in found}) == len(found)
        for incident in found:
            earlier = [before[one] for one in incident.alerts if one in before]
            if (
                earlier
                and len(set(earlier)) == 1
                and len(earlier) == sum(name == earlier[0] for name in before.values())
            ):
                assert incident.id == earlier[0]  # all that was in that incident, and nothing of another
        before = {one: incident.id for incident in found for one in incident.alerts}
