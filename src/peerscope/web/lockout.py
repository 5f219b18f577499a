"""Slows down whoever guesses tokens: ten wrong ones at once from one address, then one every six seconds.

A leaky bucket needs one number for each address: when its last mistake will be forgiven. Many addresses cost their
owner more than they cost us, since only so many are remembered.
"""

from __future__ import annotations

from ipaddress import IPv6Address, ip_address, ip_network

TRIES = 10
FORGIVEN_AFTER_S = 6.0
"""Each mistake. A guesser has ten tries a minute: a token of 128 bits stands for ever, a chosen word does not."""
ADDRESSES_MAX = 1024


class Lockout:
    """Wrong tokens by address. `now`: monotonic seconds."""

    def __init__(self) -> None:
        self._forgiven_at: dict[str, float] = {}

    def __len__(self) -> int:
        return len(self._forgiven_at)

    def wait_s(self, address: str, now: float) -> float:
        """How long until this address may try again; 0 where it may."""
        debt_s = self._forgiven_at.get(_host(address), now) - now
        return max(0.0, debt_s - (TRIES - 1) * FORGIVEN_AFTER_S)

    def failed(self, address: str, now: float) -> None:
        """Remember a wrong token."""
        host = _host(address)
        self._forgiven_at[host] = max(now, self._forgiven_at.get(host, now)) + FORGIVEN_AFTER_S
        if len(self._forgiven_at) > ADDRESSES_MAX:
            self._forgiven_at = {other: at for other, at in self._forgiven_at.items() if at > now}
        if len(self._forgiven_at) > ADDRESSES_MAX:
            del self._forgiven_at[min(self._forgiven_at, key=self._forgiven_at.__getitem__)]


def _host(address: str) -> str:
    """Who is behind an address: in IPv6 a customer has a /64 to choose addresses from."""
    try:
        found = ip_address(address)
    except ValueError:
        return address
    if not isinstance(found, IPv6Address):
        return str(found)
    return str(found.ipv4_mapped or ip_network((found.packed, 64), strict=False))
