"""Networks and alerts for tests of incidents: peers by number, times from `BEGAN`."""

from collections.abc import Iterable, Sequence
from hashlib import blake2b
from random import Random

from peerscope.alerts.context import AGENT, Context
from peerscope.alerts.incident import Incident
from peerscope.alerts.incidents import correlate
from peerscope.alerts.model import Alert
from peerscope.mesh.membership.rings import Rings
from peerscope.records.identity import PeerId

BEGAN = 1_700_000_000.0
TYPES = {
    "region-critical": "region-critical",
    "cpu-high": "resource-exhaustion",
    "memory-high": "resource-exhaustion",
    "error-ratio": "performance-degradation",
    "link-latency": "high-latency",
    "clock-skew": "clock-skew",
    "peer-down": "peer-down",
    "low-connectivity": "network-partition",
}


def network(peers: int, *, regions: int = 5, versions: Sequence[str] = ("1.0",)) -> Context:
    """So many peers on rings, regions and versions in turn."""
    ids = [name(number) for number in range(peers)]
    rings = Rings(members=[PeerId(bytes.fromhex(peer)) for peer in ids])
    return Context(
        regions={peer: f"region-{number % regions + 1}" for number, peer in enumerate(ids)},
        versions={AGENT: {peer: versions[number // regions % len(versions)] for number, peer in enumerate(ids)}},
        links={peer: {other.hex(): 0.05 for other in rings.neighbours(PeerId(bytes.fromhex(peer)))} for peer in ids},
    )


def name(number: int) -> str:
    """Full id of a peer."""
    return blake2b(b"%d" % number, digest_size=32).hexdigest()


def alert(
    peer: int | str, at: float, rule: str = "cpu-high", *, until: float | None = None, unsure_s: float = 0.0
) -> Alert:
    """One alert that began so many seconds after `BEGAN`."""
    full = name(peer) if isinstance(peer, int) else peer
    return Alert(
        id=f"{rule}-{full[:16]}",
        type=TYPES[rule],
        rule=rule,
        severity="medium",
        title="",
        description="",
        peer_id=full,
        region=None,
        state="firing" if until is None else "resolved",
        started_at=BEGAN + at,
        resolved_at=None if until is None else BEGAN + until,
        uncertainty_s=unsure_s,
    )


def partition(subject: str, at: float, *, until: float | None = None) -> Alert:
    """An alert about a group."""
    return Alert(
        id=f"network-partition-{subject}",
        type="network-partition",
        rule="network-partition",
        severity="critical",
        title="",
        description="",
        peer_id=None,
        region=None,
        state="firing" if until is None else "resolved",
        started_at=BEGAN + at,
        resolved_at=None if until is None else BEGAN + until,
    )


def spread(around: Context, root: str, rng: Random, *, share: float, catching: float = 0.5) -> list[Alert]:
    """An overload that goes from peer to neighbour until so many have it."""
    most, reached, waiting = round(share * len(around.regions)), {root: 0.0}, [root]
    while waiting and len(reached) < most:
        peer = waiting.pop(0)
        for other in sorted(around.links[peer]):
            if other not in reached and rng.random() < catching and len(reached) < most:
                reached[other] = reached[peer] + 3.0 + rng.expovariate(1 / 15)
                waiting.append(other)
    return [alert(peer, at, unsure_s=0.5) for peer, at in reached.items()]


def incidents(alerts: Iterable[Alert], around: Context, *, at: float = 600.0) -> list[Incident]:
    """What they are, so many seconds after `BEGAN`."""
    return list(correlate(alerts, around, BEGAN + at))
