"""One virtual machine and the agent on it, which may crash, pause, or mean ill."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from hashlib import blake2b
from math import inf
from typing import Any, Protocol

from peerscope.core import Core, Effect
from peerscope.mesh import events as mesh
from peerscope.mesh.config import PeerConfig
from peerscope.mesh.crawling.crawler import Crawler
from peerscope.mesh.peer import Peer
from peerscope.records.bodies import Body, OverlayLink, Profile
from peerscope.records.hosts import HostTokens, host_key, host_token
from peerscope.records.identity import Identity, PeerId, Signer, Verifier
from peerscope.records.record import Inspector, Record, verify

Corruption = Callable[[Peer, list[mesh.Effect], float], list[mesh.Effect]]
"""Changes the effects of a byzantine peer before they leave."""
NODE = "node"
"""Program beside an agent, where there is one."""


class Process(Protocol):
    """A core, or a crawler in its place."""

    def handle(self, event: Any, now: float) -> Sequence[Effect]: ...
    def tick(self, now: float) -> Sequence[Effect]: ...
    def deadline(self) -> float: ...


class Machine:
    """Everything that stays when the process dies: the key, the place, the clock."""

    def __init__(
        self, signer: Signer, index: int, region: str, config: PeerConfig, skew_s: float, version: str = "sim"
    ) -> None:
        self.signer = signer
        self.machine = signer.peer_id
        """Name of the machine in the simulation: the peer's id, where it is not a copy of another machine."""
        self.index = index
        self.region = region
        self.config = config
        self.skew_s = skew_s
        self.address: str | None = None
        """Where it says it can be dialled; None for one that follows from its index."""
        self.version = version
        self.host: str | None = None
        """Name of the computer it runs on; None if its agent does not know."""
        self.node_id: str | None = None
        """Name of the node beside it; None without one."""
        self.node_address: str | None = None
        """Where the node says it is reached; None if it does not say, so nobody tries it."""
        self.node_listens = True
        self.closed_to: frozenset[str] = frozenset()
        """Regions whose connections to the node a firewall drops."""
        self.overlay: tuple[OverlayLink, ...] = ()
        """Neighbours of that node."""
        self.routes_through: tuple[str, ...] = ()
        """Nodes on which it depends."""
        self.core: Core | None = None
        self.crawler: Crawler | None = None
        """Runs in a peer's place on a machine that only looks at the network."""
        self.started_at = -inf
        self.life = 0
        """Counts starts; what was on its way to an earlier life does not arrive."""
        self.paused_until = -inf
        self.tick_at = inf
        self.corruption: Corruption | None = None

    @property
    def peer_id(self) -> PeerId:
        return self.signer.peer_id

    @property
    def peer(self) -> Peer | None:
        """The protocol that runs here now."""
        return None if self.core is None else self.core.peer

    @property
    def process(self) -> Process | None:
        """The core or the crawler that runs here now."""
        return self.crawler if self.core is None else self.core


def profile_of(machine: Machine) -> Profile:
    """The profile that the agent of a machine publishes, without time and address."""
    tokens = None
    if machine.host is not None:
        key = host_key(machine.config.network.secret, machine.config.network.name)
        tokens = HostTokens(host_token(key, "boot", machine.host), None, host_token(key, "network", machine.host))
    return Profile(
        (),
        machine.region,
        machine.version,
        0,
        node=None if machine.node_id is None else NODE,
        node_id=machine.node_id,
        host=tokens,
        node_addresses=() if machine.node_address is None else (machine.node_address,),
        dials=True,
    )


class CheapSigner:
    """A signer for large simulations: a keyed hash that everybody here can check, instead of Ed25519."""

    def __init__(self, secret: bytes) -> None:
        self._peer_id = PeerId(blake2b(secret, digest_size=32, person=b"sim key").digest())

    @property
    def peer_id(self) -> PeerId:
        return self._peer_id

    def sign(self, data: bytes) -> bytes:
        return cheap_signature(self._peer_id, data)


def cheap_signature(peer: PeerId, data: bytes) -> bytes:
    """Stands for a signature where nobody forges."""
    return blake2b(data, digest_size=64, key=peer).digest()


def verify_cheap(peer: PeerId, data: bytes, signature: bytes) -> bool:
    """The verifier that belongs to `CheapSigner`."""
    return cheap_signature(peer, data) == signature


def make_signer(secret: bytes, *, signed: bool) -> Signer:
    """A key of the kind this simulation uses."""
    return Identity(secret) if signed else CheapSigner(secret)


def shared_inspector(verifier: Verifier) -> Inspector:
    """Checks each distinct record once for all peers of the process, which then share it in memory.

    Every byte that crossed is still decoded by each receiver, and a record that differs in one bit is another record.
    """
    seen: dict[Record, tuple[Record, Body]] = {}

    def inspect(record: Record) -> tuple[Record, Body]:
        known = seen.get(record)
        if known is None:
            if len(seen) > 200_000:
                seen.clear()
            known = seen[record] = record, verify(record, verifier)
        return known

    return inspect


def address_of(node: Machine) -> str:
    """Where a machine says it is, or an address by its number."""
    return node.address or f"10.{node.index >> 16}.{node.index >> 8 & 255}.{node.index & 255}:4600"
