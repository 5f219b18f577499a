"""Facts that only the agent can see, as events for the core: the node beside this peer, its routes, its files."""

from __future__ import annotations

from peerscope.agent.traffic import Traffic
from peerscope.alerts.expiry import Expiry
from peerscope.alerts.own_signals import OwnFacts
from peerscope.core import Event
from peerscope.records.bodies import Status
from peerscope.records.measures import increases
from peerscope.sources.base import Reading
from peerscope.sources.events import Connection, Dht, Message
from peerscope.sources.events import Event as NodeEvent
from peerscope.sources.memory_kills import Kills, MemoryKills
from peerscope.sources.node import Node
from peerscope.sources.performance import comparable
from peerscope.threats.monitor import NodeActivity, NodeConnection, NodeLookup

ROUTES_INTERVAL_S = 10.0
"""Routes are folded when somebody asks, and keep an hour: no need to ask more often."""
ROUTE_MESSAGES_MIN = 20
"""With fewer messages the slowest in twenty says nothing."""
KILLS_INTERVAL_S = 5.0
COUNTED = ("messages", "errors", "received_bytes", "sent_bytes", "dht_lookups", "dht_puts")


def node_event(event: NodeEvent) -> Event | None:
    """An event of the node's telemetry, for the detections; None for one that they do not look at."""
    match event:
        case Message(_, size_bytes, error):
            return NodeActivity({"messages": 1, "bytes": size_bytes, "errors": error})
        case Connection("opened" | "closed" as what, remote):
            return NodeConnection(remote, what == "opened")
        case Dht("put"):
            return NodeActivity({"puts": 1})
        case Dht("lookup", key, values, consistent, closest):
            return NodeLookup(key, values, consistent, closest)
    return None


class FactReader:
    """Reads what changes in the agent."""

    def __init__(self, node: Node, traffic: Traffic, memory_kills: MemoryKills | None = None) -> None:
        self._node = node
        self._memory_kills = memory_kills
        self._kills_at = 0.0
        self._kills: Kills | None = None
        self._traffic = traffic
        self._routes_at = 0.0
        self._facts = OwnFacts()
        self._counted: Reading | None = None
        """The counters of the last look."""

    def facts(self, now: float, trouble: str | None, files: tuple[Expiry, ...], export: str | None) -> list[Event]:
        """One event where something differs from the last call."""
        routes, last = self._facts.routes, self._facts
        if now >= self._routes_at + ROUTES_INTERVAL_S:
            self._routes_at = now
            routes = tuple(
                (route.route, route.p95_s)
                for route in self._traffic.routes("region")
                if route.p95_s is not None and route.measured >= ROUTE_MESSAGES_MIN
            )
        if self._memory_kills is not None and now >= self._kills_at + KILLS_INTERVAL_S:
            self._kills_at, check = now, self._node.check()
            is_node_down = check is not None and check.status == Status.UNHEALTHY
            self._kills = self._memory_kills.look(now, is_node_down=is_node_down)
        count, text = (self._kills.count, self._kills.text) if self._kills else (None, "")
        self._facts = OwnFacts(routes, trouble, files, export, count, text)
        return [] if self._facts == last else [self._facts]

    def node(self) -> list[Event]:
        """Activity of a node by the sums of its sources. Kinds of which it sends events are counted with each event."""
        before, self._counted = self._counted, self._node.current()
        reading = self._counted
        if before is None or reading is None or before is reading:
            return []
        old = comparable(before, reading)
        grown = increases([getattr(old, n) for n in COUNTED], [getattr(reading.metrics, n) for n in COUNTED])
        messages, errors, received, sent, lookups, puts = (amount or 0 for amount in grown)
        counts: dict[str, float] = {}
        if not self._node.telemetry.received["message"]:
            counts |= {"messages": messages, "errors": errors, "bytes": received + sent}
        if not self._node.telemetry.received["dht"]:
            counts |= {"lookups": lookups, "puts": puts}
        return [NodeActivity(counts)] if counts else []
