"""Relays: machines that pass packets between peers that cannot reach each other directly.

A relay sees which peers talk and how much, but not the content: QUIC encrypts from end to end. An agent contacts only
relays of its own settings. Other relays that peers publish are ignored: a member could otherwise make all others
connect to any machine.
"""

from __future__ import annotations

from ipaddress import ip_address
from urllib.parse import SplitResult, urlsplit

from msgspec import Struct

from peerscope.errors import ConfigError
from peerscope.host.numbers import whole

DISABLED, DEFAULT = "disabled", "default"
OFF = "off"


class TransportConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of the transport."""

    relay: str = DISABLED
    """"disabled"; "default" for the public relays of iroh; or the https URL of your own. http only at a private
    address."""
    ping_port: int | str = 0
    """UDP port for pings without QUIC, at the host of `peer.listen`; 0: any free one; "off": pings go by QUIC."""

    def __post_init__(self) -> None:
        number = whole(str(self.ping_port))  # the environment holds text only
        if self.ping_port != OFF and (number is None or number > 65_535):
            raise ConfigError(f'transport.ping_port is {str(self.ping_port)[:80]!r}; must be a port, 0 or "off"')
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

    @property
    def pings(self) -> int | None:
        """The UDP port for pings; 0 for any, None for QUIC only."""
        return None if self.ping_port == OFF else int(self.ping_port)


class RelayState(Struct, frozen=True):
    """The use of relays by one agent."""

    mode: str
    """The setting."""
    home: str | None
    """The relay through which others reach the agent; None without one, or before it answers."""
    relayed_links: int | None
    """Connections through a relay now; None where that is unknown."""


class PingState(Struct, frozen=True):
    """The use of plain UDP for pings by one agent."""

    port: int | None
    """The bound port; None where pings go by QUIC only."""
    udp_links: int
    """Peers with which UDP works now; pings with all others go by QUIC."""


def is_relay(address: str) -> bool:
    """Whether an address of a peer is the URL of a relay, and not "host:port"."""
    return address.startswith(("https://", "http://"))


def _is_private(parts: SplitResult) -> bool:
    """Whether the address lies within one site, where a relay needs no certificate."""
    try:
        return ip_address(parts.hostname or "").is_private
    except ValueError:
        return False
