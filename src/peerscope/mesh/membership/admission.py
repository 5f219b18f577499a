"""Admission: which peers may join, and whose records count.

The transport has already proved each end's peer id. The settings may ask for more: proof of a shared secret, or
membership by an allow-list or by a certificate that an operator signed. With both a secret and membership, a peer must
show both.

The **secret** is never shown. A proof is a keyed hash over both ids, in order, and a nonce of the other end for this
connection. So nobody can send it back to its maker, use it for another peer, or use it twice.

A **certificate** names its bearer, whose id the connection proves. Every profile carries it, so all members can judge
the origin of a record, and a member cannot vouch for peers that it made up. With a secret alone members do vouch for
each other, since records travel over admitted links only.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterable
from hashlib import blake2b
from random import Random

from msgspec import Struct
from msgspec.structs import replace

from peerscope.errors import ConfigError, RemoteError
from peerscope.mesh.messages import NONCE_BYTES, WIRE, Hello, Neighbors, common_wire
from peerscope.records.bodies import Body, Certified, Profile
from peerscope.records.certificates import REVOCATIONS_MAX, Certificate, Revocation
from peerscope.records.identity import PEER_ID_BYTES, PeerId, short

EARLY_MS = 300_000
"""A certificate is valid so long before its first moment: clocks of members may differ."""
IDS_MAX = 10_000
LAPSED_MAX = 256
LAPSED_MS = 30 * 86_400_000
"""An operator that has not renewed a certificate for so long does not intend to."""


class NetworkConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The network of this peer, and its rules of membership."""

    name: str = "peerscope"
    """Peers refuse peers of another name."""
    public: bool = False
    """Strangers are members: observers behind one address prefix then have one vote together."""
    open: bool = False
    """Any peer that reaches our port and knows the name may join. Required where the port is not on loopback and
    nothing below is set."""
    secret: str = ""
    """Known to all members, 16 characters or more."""
    allow: tuple[str, ...] = ()
    """Ids of the peers that are members."""
    operators: tuple[str, ...] = ()
    """Public keys of operators: a peer with a certificate that one of them signed is a member."""
    certificate_file: str = ""
    """Our own certificate, from `peerscope admit issue`; read again when it changes."""
    revocation_file: str = ""
    """The output of `peerscope admit revoke`; read again when it changes, and published to all members."""
    prefix_members_max: int = 256  # a guess: one peer for each address of a /24
    """Peers behind one address prefix that are remembered, where the network is public."""

    def __post_init__(self) -> None:
        if not 1 <= len(self.name) <= 64 or not self.name.isprintable():
            raise ConfigError(f"network.name is {self.name!r}; must be 1 to 64 printable characters")
        if self.secret and len(self.secret) < 16:
            raise ConfigError(
                "network.secret is too short to keep anybody out; use 16 characters or more, "
                "for example from `openssl rand -hex 16`"
            )
        for name in ("allow", "operators"):
            _ids(name, getattr(self, name))
        if self.open and self.is_closed:
            raise ConfigError(
                "network.open is true, and so anybody may join, but network.secret, network.allow or network.operators "
                "is set as well; drop one of them"
            )
        if (self.certificate_file or self.revocation_file) and not self.operators:
            raise ConfigError(
                "network.certificate_file and network.revocation_file mean nothing without network.operators: the "
                "public keys of those who sign them"
            )
        if self.prefix_members_max < 1:
            raise ConfigError(f"network.prefix_members_max is {self.prefix_members_max}; must be 1 or more")

    @property
    def is_closed(self) -> bool:
        """A peer that joins needs more than the name."""
        return bool(self.secret or self.allow or self.operators)


