"""Attacks by identities: many from few prefixes, and those ground to surround one victim."""

from __future__ import annotations

from hashlib import blake2b
from random import Random

from peerscope.mesh.membership.rings import Rings
from peerscope.records.identity import PeerId
from peerscope.sim.node import make_signer

TRIES_MAX = 20_000
JOIN_OVER_S = 30.0
"""An attacker's identities start within so long."""


def surrounding(rings: Rings, victim: PeerId, count: int, rng: Random, *, signed: bool) -> list[bytes]:
    """Secrets of keys that together become `count` of the victim's neighbours, found by trying.

    An attacker does the same: on rings of n peers, about one key in n / 8 lies beside the victim somewhere.
    """
    placed, own = Rings(members=rings.members()), set[PeerId]()
    secrets: list[bytes] = []
    for number in range(TRIES_MAX):
        if len(secrets) == count:
            break
        secret = blake2b(rng.randbytes(16) + number.to_bytes(4, "big"), digest_size=32).digest()
        peer = make_signer(secret, signed=signed).peer_id
        placed.add(peer)
        if own | {peer} <= placed.neighbours(victim):
            own.add(peer)
            secrets.append(secret)
        else:
            placed.remove(peer)
    return secrets
