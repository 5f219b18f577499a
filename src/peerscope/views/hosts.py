"""Which peers share a machine, and which a prefix of addresses: functions of their profiles.

Peers publish tokens of what identifies their machine (`records/hosts.py`). The surest one that a peer states decides,
and peers with the same one share a machine:

- *boot*: one running kernel is one machine, whatever its containers call themselves. Machines made from one image share
  their machine id, but each booted by itself.
- *machine*: the id of the installed system, where the boot is unknown.
- *address*: a public address that an interface of the machine holds, with neither of them. The public address of a
  router that translates is none: behind a provider's one address are the machines of many homes.
- *loopback*: without any token, peers that are only reached on loopback, so by nobody but their own machine.

So peers are in one machine or not by what these two state. No third one can make one machine of two, or part one: a
liar can only claim to be beside others.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

from peerscope.mesh.detection.observers import prefix
from peerscope.records.bodies import Profile
from peerscope.records.hosts import HostTokens, ip_of
from peerscope.records.identity import PeerId

NAME_HEX = 8
LOOPBACK = "loopback"
"""Sign of a machine whose peers state no token."""
NO_TOKENS = HostTokens()

Sign = tuple[str, str]
"""Kind of identifier, and its token in hexadecimal."""


def machines(profiles: Mapping[PeerId, Profile]) -> dict[PeerId, str]:
    """The machine of each peer, by the first digits of its token. Peers that show no sign are absent."""
    shown = {peer: sign for peer, profile in profiles.items() if (sign := _sign(profile)) is not None}
    names = _names(shown.values())
    return {peer: names[sign] for peer, sign in shown.items()}


def public_prefix(profile: Profile) -> str | None:
    """The /24 or /48 of the peer's first public address; None without one."""
    public = (one for one in profile.addresses if (known := ip_of(one)) is not None and known.is_global)
    return prefix(next(public, ""))


def network_of(profile: Profile) -> str | None:
    """The token of the network interfaces that a peer sees; None if it states none."""
    tokens = profile.host or NO_TOKENS
    return None if tokens.network is None else tokens.network.hex()


def _sign(profile: Profile) -> Sign | None:
    """The surest sign of its machine that a profile shows."""
    tokens = profile.host or NO_TOKENS
    if tokens.boot is not None:
        return "boot", tokens.boot.hex()
    if tokens.machine is not None:
        return "machine", tokens.machine.hex()
    if tokens.addresses:
        return "address", min(tokens.addresses).hex()
    is_local = profile.addresses and profile.relay is None and all(map(_is_loopback, profile.addresses))
    return (LOOPBACK, LOOPBACK) if is_local else None


def _is_loopback(address: str) -> bool:
    known = ip_of(address)
    return known is not None and known.is_loopback


def _names(found: Iterable[Sign]) -> dict[Sign, str]:
    """The first digits of each token, or all where two machines have the same first digits."""
    signs = set(found)
    same = Counter(token[:NAME_HEX] for _, token in signs)
    return {sign: sign[1] if same[sign[1][:NAME_HEX]] > 1 else sign[1][:NAME_HEX] for sign in signs}