class ExpiredCertificates:
    """Members whose certificate has ended, each with the latest one, so that an alert can name them.

    A member counts when it was dropped at the end of its certificate, or shows an ended one on its own connection.
    Records that others pass on do not count: they may be old.
    """

    def __init__(self) -> None:
        self._ended: dict[PeerId, Certificate] = {}

    @property
    def certificates(self) -> tuple[Certificate, ...]:
        """All certificates, in the order of their ends."""
        return tuple(sorted(self._ended.values(), key=lambda one: (one.not_after_ms, one.subject)))

    def note(self, certificate: Certificate, wall_ms: int) -> None:
        """Note a member that showed this certificate after its end, or was dropped at its end."""
        peer = PeerId(certificate.subject)
        before = self._ended.get(peer)
        is_later = before is None or certificate.not_after_ms > before.not_after_ms
        if is_later and 0 < wall_ms - certificate.not_after_ms <= LAPSED_MS:
            self._ended[peer] = certificate
        while len(self._ended) > LAPSED_MAX:
            del self._ended[next(iter(self._ended))]

    def review(self, members: Iterable[PeerId], wall_ms: int) -> None:
        """Forget peers that are members again, and certificates that ended too long ago, or not yet."""
        for peer in members:
            self._ended.pop(peer, None)
        for peer, one in list(self._ended.items()):
            if not 0 < wall_ms - one.not_after_ms <= LAPSED_MS:
                del self._ended[peer]

    def forget(self, peer: PeerId) -> None:
        self._ended.pop(peer, None)


