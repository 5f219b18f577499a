"""The shared state of a peer by itself, for tests of single parts."""

from random import Random

from peerscope.mesh.config import PeerConfig
from peerscope.mesh.parts import new_state
from peerscope.mesh.peer_state import Clocks, PeerState
from peerscope.records.identity import PeerId


class Named:
    """A signer that never signs."""

    def __init__(self, peer_id: PeerId) -> None:
        self.peer_id = peer_id

    def sign(self, data: bytes) -> bytes:
        raise AssertionError("nothing is signed here")


def state_of(me: PeerId, config: PeerConfig | None = None) -> PeerState:
    """A peer that knows nobody, whose wall clock is its monotonic one."""
    return new_state(Named(me), config or PeerConfig(), Random(1), Clocks(0.0, 0.0))
