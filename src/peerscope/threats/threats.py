"""All detections of one peer: what its node does and what everybody says go in, findings come out.

Own findings come from the node beside us, from this peer's own links, and from what others send it. Network findings
come from the ledger; every peer can work them out, but only aggregators state them, so that one attack is not told by
everybody. Nothing here raises for what others said.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Annotated

from msgspec import Meta, Struct

from peerscope.errors import ConfigError
from peerscope.records.identity import PEER_ID_BYTES, PeerId
from peerscope.records.measures import Metrics
from peerscope.threats.activity import Activity
from peerscope.threats.anomalies import Anomalies, network_anomaly
from peerscope.threats.blocks import BlockList, bad_links, checked, shared_by
from peerscope.threats.detections import Detections
from peerscope.threats.eclipse import eclipsed
from peerscope.threats.equivocation import Accusations, equivocations
from peerscope.threats.findings import Finding, gravest, placed
from peerscope.threats.keys import Keys
from peerscope.threats.peer_ages import PeerAges
from peerscope.threats.signatures import Signatures
from peerscope.threats.sybil import Sybils
from peerscope.views.snapshot import Snapshot

REMOTES_MAX = 1024
REMOTE_STANDS_S = 600.0
"""How long a connection with somebody who is listed is told."""
REFUSALS = {"forged": "forged", "replayed": "replayed"}
"""Reasons under which records of others are refused, and what they are counted as."""


class ThreatConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What to look for, and whom not to be linked with."""

    enabled: bool = True
    signatures_file: str = ""
    """TOML, laid over the shipped signatures; read again on SIGHUP."""
    blocked: tuple[str, ...] = ()
    """Ids of peers (16 hex digits or more), addresses, prefixes."""
    share: bool = False
    """Publish `blocked`, for those who trust this peer."""
    trust: tuple[str, ...] = ()
    """Full ids of peers whose published lists count here too."""
    interval_s: Annotated[float, Meta(ge=0.1, le=60.0)] = 5.0
    """Between looks."""

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
        """Whose lists count."""
        return tuple(PeerId(bytes.fromhex(name)) for name in self.trust)


class Threats:
    """Every detection, over time."""

    def __init__(self, config: ThreatConfig, signatures: Signatures, me: PeerId, now: float) -> None:
        self.activity = Activity(now)
        """What the node does; whoever hears it counts here."""
        self.keys = Keys()
        """What lookups told of the nodes nearest to a key."""
        self.anomalies = Anomalies()
        """How unlike its past this peer is."""
        self.signatures = signatures
        self._config = config
        self._me = me
        self._detections = Detections(signatures, now)
        self._acquaintance = PeerAges(now)
        self._sybils = Sybils()
        self._accusations = Accusations()
        self._blocks = BlockList(config.blocked)
        self._remotes: OrderedDict[str, float] = OrderedDict()
        self._refused: dict[str, int] = {}
        self._since: dict[str, float] = {}
        """When each finding that stands was first seen, by wall clock."""

    def use(self, signatures: Signatures) -> None:
        """Look for these from now on."""
        self.signatures = signatures
        self._detections.use(signatures)

    # -- what happens ------------------------------------------------------------------------------

    def connection(self, remote: str, *, opened: bool, now: float) -> None:
        """The node has, or no longer has, a connection with an id or an address."""
        self.activity.count(now, **{"opened" if opened else "closed": 1})
        if opened and self._blocks.match(remote) is not None:
            self._remotes[remote] = now
            self._remotes.move_to_end(remote)
            while len(self._remotes) > REMOTES_MAX:
                self._remotes.popitem(last=False)

    def lookup(self, values: Sequence[str] | None, consistent: bool | None, now: float) -> None:
        """The node looked a key up. `consistent`: whether all said the same; None where the values must tell."""
        is_consistent = consistent if consistent is not None else len(set(values)) == 1 if values else None
        self.activity.count(now, lookups=1, judged=is_consistent is not None, inconsistent=is_consistent is False)

    def refused(self, counts: Mapping[str, int], now: float) -> None:
        """How many records of others were refused so far, by reason."""
        for reason, name in REFUSALS.items():
            count = counts.get(reason, 0)
            self.activity.count(now, **{name: count - self._refused.get(reason, count)})
            self._refused[reason] = count

    def measured(self, metrics: Metrics, wall: float) -> None:
        """What this peer measured of itself."""
        self.anomalies.measure(metrics, wall)

    # -- what follows ------------------------------------------------------------------------------

    def update(self, snapshot: Snapshot, now: float, *, is_aggregator: bool) -> tuple[Finding, ...]:
        """Everything found now; what the network's records show only where `is_aggregator`."""
        found = self.own(snapshot, now)
        self._acquaintance.greet(snapshot)
        if is_aggregator:
            found += self.network(snapshot)
        kept = gravest({one.id: one for one in found}.values())
        self._since = {one.id: self._since.get(one.id, snapshot.wall) for one in kept}
        return tuple(placed(one, at=self._since[one.id], region=_region(snapshot, one)) for one in kept)

    def own(self, snapshot: Snapshot, now: float) -> list[Finding]:
        """What concerns this peer and the node beside it."""
        found = self._detections.find(self.activity, self._me, now)
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

    def network(self, snapshot: Snapshot) -> list[Finding]:
        """What the records of all peers show."""
        members = self._acquaintance.members(snapshot)
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