class Admission:
    """The checks of one peer, its own proofs, and the revocations that it knows."""

    def __init__(self, config: NetworkConfig, me: PeerId, rng: Random) -> None:
        self.config = config
        self.certificate: Certificate | None = None
        """Ours, shown in every hello and in our profile."""
        self.revocations: dict[bytes, Revocation] = {}
        """Revocations by the peer, or by operator and serial number."""
        self.lapsed = ExpiredCertificates()
        """Members that were dropped or refused at the end of their certificates."""
        self.asks_secret = bool(config.secret)
        self.asks_membership = bool(config.allow or config.operators)
        self.wire = WIRE
        """Oldest and newest wire version that we speak."""
        self._me = me
        self._rng = rng
        self._key = blake2b(config.secret.encode(), digest_size=32, person=b"peerscope secret").digest()
        self._allow = _ids("allow", config.allow) | {me}
        self._operators = _ids("operators", config.operators)

    def nonce(self) -> bytes:
        """A number never used before, empty without a secret. It may be public, since a proof names both ends."""
        return self._rng.randbytes(NONCE_BYTES) if self.asks_secret else b""

    def prove(self, receiver: PeerId, nonce: bytes) -> bytes:
        """Our proof for the receiver, over its nonce; empty if the network has no secret."""
        return self._proof(self._me, receiver, nonce) if self.asks_secret else b""

    def admit(self, hello: Hello | Neighbors, sender: PeerId, nonces: Iterable[bytes], wall_ms: int) -> bytes:
        """The one of our nonces with which the sender proved the secret; empty without a secret.

        Raises `RemoteError` unless the sender is admitted: "wire-version", "other-network", "not-a-member",
        "certificate-expired", "certificate-early", "revoked".
        """
        common_wire(hello, self.wire)
        if hello.network != self.config.name:
            raise RemoteError("other-network", "it belongs to a network of another name")
        proved = b""
        if self.asks_secret:
            good = [n for n in nonces if hmac.compare_digest(hello.proof, self._proof(sender, self._me, n))]
            if not good:
                raise RemoteError("not-a-member", "it did not prove the network's secret on this connection")
            proved = good[0]
        self.check(sender, hello.certificate, wall_ms)
        return proved

    def check(self, peer: PeerId, certificate: Certificate | None, wall_ms: int, *, is_known: bool = False) -> None:
        """Raise `RemoteError` unless the peer is a member, by the allow-list or by its certificate.

        `is_known`: the certificate's signature was checked before.
        """
        if not self.asks_membership:
            return
        void = self.revocations.get(peer)
        if certificate is None or not self._operators:
            # For a peer on the allow-list, only a revocation of the peer itself counts.
            if void is not None:
                raise RemoteError("revoked", f"an operator revoked {short(peer)}")
            if peer not in self._allow:
                raise RemoteError("not-a-member", "it is not on the allow-list and has no certificate")
            return
        if peer in self._allow and void is None:
            return
        if certificate.subject != peer or certificate.network != self.config.name:
            raise RemoteError("not-a-member", "its certificate is for somebody else, or for another network")
        if certificate.operator not in self._operators or not (is_known or certificate.is_signed()):
            raise RemoteError("not-a-member", "its certificate is not signed by an operator of this network")
        if self.is_revoked(certificate):
            raise RemoteError("revoked", "an operator revoked its certificate")
        if wall_ms > certificate.not_after_ms:
            raise RemoteError("certificate-expired", "its certificate has expired")
        if wall_ms < certificate.not_before_ms - EARLY_MS:
            raise RemoteError("certificate-early", "its certificate is not valid yet, or our clock is slow")

    def is_revoked(self, certificate: Certificate) -> bool:
        """An operator revoked this certificate, or all certificates of its bearer until a later time."""
        names = (certificate.subject, certificate.operator + certificate.serial)
        return any(one.voids(certificate) for name in names if (one := self.revocations.get(name)) is not None)

    def certified(self, body: Body) -> Body:
        """Our body with our current certificate, if its kind shows one."""
        if isinstance(body, Certified) and body.certificate != self.certificate:
            return replace(body, certificate=self.certificate)
        return body

    def check_origin(self, origin: PeerId, body: Body, said: Profile | None, wall_ms: int) -> None:
        """Raise `RemoteError` unless records of this origin count. `said`: its profile that we hold.

        Without certificates and allow-list, members vouch for each other. With them, the profile must come first, or
        the record shows the certificate itself, as records for all zones do. Otherwise the origin is "unvouched", which
        is no offence.
        """
        if not self.asks_membership:
            return
        shown = body.certificate if isinstance(body, Certified) else None
        if isinstance(body, Profile):
            self.check(origin, shown, wall_ms)
        elif shown is not None:
            self.check(origin, shown, wall_ms, is_known=said is not None and said.certificate == shown)
        elif said is not None:
            self.check(origin, said.certificate, wall_ms, is_known=True)
        elif origin in self._allow:
            self.check(origin, None, wall_ms)
        else:
            raise RemoteError("unvouched", "a record of a peer whose profile has not come yet")

    def learn(self, revocations: Iterable[Revocation], wall_ms: int) -> bool:
        """Add revocations; True if any is new. Ignores those that no operator of ours signed."""
        news = False
        for one in revocations:
            ours = self.revocations.get(_about(one))
            if one.operator not in self._operators or wall_ms > one.not_after_ms:
                continue
            if ours is not None and _rank(ours) >= _rank(one):
                continue
            if not one.is_signed(self.config.name):
                break  # the sender checks nothing, so ignore the rest
            self.revocations[_about(one)] = one
            news = True
        while len(self.revocations) > REVOCATIONS_MAX:
            del self.revocations[_about(min(self.revocations.values(), key=_rank))]
        return news

    def forget_lapsed(self, wall_ms: int) -> None:
        """Drop revocations of expired certificates."""
        for one in list(self.revocations.values()):
            if wall_ms > one.not_after_ms:
                del self.revocations[_about(one)]

    def _proof(self, sender: PeerId, receiver: PeerId, nonce: bytes) -> bytes:
        return blake2b(sender + receiver + nonce, key=self._key, digest_size=32, person=b"peerscope proof").digest()


def _about(one: Revocation) -> bytes:
    """The key of a revocation. Each operator has its own serial numbers; any may revoke a peer."""
    return one.target if len(one.target) == PEER_ID_BYTES else one.operator + one.target


def _rank(one: Revocation) -> tuple[int, int, bytes]:
    """The order of two revocations of one target: all peers keep the one that voids more."""
    return one.revoked_at_ms, one.not_after_ms, one.signature


def _ids(name: str, texts: Iterable[str]) -> frozenset[PeerId]:
    found = set()
    for text in texts:
        try:
            peer = bytes.fromhex(text)
        except ValueError:
            peer = b""
        if len(peer) != PEER_ID_BYTES:
            raise ConfigError(
                f"network.{name} has {text[:80]!r}; must be ids of {2 * PEER_ID_BYTES} hexadecimal digits, as "
                f"`peerscope {'init' if name == 'allow' else 'admit keygen'}` prints them"
            )
        found.add(PeerId(peer))
    if len(found) > IDS_MAX:
        raise ConfigError(f"network.{name} has {len(found)} ids; at most {IDS_MAX}: use certificates instead")
    return frozenset(found)
