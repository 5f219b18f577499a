"""Rendezvous hashing: all peers agree on an order of candidates without a message (Thaler and Ravishankar 1998).

Every candidate has a weight under a key. Another key gives another order, and a candidate that goes moves nobody else.
"""

from __future__ import annotations

from hashlib import blake2b

from peerscope.records.identity import PeerId


def weight(key: str, peer: PeerId, size_bytes: int = 8) -> bytes:
    """Weigh the peer under the key. Peers that compare weights use one size: shorter ones are not their beginning."""
    return blake2b(key.encode() + b"\0" + peer, digest_size=size_bytes).digest()
