"""`consul:URL`: one agent of a Consul cluster, by its HTTP API: members, leader, and round trips from coordinates.

The shapes were checked against Consul's published API documentation (agent, coordinate, status), not against a running
cluster. With ACLs, name a token with node:read and agent:read: `consul:URL#header=X-Consul-Token&token_file=PATH`.

Consul is late or wrong in this:

- Members are this agent's view of gossip. An agent that died counts as alive until others have suspected it, from
  seconds to half a minute. It counts as failed for 72 hours after that.
- Round trips are estimates from network coordinates, as `consul rtt` has them. They mean nothing for an agent that has
  just started.
- Without a leader its catalog and its coordinates do not answer: round trips are unknown then, members are not.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import dist, isfinite
from typing import Annotated, TypeVar

from msgspec import Meta, Struct, field
from msgspec.structs import replace

from peerscope.errors import SourceError
from peerscope.host.addresses import join_address
from peerscope.mesh.detection.checks import printable
from peerscope.records.bodies import OVERLAY_MAX, OverlayLink
from peerscope.records.measures import Measure, NodeMetrics
from peerscope.sources.base import Reading
from peerscope.sources.endpoint import OPTIONS, Endpoint
from peerscope.sources.neighbours import is_address, is_overlay_id, refusing
from peerscope.sources.place import parse_place

DEFAULT = "http://127.0.0.1:8500"
TOKEN_HEADER = "#header=X-Consul-Token&token_file=PATH"
ALIVE, LEAVING, LEFT, FAILED = 1, 2, 3, 4
"""States of Serf, in `Status`."""
RTT_US_MAX = 600_000_000
Answer = TypeVar("Answer")
Word = Annotated[str, Meta(max_length=400)]


class CoordinateVector(Struct, frozen=True, rename="pascal"):
    """A place in the space of round trips, in seconds."""

    vec: Annotated[tuple[float, ...], Meta(max_length=64)]
    height: float = 0.0
    adjustment: float = 0.0


class NodeCoordinate(Struct, frozen=True, rename="pascal"):
    """The coordinate of one node; in Consul Enterprise one for each of its segments."""

    node: str
    coord: CoordinateVector
    segment: str = ""


class ConsulMember(Struct, frozen=True, rename="pascal"):
    """One agent, as this one sees it. It chose these texts itself."""

    name: str
    addr: str = ""
    port: Annotated[int, Meta(ge=0, le=65535)] = 0
    status: int = 0
    tags: dict[str, str] = {}

    @property
    def id(self) -> str:
        """Its id; agents before 0.7.3 have only a name."""
        return self.tags.get("id") or self.name


class ConsulConfig(Struct, frozen=True, rename={"node_name": "NodeName", "node_id": "NodeID", "is_server": "Server"}):
    """The stable part of an agent's settings."""

    node_name: Word = ""
    node_id: Word = ""
    is_server: bool = False
    datacenter: Word = field(name="Datacenter", default="")
    version: Word = field(name="Version", default="")


class ConsulSelf(Struct, frozen=True, rename="pascal"):
    """Answer to `/v1/agent/self`."""

    config: ConsulConfig
    member: ConsulMember


class ConsulSource:
    """One agent."""

    def __init__(self, argument: str = "") -> None:
        """`argument`: URL of the agent with options; empty for that of this machine. Raises `ConfigError`."""
        place = parse_place(argument, OPTIONS)
        self._endpoint = Endpoint(replace(place, address=place.address or DEFAULT), DEFAULT, login=TOKEN_HEADER)

    async def read(self) -> Reading:
        """Ask the agent. Raises `SourceError`."""
        me = self._endpoint.json("/v1/agent/self", ConsulSelf)
        members = self._endpoint.json("/v1/agent/members", tuple[ConsulMember, ...])
        # `stale`: any server may answer, so the leader is spared.
        coordinates = self._known("/v1/coordinate/nodes?stale", tuple[NodeCoordinate, ...])
        return reading(me, members, coordinates or (), self._known("/v1/status/leader", str))

    async def close(self) -> None:
        """Nothing stays open: each request has a connection of its own."""

    def _known(self, path: str, kind: type[Answer]) -> Answer | None:
        """An answer that the agent may not have: without a leader, or without a right."""
        try:
            return self._endpoint.json(path, kind)
        except SourceError:
            return None


def reading(
    me: ConsulSelf, members: Sequence[ConsulMember], coordinates: Sequence[NodeCoordinate], leader: str | None
) -> Reading:
    """One reading from the answers. `leader`: address of the leader, "" where there is none, None where unknown."""
    others = [member for member in members if member.id != me.member.id and member.id]
    alive = sorted({member.id: member for member in others if member.status == ALIVE}.values(), key=lambda one: one.id)
    segment = me.member.tags.get("segment", "")
    known = {one.node: one.coord for one in coordinates if one.segment == segment}
    mine = known.get(me.config.node_name or me.member.name)
    named = [one for one in alive if is_overlay_id(one.id)]
    rtts_s = {one.id: rtt_s for one in named if (rtt_s := round_trip_s(mine, known.get(one.name))) is not None}
    measures = [
        Measure("members_alive", len(alive) + 1),
        Measure("members_failed", sum(member.status == FAILED for member in others)),
    ]
    if leader is not None:
        measures.append(Measure("has_leader", int(bool(leader))))
    return Reading(
        node="consul",
        node_id=printable(me.config.node_id or me.member.id)[:80] or None,
        version=printable(me.config.version)[:64] or None,
        metrics=NodeMetrics(p2p_peers=len(alive)),
        overlay=tuple(
            OverlayLink(one.id, min(RTT_US_MAX, round(rtts_s[one.id] * 1e6)) if one.id in rtts_s else None)
            for one in named[:OVERLAY_MAX]
        ),
        measures=tuple(measures),
        addresses=(address,) if is_address(address := join_address(me.member.addr, me.member.port)) else (),
        details=refusing(
            {
                "datacenter": printable(me.config.datacenter)[:64],
                "role": "server" if me.config.is_server else "client",
                "members_left": float(sum(member.status == LEFT for member in others)),
                "members_leaving": float(sum(member.status == LEAVING for member in others)),
                "leader": printable(leader or "")[:64] or None,
            },
            len(alive) - len(named),
        ),
    )


def round_trip_s(one: CoordinateVector | None, other: CoordinateVector | None) -> float | None:
    """Estimated round trip of two nodes (Consul's documentation, "Network Coordinates"); None where unknown."""
    if one is None or other is None or len(one.vec) != len(other.vec):
        return None
    plain = dist(one.vec, other.vec) + one.height + other.height
    adjusted = plain + one.adjustment + other.adjustment
    found = adjusted if adjusted > 0 else plain
    return found if isfinite(found) and 0 <= found < RTT_US_MAX / 1e6 else None
