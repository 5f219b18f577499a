"""What the live feed has told of the network: the last snapshot, and every delta laid upon it."""

from __future__ import annotations

from typing import Any


class Gap(Exception):
    """A delta is missing: only a new snapshot can tell what the network looks like."""


class NetworkSummary:
    """One peer's view, as far as its feed tells."""

    def __init__(self) -> None:
        self.seq: int | None = None
        """Of the last message; None before the first."""
        self.timestamp = 0.0
        """Unix seconds of the last message, by the agent's clock."""
        self.facts: dict[str, Any] = {}
        """What is told as a whole: self, health, verdicts, regions, trends, trouble, map."""
        self.peers: dict[str, dict[str, Any]] = {}
        self.alerts: dict[str, dict[str, Any]] = {}

    def take(self, message: dict[str, Any]) -> None:
        """Lay one message upon what is known. Raises `Gap`; what is known then stays as it was."""
        kind, seq, data = message["type"], message["seq"], message["data"]
        if kind == "snapshot":
            self.facts, self.peers, self.alerts = {}, {}, {}
        elif kind != "delta":
            return  # a newer agent's business
        elif self.seq is None or seq != self.seq + 1:
            raise Gap(f"expected message {None if self.seq is None else self.seq + 1}, got {seq}")
        self.seq, self.timestamp = seq, message["timestamp"]
        for name in data.get("gone", ()):
            self.peers.pop(name, None)
        for name in data.get("alerts_gone", ()):
            self.alerts.pop(name, None)
        self.peers |= {peer["peer_id"]: peer for peer in data["peers"]}
        self.alerts |= {alert["id"]: alert for alert in data["alerts"]}
        lists = ("peers", "alerts", "links", "gone", "alerts_gone", "links_gone")
        self.facts |= {name: value for name, value in data.items() if name not in lists}
