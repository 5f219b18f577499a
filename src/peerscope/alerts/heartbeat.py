"""A heartbeat to somebody outside: exactly one notifier sends it while the network is whole, and nobody else.

A network cannot report that all its notifiers are gone. A service outside can: it expects a heartbeat and alarms when
none comes (a *dead man's switch*). Every peer with channels and a heartbeat URL is a candidate. All peers rank the
living candidates by the same rendezvous hash, and the first one sends. No message agrees on it: the role is in the
profile of a peer, and verdicts are there anyway. When the sender dies, the next one sends as soon as it is down.

A small rest of the network must not calm anybody. So the sender counts peers first:

- If at least half of the peers that it knows and that have not left are living, the network counts as whole.
- Otherwise it sends nothing, or `fail` if the operator wants that. In a partition each side has at most one sender, and
  a side with less than half of the peers has none. With equal halves both send.
- A peer that should join others and has not met them yet is no network: it sends nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from math import inf
from typing import Literal

from msgspec import Struct

from peerscope.alerts.notification import NotificationGroup
from peerscope.alerts.notification_log import HEARTBEAT, NOTIFIER, ranked
from peerscope.alerts.silences import Trust
from peerscope.errors import ConfigError
from peerscope.mesh.detection.verdicts import Verdict
from peerscope.records.alerts import Severity
from peerscope.records.identity import PeerId
from peerscope.views.snapshot import Snapshot

Signal = Literal["ok", "start", "fail"]
KEY = "heartbeat"
SETTLE_S = 10.0
"""Wait after the start, until sync has brought the other peers."""
INCIDENTS_MAX = 10


class HeartbeatConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """When to send heartbeats."""

    interval_s: float = 60.0  # the shortest period of healthchecks.io
    """Between two heartbeats. A sender that dies is replaced within two intervals."""
    start: bool = False
    """Whether a peer that becomes the sender first says so, at the URL with `/start`."""
    fail: bool = False
    """Whether to send to the URL with `/fail` while less than half of the peers live. Otherwise nothing is sent."""

    def __post_init__(self) -> None:
        if not 5 <= self.interval_s <= 86_400:
            raise ConfigError(f"notify.heartbeat.interval_s is {self.interval_s}; must lie between 5 and 86400")

    @property
    def is_wanted(self) -> bool:
        """Whether this peer has somewhere to send them."""
        return True


class OpenIncident(Struct, frozen=True):
    """An open incident in a heartbeat."""

    id: str
    kind: str
    severity: str
    title: str


class HeartbeatState(Struct, frozen=True):
    """The network as its sender sees it."""

    peers: int
    """Those that have not left."""
    up: int
    down: int
    is_whole: bool
    senders: int
    """Living peers that can send heartbeats, this one included."""
    alerts: dict[str, int]
    """Firing alerts by severity."""
    incidents: tuple[OpenIncident, ...]
    """The gravest ones."""
    incidents_total: int


class Beat(Struct, frozen=True):
    """Send a heartbeat; an effect of the core."""

    signal: Signal
    state: HeartbeatState


class Heartbeat:
    """The heartbeats of one peer. Call `look` every second or so."""

    def __init__(self, me: PeerId, config: HeartbeatConfig | None, now: float) -> None:
        """`config`: None if this peer has no heartbeat."""
        self._me = me
        self._config = config if config is not None and config.is_wanted else None
        self._settled_at = now + SETTLE_S
        self._next_at = inf
        self.is_sender = False
        """Whether it is this peer's turn."""

    def look(
        self, snapshot: Snapshot, shown: Iterable[NotificationGroup], trusts: Trust, *, is_joining: bool
    ) -> list[Beat]:
        """The heartbeats to send now. `is_joining`: whether it should join peers and has met none of them."""
        config, now = self._config, snapshot.now
        if config is None or now < self._settled_at:
            return []
        senders = candidates(snapshot, trusts)
        was_sender, self.is_sender = self.is_sender, not is_joining and is_first(self._me, senders)
        if not self.is_sender:
            self._next_at = inf
            return []
        if not was_sender:
            self._next_at = now
        if now < self._next_at:
            return []
        late_s = now - self._next_at
        self._next_at = self._next_at + config.interval_s if late_s < config.interval_s else now + config.interval_s
        state = state_of(snapshot, shown, len(senders))
        if not state.is_whole:
            return [Beat("fail", state)] if config.fail else []
        return [*([Beat("start", state)] if config.start and not was_sender else []), Beat("ok", state)]


def candidates(snapshot: Snapshot, trusts: Trust = lambda _: True) -> list[PeerId]:
    """Living peers with channels and a heartbeat URL, the sender first."""
    found = [
        peer
        for peer in snapshot.peers
        if {NOTIFIER, HEARTBEAT} <= set(snapshot.profiles[peer].roles) and trusts(peer) and snapshot.is_living(peer)
    ]
    return ranked(KEY, found)


def is_first(me: PeerId, senders: list[PeerId]) -> bool:
    """Whether this peer sends. One whose URL fails gives the role up, but goes on if nobody else has it."""
    return not senders or senders[0] == me


def is_whole(up: int, peers: int) -> bool:
    """Whether so many living peers speak for the network."""
    return 2 * up >= peers


def state_of(snapshot: Snapshot, shown: Iterable[NotificationGroup], senders: int) -> HeartbeatState:
    """Count what a heartbeat says."""
    here = [peer for peer in snapshot.peers if snapshot.verdict(peer) is not Verdict.LEFT]
    up = sum(snapshot.is_living(peer) for peer in here)
    firing = [group for group in shown if group.state == "firing"]
    alerts = {alert.id: alert.severity for group in firing for alert in group.alerts if alert.state == "firing"}
    incidents = sorted(
        (group for group in firing if group.incident is not None),
        key=lambda group: (-Severity[group.severity.upper()], -group.started_at, group.key),
    )
    return HeartbeatState(
        peers=len(here),
        up=up,
        down=len(here) - up,
        is_whole=is_whole(up, len(here)),
        senders=max(1, senders),
        alerts=dict(Counter(alerts.values())),
        incidents=tuple(
            OpenIncident(group.key, group.incident or "", group.severity, group.title)
            for group in incidents[:INCIDENTS_MAX]
        ),
        incidents_total=len(incidents),
    )
