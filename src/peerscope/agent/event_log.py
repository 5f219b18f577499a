"""Effects of the core as JSON events, for the feed and the log."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from typing import Any

from msgspec.structs import asdict

from peerscope.alerts.messages import Answered
from peerscope.alerts.monitor import AlertChanged, IncidentChanged
from peerscope.core import Effect, LookFailed
from peerscope.host.failures import FailureLog
from peerscope.mesh.events import KeyShared, LinkChanged
from peerscope.records.bodies import OtherLife
from peerscope.records.identity import short
from peerscope.threats.monitor import BlockListEnded
from peerscope.views.changes import RegionChange, VerdictChange
from peerscope.views.news import PeerForgotten, StatusChanged

NEW_IDENTITY = "stop the agent on the copy, and run there: peerscope init --new-identity --state DIR"
"""The remedy where two agents run with one key."""

ALERT_FIELDS = (
    *("id", "type", "rule", "severity", "state", "title", "description", "peer_id", "region"),
    *("started_at", "resolved_at", "flapping", "incident"),
)
INCIDENT_FIELDS = (
    *("id", "kind", "severity", "state", "title", "description", "peers"),
    *("root", "confidence", "started_at", "ended_at"),
)

log = logging.getLogger(__name__)

Listener = Callable[[dict[str, Any]], None]


class EventLog:
    """Hands events to listeners."""

    def __init__(self, failure_log: FailureLog) -> None:
        """`failure_log`: counts looks and listeners that fail."""
        self._failure_log = failure_log
        self._listeners: list[Listener] = []

    def listen(self, listener: Listener) -> None:
        """Call with every event: {"event": ..., "at": Unix seconds, ...}."""
        self._listeners.append(listener)

    def send(self, event: str, **values: object) -> None:
        """Give every listener one event."""
        message = {"event": event, "at": time.time(), **values}
        for listener in self._listeners:
            with self._failure_log.at("a listener to events"):
                listener(message)

    def note(self, effect: Effect) -> None:
        """Report an effect of the core."""
        match effect:
            case LinkChanged(peer, up, reason):
                self.send("link", peer_id=peer.hex(), up=up, reason=reason)
            case VerdictChange():
                self.send("verdict", **_verdict(effect))
            case StatusChanged(peer, status):
                self.send("status", peer_id=peer.hex(), status=status)
            case PeerForgotten(peer, status):
                self.send("forgotten", peer_id=peer.hex(), status=status)
            case RegionChange():
                self.send("region", **asdict(effect))
            case AlertChanged(alert):
                self.send("alert", **{name: getattr(alert, name) for name in ALERT_FIELDS})
            case IncidentChanged(incident):
                fields = {name: getattr(incident, name) for name in INCIDENT_FIELDS}
                self.send("incident", **{**fields, "peers": len(incident.peers)})
            case Answered(message, is_delivered):
                result = "delivered" if is_delivered else "failed"
                key = message.group.key
                self.send("notification", key=key, what=message.what, reason=message.reason, result=result)
            case KeyShared(others):
                self._note_sharers(others)
            case BlockListEnded(author, entries):
                log.warning(
                    "the block list of peer %s counts no more (%d entries): its author was not heard of for too long",
                    short(author),
                    entries,
                )
            case LookFailed(name, error):
                self._failure_log.failed(name, error)
            case _:
                pass

    def _note_sharers(self, others: Sequence[OtherLife]) -> None:
        places = [{"addresses": one.addresses, "region": one.region} for one in others]
        self.send("shared-key", others=places)
        if others:
            where = "; ".join(", ".join(one.addresses) or "an unknown address" for one in others)
            log.error("another agent runs with this peer's key, at %s: %s", where, NEW_IDENTITY)
        else:
            log.warning("no other agent runs with this peer's key any more")


def _verdict(change: VerdictChange) -> dict[str, object]:
    fields = asdict(change)
    return {"peer_id": fields.pop("peer").hex(), **fields, "verdict": change.verdict.value}
