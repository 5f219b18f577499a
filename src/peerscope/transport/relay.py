"""Relays: machines that pass packets between peers that cannot reach each other directly.

A relay sees who talks with whom, and how much, and nothing of what they say: QUIC is encrypted from end to end. Without
one, no packet goes anywhere but to peers. Only relays that our own settings name are ever contacted: what other peers
say of theirs is used where it is among them, since a member could otherwise make all others connect to any machine.
"""

from __future__ import annotations

from ipaddress import ip_address
from urllib.parse import SplitResult, urlsplit

from msgspec import Struct

from peerscope.errors import ConfigError

DISABLED, DEFAULT = "disabled", "default"


class TransportConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How packets travel."""

    relay: str = DISABLED
    """"disabled"; "default" for the public relays of iroh's makers; or the https URL of your own, http where that is
    a private address."""

    def __post_init__(self) -> None:
        if self.relay in (DISABLED, DEFAULT):
            return
        try:
            parts = urlsplit(self.relay)
            is_good = bool(parts.hostname) and not parts.username and parts.port != 0
            is_good = is_good and (parts.scheme == "https" or (parts.scheme == "http" and _is_private(parts)))
        except ValueError:
            is_good = False
        if not is_good or len(self.relay) > 64 or not self.relay.isprintable():
            raise ConfigError(
                f'transport.relay is {self.relay[:80]!r}; must be "disabled", "default" or a URL like '
                '"https://relay.example.org" of at most 64 characters; http only at a private address'
            )


class RelayState(Struct, frozen=True):
    """Relays of one agent."""

    mode: str
    """As in the settings."""
    home: str | None
    """The one through which others reach it; None where there is none, or none has answered yet."""
    relayed_links: int | None
    """Connections whose packets go through a relay now; None where that cannot be told."""


def is_relay(address: str) -> bool:
    """An address of a peer is either "host:port" or the URL of the relay that it is reached through."""
    return address.startswith(("https://", "http://"))


def _is_private(parts: SplitResult) -> bool:
    """An address within one site, where a relay needs no certificate: whoever reads along there is no stranger."""
    try:
        return ip_address(parts.hostname or "").is_private
    except ValueError:
        return False
