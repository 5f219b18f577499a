"""How long a push was on its way, hop by hop, though no two clocks agree.

Each sender stamps a push with its own wall clock, and each receiver knows from pings how far that clock is ahead of its
own: the difference is what the hop took, waiting in queues and for retransmissions included. The offset is found by
halving round trips, as in NTP (RFC 5905, section 8), so a hop is off by half of what its two directions differ; what
one direction gains the other loses. What receivers found travels along, so the last one knows every hop.
"""

from __future__ import annotations

from peerscope.mesh.messages import PATH_MAX, Push
from peerscope.records.identity import PeerId, PeerRef, ref

HOP_US_MAX = 600_000_000
"""A hop that seems longer is a clock that was set."""


def hop_us(sent_us: int | None, received_us: int, ahead_s: float | None) -> int | None:
    """Microseconds from the sender's stamp to our own clock, 0 at least; None where that cannot be known.

    `ahead_s`: how far the sender's clock is ahead of ours.
    """
    if sent_us is None or ahead_s is None:
        return None
    took_us = received_us - sent_us + round(ahead_s * 1e6)
    return max(0, took_us) if took_us <= HOP_US_MAX else None


def with_last_hop(push: Push, received_us: int, ahead_s: float | None) -> tuple[int | None, ...]:
    """Every hop of a push that arrived, the one to us included: as many as its path has peers.

    A peer of an older version passes nothing of this on; the hops before it are unknown.
    """
    told = push.hops_us if len(push.hops_us) == len(push.path) - 1 else (None,) * (len(push.path) - 1)
    return (*told, hop_us(push.sent_us, received_us, ahead_s))


def whole_path(push: Push, source: PeerId, me: PeerId) -> tuple[PeerRef, ...]:
    """From the origin to us; empty if the push does not tell the whole of a path that ends with its sender."""
    path = push.path
    if not path or len(path) == PATH_MAX or path[0] != ref(push.record.peer_id) or path[-1] != ref(source):
        return ()
    return (*(PeerRef(one) for one in path), ref(me))
