"""All detections of one peer: activity of its node and records of all peers go in, findings come out.

Own findings come from the monitored node, from this peer's links, and from records that others send it. Network
findings come from the ledger. Every peer can compute them, but only aggregators state them, so that one attack is one
alert. No record of another peer raises an exception here.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Annotated

from msgspec import Meta, Struct
from msgspec.structs import replace

from peerscope.errors import ConfigError
from peerscope.records.identity import PEER_ID_BYTES, PeerId
from peerscope.records.measures import Metrics
from peerscope.threats.activity import Activity
from peerscope.threats.anomalies import Anomalies, network_anomaly
from peerscope.threats.blocks import BlockList, bad_links, checked, shared_by
from peerscope.threats.chance import exceeded
from peerscope.threats.common_cause import OthersTraffic
from peerscope.threats.detections import Detections
from peerscope.threats.eclipse import eclipsed
from peerscope.threats.equivocation import Accusations, equivocations
from peerscope.threats.findings import EVIDENCE_MAX, TEXT_MAX, Finding, finding, gravest, placed, plain
from peerscope.threats.keys import Keys
from peerscope.threats.peer_ages import PeerAges
from peerscope.threats.remotes import WINDOW_S as REMOTE_WINDOW_S
from peerscope.threats.remotes import Remotes
from peerscope.threats.signatures import Signature, Signatures
from peerscope.threats.sybil import Sybils
from peerscope.views.snapshot import Snapshot

REMOTES_MAX = 1024
REMOTE_STANDS_S = 600.0
"""How long a connection with a listed address is reported."""
REFUSALS = {"forged": "forged", "replayed": "replayed"}
"""Reasons why records of others are refused, with their counter."""


class ThreatConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of detections and of the block list."""

    enabled: bool = True
    signatures_file: str = ""
    """TOML, laid over the shipped signatures; read again on SIGHUP."""
    blocked: tuple[str, ...] = ()
    """Ids of peers (16 hex digits or more), addresses, prefixes."""
    share: bool = False
    """Publish `blocked` for peers that trust this one."""
    trust: tuple[str, ...] = ()
    """Full ids of peers whose published lists count here too."""
    interval_s: Annotated[float, Meta(ge=0.1, le=60.0)] = 5.0
    """Time between two evaluations."""

    def __post_init__(self) -> None:
        checked(self.blocked, "threats.blocked")
        for name in self.trust:
            try:
                is_id = len(bytes.fromhex(name)) == PEER_ID_BYTES
            except ValueError:
                is_id = False
            if not is_id:
                raise ConfigError(
                    f"threats.trust has {name!r}; must be a peer's full id, {PEER_ID_BYTES * 2} hex digits"
                )

    @property
    def trusted(self) -> tuple[PeerId, ...]:
        """Peers whose lists count."""
        return tuple(PeerId(bytes.fromhex(name)) for name in self.trust)


