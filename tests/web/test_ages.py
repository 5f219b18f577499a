"""Every time of the API that a person reads as an age goes out with that age."""

import typing
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from msgspec import Struct

from peerscope.alerts.alert_views import SilenceView
from peerscope.alerts.silences import StandingSilence
from peerscope.views.ages import aged
from peerscope.web.api import ROUTES

POINTS_OF_A_LINE = {
    ("Change", "at"): "where a status begins on the strip of the last hour",
    ("PastAlert", "started_at"): "where an alert begins in the recording",
    ("PastAlert", "resolved_at"): "and where it ends",
}
CALLED_OTHERWISE = {
    ("PeerView", "started_at"): "uptime_s",
    ("PeerDetail", "started_at"): "uptime_s",
}


def structs(kind: Any, seen: set[Any]) -> Iterator[type[Struct]]:
    """Every struct within an answer."""
    if isinstance(kind, type) and issubclass(kind, Struct) and kind not in seen:
        seen.add(kind)
        yield kind
        for field in msgspec.structs.fields(kind):
            yield from structs(field.type, seen)
    for inner in typing.get_args(kind):
        yield from structs(inner, seen)


def test_every_time_has_its_age_beside_it() -> None:
    seen: set[Any] = set()
    times = []
    for answer in filter(None, (route.answers for route in ROUTES)):
        for kind in structs(answer, seen):
            fields = {field.name for field in msgspec.structs.fields(kind)}
            for name in (name for name in fields if name == "at" or name.endswith("_at")):
                stem = name.removesuffix("at")
                times.append((kind.__name__, name))
                if (kind.__name__, name) in POINTS_OF_A_LINE:
                    continue
                ages = {f"{stem}age_s", f"{stem}in_s", CALLED_OTHERWISE.get((kind.__name__, name), "")}
                assert ages & fields, f"{kind.__name__}.{name} has no age"
    assert {("AlertView", "started_at"), ("IncidentView", "ended_at"), ("SilenceView", "ends_at")} < set(times)
    assert set(POINTS_OF_A_LINE) < set(times)


def silence(begun_at: float, ends_at: float) -> StandingSilence:
    return StandingSilence("a" * 8, (("rule", "*"),), begun_at, ends_at, "me", "why", "ff")


@pytest.mark.parametrize(("wall", "age_s", "in_s"), [(100.0, 0.0, 50.0), (130.0, 30.0, 20.0), (90.0, 0.0, 60.0)])
def test_ages_and_what_is_left_are_told_by_our_clock(wall: float, age_s: float, in_s: float) -> None:
    shown = aged(SilenceView, silence(100.0, 150.0), wall)
    assert (shown.begun_age_s, shown.ends_in_s) == (age_s, in_s)
    assert (shown.begun_at, shown.ends_at, shown.reason) == (100.0, 150.0, "why")


def test_what_is_over_has_nothing_left() -> None:
    assert aged(SilenceView, silence(100.0, 150.0), 200.0).ends_in_s == 0.0
