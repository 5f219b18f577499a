"""Dial-back: neighbours try the announced addresses of each other's nodes, as libp2p's AutoNAT does.

A peer that wants it lists addresses of its node in its profile. Up to `DIALERS` of its ring neighbours connect there
by TCP, close at once without a byte, and report how it ended. A rendezvous hash spreads them over regions.

Nobody can aim others at a third party, and nobody has to carry much:

- The dialer has a link with the subject. The shell only tries a host at which its own encrypted connection with this
  very member arrives. So a false address costs the liar's own machine a connection, or nothing.
- Some addresses are never tried, whatever arrives there: see `may_try`.
- Each dialer tries one subject once in `INTERVAL_S`, and once more after a change: 2 x `NODE_ADDRESSES_MAX` = 4
  connections. With `DIALERS` that makes 24 in ten minutes, 12 in calm times. A subject that copies machine tokens of
  its neighbours changes its dialers: all its ring neighbours can then try, up to 8, with 32 connections.
- A dialer begins at most `STARTS_MAX` attempts in `LOOK_S`, and tries one host `HOST_MAX` times in `INTERVAL_S`,
  however the host is written. An attempt without a connection leaves the host its tries. So nobody uses up those of a
  host at which the mesh does not reach it.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from hashlib import blake2b
from ipaddress import IPv4Address, IPv6Address, ip_address
from math import inf

from msgspec import Struct

from peerscope.mesh.events import Tried, TryNode
from peerscope.mesh.peer_state import PeerState
from peerscope.records.bodies import DIALS_MAX, NODE_ADDRESSES_MAX, UNTRIED, DialReading, Profile
from peerscope.records.hosts import ip_of
from peerscope.records.identity import PeerId, ref
from peerscope.records.rendezvous import weight

DIALERS = 6
INTERVAL_S = 600.0
LOOK_S = 15.0
STARTS_MAX = 2
HOST_MAX = 8
UNTRIED_S = 60.0
"""An attempt that ended before any connection is repeated after this time: the path of the mesh may change."""
ANSWER_S = 60.0
"""An attempt whose answer does not come by then counts as never made."""
SUBJECTS_MAX = 256
"""Peers that a dialer remembers, to keep the interval; while it is full, nobody new is tried."""
METADATA = frozenset(map(ip_address, ("169.254.169.254", "100.100.100.200", "192.0.0.192", "fd00:ec2::254")))
"""Addresses at which clouds give secrets to their machines."""
PORT = re.compile(r"[1-9][0-9]{0,4}")


_Host = IPv4Address | IPv6Address | str


class _Attempt(Struct):
    addresses: tuple[str, ...]
    at: float
    changed_at: float = -inf
    """When addresses that changed were tried before the interval was over."""
    outcomes: tuple[int, ...] | None = None
    """None while it runs."""

    @property
    def is_untried(self) -> bool:
        """It ended without a connection."""
        return self.outcomes is not None and all(one in UNTRIED for one in self.outcomes)


class DialBack:
    """Decides which nodes this peer tries, and when; keeps the outcomes."""

    def __init__(self, state: PeerState, now: float) -> None:
        self._state = state
        self._look_at = now + LOOK_S
        self._attempts: dict[PeerId, _Attempt] = {}
        self._hosts: dict[_Host, list[float]] = {}
        """Times of the attempts on each host in the last interval, with those that run."""

    def review(self, now: float) -> None:
        """Begin attempts that are due."""
        if now < self._look_at:
            return
        self._look_at = now + LOOK_S
        self._forget(now)
        own = self._state.ledger.profile(self._state.me)
        if own is None or not own.dials:
            return
        started = 0
        for peer in sorted(self._state.links.up(), key=lambda peer: (self._yields(peer), weight(f"{now:.0f}", peer))):
            profile = self._state.ledger.profile(peer)
            if started < STARTS_MAX and profile is not None and self._is_due(peer, profile, now):
                started += self._begin(peer, profile, now)

    def tried(self, event: Tried, now: float) -> None:
        """An attempt ended."""
        attempt = self._attempts.get(event.subject)
        if attempt is None or attempt.addresses != event.addresses or attempt.outcomes is not None:
            return
        for address, outcome in zip(event.addresses, event.outcomes, strict=False):
            times = self._hosts.get(_host(address), [])
            if outcome in UNTRIED and attempt.at in times:
                times.remove(attempt.at)
        attempt.outcomes, attempt.at = tuple(map(int, event.outcomes))[:NODE_ADDRESSES_MAX], now

    def readings(self, now: float) -> tuple[DialReading, ...]:
        """The newest outcomes, for our report. Those of attempts without a connection only fill what room is left."""
        found: list[tuple[bool, DialReading]] = []
        for peer, attempt in self._attempts.items():
            profile = self._state.ledger.profile(peer)
            if not attempt.outcomes or profile is None or profile.node_addresses != attempt.addresses:
                continue
            if now - attempt.at <= 2 * INTERVAL_S:
                age_s = max(0, round(now - attempt.at))
                reading = DialReading(ref(peer), checksum(attempt.addresses), attempt.outcomes, age_s)
                found.append((attempt.is_untried, reading))
        found.sort(key=lambda one: (one[0], one[1].age_s, one[1].subject))
        return tuple(reading for _, reading in found[:DIALS_MAX])

    def _is_due(self, peer: PeerId, profile: Profile, now: float) -> bool:
        if profile.left or not profile.node_addresses:
            return False
        last = self._attempts.get(peer)
        if last is None:
            return len(self._attempts) < SUBJECTS_MAX and self._is_chosen(peer)
        if last.outcomes is None:
            return False
        wait_s = UNTRIED_S if last.is_untried else INTERVAL_S
        is_change = profile.node_addresses != last.addresses and now - last.changed_at >= INTERVAL_S
        return (is_change or now - last.at >= wait_s) and self._is_chosen(peer)

    def _yields(self, peer: PeerId) -> bool:
        """Others come first: the last attempt found nothing to try."""
        last = self._attempts.get(peer)
        return last is not None and last.is_untried

    def _is_chosen(self, peer: PeerId) -> bool:
        """We are among the dialers of this peer, by the rings and profiles that we know."""
        known = {
            one: profile
            for one in self._state.neighbours.rings.neighbours(peer)
            if (profile := self._state.ledger.profile(one)) is not None
        }
        subject = self._state.ledger.profile(peer)
        return subject is not None and self._state.me in dialers(peer, subject, known)

    def _begin(self, peer: PeerId, profile: Profile, now: float) -> bool:
        addresses = profile.node_addresses
        for host, count in Counter(map(_host, addresses)).items():
            if len(self._hosts.get(host, ())) + count > HOST_MAX:
                return False
        for address in addresses:
            self._hosts.setdefault(_host(address), []).append(now)
        last = self._attempts.get(peer)
        is_early = last is not None and last.addresses != addresses and now - last.at < INTERVAL_S
        changed_at = now if is_early else last.changed_at if last is not None else -inf
        self._attempts[peer] = _Attempt(addresses, now, changed_at)
        self._state.out.add(TryNode(peer, addresses))
        return True

    def _forget(self, now: float) -> None:
        for host, times in list(self._hosts.items()):
            self._hosts[host] = recent = [at for at in times if now - at < INTERVAL_S]
            if not recent:
                del self._hosts[host]
        for peer, attempt in list(self._attempts.items()):
            is_lost = attempt.outcomes is None and now - attempt.at >= ANSWER_S
            if is_lost:
                attempt.outcomes = ()
            if now - attempt.at > 2 * INTERVAL_S:
                del self._attempts[peer]


def dialers(subject: PeerId, profile: Profile, known: Mapping[PeerId, Profile]) -> tuple[PeerId, ...]:
    """Choose who tries the node of a subject: of its ring neighbours, one of each region in turn.

    `known`: profiles of its ring neighbours. Peers on the subject's own machine only count if there is no other.
    """
    able = [peer for peer, other in known.items() if other.dials and not other.left and peer != subject]
    apart = [peer for peer in able if not _share_machine(profile, known[peer])] or able
    return spread(subject, ((peer, known[peer].region) for peer in apart))


def spread(subject: PeerId, candidates: Iterable[tuple[PeerId, str | None]]) -> tuple[PeerId, ...]:
    """The first `DIALERS` by rank in their region, then by weight: all regions have one before any has two."""
    key = subject.hex()
    regions: dict[str | None, int] = {}
    ranked: list[tuple[int, int, PeerId]] = []
    for peer, region in sorted(candidates, key=lambda item: (weight(key, item[0]), item[0])):
        rank = regions[region] = regions.get(region, -1) + 1
        ranked.append((rank, len(ranked), peer))
    return tuple(peer for _, _, peer in sorted(ranked)[:DIALERS])


def may_try(address: str, reached_at: str | None) -> bool:
    """Whether to connect to an "ip:port". `reached_at`: IP at which our own connection with its owner arrives.

    Never elsewhere, and never to addresses of no single machine or of a cloud's secrets. Private and loopback
    addresses follow from the first rule: they are tried only if the member is itself reached there.
    """
    host = ip_of(address)
    try:
        reached = ip_address((reached_at or "").strip("[]"))
    except ValueError:
        return False
    port = address.rpartition(":")[2]
    if host is None or not PORT.fullmatch(port) or int(port) > 65535:
        return False
    if address.startswith("[") is not isinstance(host, IPv6Address):
        return False
    if isinstance(host, IPv6Address) and (host.ipv4_mapped is not None or host.scope_id is not None):
        return False
    if host.is_link_local or host.is_multicast or host.is_unspecified or host in METADATA:
        return False
    if host.is_reserved and not host.is_loopback:  # ::1 lies in a reserved block
        return False
    return host == reached and str(host) != "255.255.255.255"


def checksum(addresses: tuple[str, ...]) -> int:
    """A short name of the addresses in a profile."""
    return int.from_bytes(blake2b("\n".join(addresses).encode(), digest_size=2, person=b"dial back").digest())


def _share_machine(one: Profile, other: Profile) -> bool:
    if one.host is None or other.host is None:
        return False
    return one.host.boot is not None and one.host.boot == other.host.boot


def _host(address: str) -> _Host:
    """One key for all spellings of an IP. Names are never tried."""
    return ip_of(address) or address.rpartition(":")[0]