class Threats:
    """All detections, over time."""

    def __init__(self, config: ThreatConfig, signatures: Signatures, me: PeerId, now: float) -> None:
        self.activity = Activity(now)
        """Counts the activity of the node."""
        self.remotes = Remotes()
        """Counts new connections by remote."""
        self.others = OthersTraffic()
        """Traffic of the other peers' nodes."""
        self.keys = Keys()
        """Nodes nearest to each key, from lookups."""
        self.anomalies = Anomalies()
        """The anomaly rate of this peer."""
        self.signatures = signatures
        self._config = config
        self._me = me
        self._detections = Detections(signatures, now)
        self._peer_ages = PeerAges(now)
        self._sybils = Sybils()
        self._accusations = Accusations()
        self._blocks = BlockList(config.blocked)
        self._remotes: OrderedDict[str, float] = OrderedDict()
        self._refused: dict[str, int] = {}
        self._since: dict[str, float] = {}
        """Unix seconds at which each current finding was first seen."""

    def use(self, signatures: Signatures) -> None:
        """Use these signatures from now on."""
        self.signatures = signatures
        self._detections.use(signatures)

    # -- what happens ------------------------------------------------------------------------------

    def connection(self, remote: str, *, opened: bool, now: float) -> None:
        """The node opened or closed a connection with an id or an address."""
        self.activity.count(now, **{"opened" if opened else "closed": 1})
        if opened:
            self.remotes.opened(remote, now)
        if opened and self._blocks.match(remote) is not None:
            self._remotes[remote] = now
            self._remotes.move_to_end(remote)
            while len(self._remotes) > REMOTES_MAX:
                self._remotes.popitem(last=False)

    def lookup(self, values: Sequence[str] | None, consistent: bool | None, now: float) -> None:
        """The node looked up a key. `consistent`: whether all answers were equal; None to compare the values."""
        is_consistent = consistent if consistent is not None else len(set(values)) == 1 if values else None
        self.activity.count(now, lookups=1, judged=is_consistent is not None, inconsistent=is_consistent is False)

    def refused(self, counts: Mapping[str, int], now: float) -> None:
        """Count refused records of others: totals so far, by reason."""
        for reason, name in REFUSALS.items():
            count = counts.get(reason, 0)
            self.activity.count(now, **{name: count - self._refused.get(reason, count)})
            self._refused[reason] = count

    def measured(self, metrics: Metrics, wall: float) -> None:
        """Add this peer's own metrics."""
        self.anomalies.measure(metrics, wall)

    # -- what follows ------------------------------------------------------------------------------

    def update(self, snapshot: Snapshot, now: float, *, is_aggregator: bool) -> tuple[Finding, ...]:
        """All findings now; network findings only if `is_aggregator`."""
        found = self.own(snapshot, now)
        self._peer_ages.update(snapshot)
        if is_aggregator:
            found += self.network(snapshot)
        kept = gravest({one.id: one for one in found}.values())
        self._since = {one.id: self._since.get(one.id, snapshot.wall) for one in kept}
        return tuple(placed(one, at=self._since[one.id], region=_region(snapshot, one)) for one in kept)

    def own(self, snapshot: Snapshot, now: float) -> list[Finding]:
        """Findings about this peer and its node."""
        self.others.note(snapshot)
        found = [self._compared(one) for one in self._detections.find(self.activity, self._me, now)]
        for signature in self.signatures.of("connections_by_remote"):
            found += self._remote_floods(signature, now)
        for signature in self.signatures.of("key_divergence"):
            found += self.keys.find(signature, now)
        for signature in self.signatures.of("anomaly_ratio"):
            found += self.anomalies.find(signature, self._me)
        self._blocks = BlockList(self._config.blocked, shared_by(snapshot, self._config.trusted))
        for remote, at in list(self._remotes.items()):
            if now - at > REMOTE_STANDS_S:
                del self._remotes[remote]
        for signature in self.signatures.of("blocked_links"):
            found += bad_links(snapshot, self._blocks, self._remotes, signature)
        return found

    def _compared(self, one: Finding) -> Finding:
        """The finding; less severe if the traffic of most other nodes rose like ours."""
        signature = self.signatures[one.detection]
        if signature.signal != "throughput_bytes_s" or signature.times is None:
            return one
        rise = self.others.rise(signature.times)
        if not rise.is_common:
            return one
        where = f"{rise.risen} of {rise.of} other nodes"
        kept = [pair for pair in one.evidence if pair[0] != "deviations"]  # a statement has room for six
        text, evidence = plain(f"{one.text}; so do {where}", TEXT_MAX), (*kept, ("common", where))
        return replace(one, severity="low", text=text, evidence=evidence[:EVIDENCE_MAX])

    def _remote_floods(self, signature: Signature, now: float) -> list[Finding]:
        busiest = self.remotes.busiest(now)
        reached = None if busiest is None else signature.grade(busiest.opened)
        if busiest is None or reached is None:
            return []
        severity, limit = reached
        evidence = (
            *(("value", busiest.opened), ("limit", f"{limit:g}"), ("window_s", f"{REMOTE_WINDOW_S:g}")),
            *(("remote", busiest.remote), ("of", busiest.of)),
        )
        text = f"{busiest.remote} opened {busiest.opened} of {busiest.of} new connections in a minute"
        sure = exceeded(busiest.opened, limit)
        return [finding(signature, self._me, severity=severity, confidence=sure, text=text, evidence=evidence)]

    def network(self, snapshot: Snapshot) -> list[Finding]:
        """Findings from the records of all peers."""
        members = self._peer_ages.members(snapshot)
        found: list[Finding] = []
        for signature in self.signatures.of("sybil"):
            found += self._sybils.find(members, signature, snapshot.now)
        for signature in self.signatures.of("eclipse"):
            found += eclipsed(snapshot, members, signature)
        for signature in self.signatures.of("false_accusation"):
            found += self._accusations.find(snapshot, signature)
        for signature in self.signatures.of("equivocation"):
            found += equivocations(snapshot, signature)
        for signature in self.signatures.of("anomaly_ratio"):
            found += network_anomaly(snapshot, signature)
        return found


def _region(snapshot: Snapshot, one: Finding) -> str | None:
    peer = PeerId(bytes.fromhex(one.peer_id)) if one.peer_id else None
    place = snapshot.places.get(peer) if peer is not None else None
    return place.region if place else None
