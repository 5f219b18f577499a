"""What a peer knows of itself, for the rules about itself: read fresh, not from its last report."""

from __future__ import annotations

from statistics import median

from msgspec import Struct

from peerscope.alerts.expiry import Expiry
from peerscope.mesh.peer import Peer
from peerscope.records.bodies import Check
from peerscope.records.certificates import Certificate
from peerscope.records.measures import Metrics


class OwnFacts(Struct, frozen=True):
    """What the agent alone can see of itself; an event for the core."""

    routes: tuple[tuple[str, float], ...] = ()
    """Routes with enough messages, and the 95th percentile of their seconds."""
    trouble: str | None = None
    """Why the history cannot be written, while that is so."""
    files: tuple[Expiry, ...] = ()
    """Files of this agent that have an end: the dashboard's certificate."""
    export_trouble: str | None = None
    """Why the receiver of remote write does not take samples, while that is so."""


class Own(Struct, frozen=True):
    """This peer, now. What nobody measured is None."""

    checks: tuple[Check, ...] = ()
    """cpu, memory, storage and network, as last measured."""
    metrics: Metrics = Metrics()
    linked: int = 0
    """Peers to which a link is up."""
    rtt_s: float | None = None
    """Median round trip of these links."""
    routes: tuple[tuple[str, float], ...] = ()
    """Routes with enough messages, and the 95th percentile of their seconds."""
    trouble: str | None = None
    """Why the history cannot be written, while that is so."""
    certificate: Certificate | None = None
    """Our own, where we have one."""
    lapsed: tuple[Certificate, ...] = ()
    """Of members that we dropped at their end."""
    files: tuple[Expiry, ...] = ()
    """Files of this agent that have an end: the dashboard's certificate."""
    export_trouble: str | None = None
    """Why the receiver of remote write does not take samples, while that is so."""


def own_state(peer: Peer, facts: OwnFacts) -> Own:
    """What the protocol knows of this peer, with what the agent sees."""
    checks, metrics = peer.reporter.latest
    up = [link for link in peer.prober.links.values() if link.is_up]
    rtts_s = [rtt_s for link in up if (rtt_s := link.rtt.smoothed_s) is not None]
    return Own(
        checks=checks,
        metrics=metrics or Metrics(),
        linked=len(up),
        rtt_s=median(rtts_s) if rtts_s else None,
        routes=facts.routes,
        trouble=facts.trouble,
        certificate=peer.admission.certificate,
        lapsed=peer.admission.lapsed.certificates,
        files=facts.files,
        export_trouble=facts.export_trouble,
    )
