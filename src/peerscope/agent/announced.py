"""The addresses of the node that others are asked to try."""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import ip_address
from math import inf

from peerscope.host.addresses import is_direct, join_address, split_address
from peerscope.records.bodies import NODE_ADDRESSES_MAX

HOLD_S = 60.0
"""A change of the profile reaches all peers, so addresses that come and go change it once in this time."""


class AnnouncedAddresses:
    """Chooses them, and holds the choice for a while."""

    def __init__(self) -> None:
        self._chosen: tuple[str, ...] = ()
        self._changed_at = -inf

    def chosen(self, announced: Sequence[str], reached_at: Sequence[str], now: float) -> tuple[str, ...]:
        """At most one address of each family. `reached_at`: where the mesh reaches this agent."""
        wanted = choose(announced, reached_at)
        if wanted != self._chosen and (not wanted or now - self._changed_at >= HOLD_S):
            self._chosen, self._changed_at = wanted, now
        return self._chosen


def choose(announced: Sequence[str], reached_at: Sequence[str]) -> tuple[str, ...]:
    """First those at which the mesh reaches this agent, since others try only such; then public ones.

    Private addresses of other machines and names are left out: nobody would try them, and nobody else should see them.
    """
    ours = {ip_address(split_address(address, "address")[0]) for address in reached_at if is_direct(address)}
    is_local = any(host.is_loopback for host in ours)
    families: dict[int, tuple[bool, str]] = {}
    for address in announced:
        if not is_direct(address):
            continue
        text, port = split_address(address, "address")
        host = ip_address(text)
        is_ours = host in ours or (is_local and host.is_loopback)  # both families lead to this machine
        if host.is_multicast or not (is_ours or host.is_global):
            continue
        known = families.get(host.version)
        if known is None or (is_ours and not known[0]):
            families[host.version] = is_ours, join_address(str(host), port)
    return tuple(families[version][1] for version in sorted(families))[:NODE_ADDRESSES_MAX]
