"""The source consul with answers of the form that Consul's API documentation shows."""

import json
from typing import Any

import msgspec
import pytest

from peerscope.errors import SourceError
from peerscope.records.bodies import OverlayLink
from peerscope.records.measures import NodeMetrics
from peerscope.sources.base import Reading, make_source
from peerscope.sources.endpoint import Page, decoded
from peerscope.sources.programs.consul import (
    ConsulMember,
    ConsulSelf,
    ConsulSource,
    CoordinateVector,
    NodeCoordinate,
    reading,
    round_trip_s,
)

MY_ID = "40e4a748-2192-161a-0510-9bf59fe950b5"
SELF = {
    "Config": {
        "Datacenter": "dc1",
        "NodeName": "foobar",
        "NodeID": MY_ID,
        "Server": True,
        "Revision": "deadbeef",
        "Version": "1.0.0",
    },
    "DebugConfig": {"anything": [1, {"else": None}]},
    "Coord": {"Adjustment": 0, "Error": 1.5, "Vec": [0, 0, 0, 0, 0, 0, 0, 0]},
    "Member": {
        "Name": "foobar",
        "Addr": "10.1.10.12",
        "Port": 8301,
        "Tags": {"bootstrap": "1", "dc": "dc1", "id": MY_ID, "port": "8300", "role": "consul", "vsn": "1"},
        "Status": 1,
        "ProtocolMin": 1,
        "DelegateCur": 4,
    },
    "Meta": {"instance_type": "i2.xlarge"},
}


def member(name: str, status: int = 1, **tags: str) -> dict[str, Any]:
    found = {"Name": name, "Addr": "10.1.10.13", "Port": 8301, "Tags": tags, "Status": status, "ProtocolMin": 1}
    return found | {"ProtocolMax": 2, "ProtocolCur": 2, "DelegateMin": 1, "DelegateMax": 3, "DelegateCur": 3}


def coordinate(name: str, *vec: float, segment: str = "", height: float = 0.0, adjustment: float = 0.0) -> Any:
    coord = {"Adjustment": adjustment, "Error": 1.5, "Height": height, "Vec": list(vec)}
    return {"Node": name, "Segment": segment, "Coord": coord}


def answer(
    members: list[dict[str, Any]],
    coordinates: tuple[Any, ...] = (),
    leader: str | None = "10.1.10.12:8300",
) -> Reading:
    """The reading of these answers, decoded from JSON as they come."""

    def as_read(value: object, kind: Any) -> Any:
        return decoded(Page(json.dumps(value).encode(), "application/json", {}), kind, "http://here")

    return reading(
        as_read(SELF, ConsulSelf),
        as_read([SELF["Member"], *members], tuple[ConsulMember, ...]),
        as_read(coordinates, tuple[NodeCoordinate, ...]),
        leader,
    )


def named(found: Reading) -> dict[str, float | None]:
    return {one.name: one.value for one in found.measures}


def test_an_agent_and_its_members() -> None:
    found = answer(
        [member("b", id="id-b"), member("a"), member("dead", 4), member("gone", 3), member("going", 2)],
        (coordinate("foobar", 0.001, 0.0, height=0.0001), coordinate("b", 0.004, 0.004, height=0.0002)),
    )
    assert (found.node, found.node_id, found.version) == ("consul", MY_ID, "1.0.0")
    assert found.metrics == NodeMetrics(p2p_peers=2)
    assert found.overlay == (OverlayLink("a"), OverlayLink("id-b", 5300))  # 5 ms and both heights
    assert named(found) == {"members_alive": 3, "members_failed": 1, "has_leader": 1}
    assert found.addresses == ("10.1.10.12:8301",)
    assert found.details == {
        "datacenter": "dc1",
        "role": "server",
        "members_left": 1.0,
        "members_leaving": 1.0,
        "leader": "10.1.10.12:8300",
    }
    assert msgspec.convert(msgspec.to_builtins(found), Reading) == found


def test_a_fresh_agent_alone_and_one_without_a_leader() -> None:
    alone = answer([], (), "")
    assert (alone.metrics.p2p_peers, alone.overlay) == (0, ())
    assert named(alone) == {"members_alive": 1, "members_failed": 0, "has_leader": 0}
    assert "has_leader" not in named(answer([], (), None))


def test_coordinates_of_other_segments_are_other_spaces() -> None:
    found = answer([member("b")], (coordinate("foobar", 0.0), coordinate("b", 0.01, segment="alpha")))
    assert found.overlay == (OverlayLink("b"),)


@pytest.mark.parametrize(
    ("other", "seconds"),
    [
        (CoordinateVector((0.003, 0.004), 0.001, 0.0005), 0.0065),
        (CoordinateVector((0.003, 0.004), 0.0, -1.0), 0.005),  # an adjustment below zero does not count
        (CoordinateVector((0.003,), 0.0), None),
        (CoordinateVector((1e300, 1e300), 0.0), None),
        (None, None),
    ],
)
def test_the_formula_of_round_trips(other: CoordinateVector | None, seconds: float | None) -> None:
    here = CoordinateVector((0.0, 0.0))
    assert round_trip_s(here, other) == (None if seconds is None else pytest.approx(seconds))


@pytest.mark.parametrize("data", [b"", b"<html>", b'{"Config":{}}', b'{"Config":{},"Member":{"Name":7}}', b"[" * 9000])
def test_other_answers_are_refused(data: bytes) -> None:
    with pytest.raises(SourceError):
        decoded(Page(data, "text/html", {}), ConsulSelf, "http://here")


def test_control_characters_and_long_names_do_not_pass_and_spoil_no_other() -> None:
    found = answer([member("a"), member("\x1b[2J"), member("x" * 500), member("y", id="z" * 81, k="v" * 500)])
    assert msgspec.convert(msgspec.to_builtins(found), Reading) == found
    assert found.overlay == (OverlayLink("a"),)
    assert (found.metrics.p2p_peers, found.details["names_refused"]) == (4, 3.0)


def test_a_token_goes_into_the_header_of_consul() -> None:
    assert ConsulSource("")._endpoint.url == "http://127.0.0.1:8500"
    source = make_source("consul:http://127.0.0.1:8500#header=X-Consul-Token&token_file=/run/token")
    assert isinstance(source, ConsulSource)
