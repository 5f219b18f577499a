"""Reads on which machine this agent runs, as tokens for its profile.

The identifiers themselves never leave this module. Each one is optional: macOS has no such files, and a container may
have no machine id or hide /proc.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path

import psutil

from peerscope.records.hosts import HOST_ADDRESSES_MAX, HostTokens, host_key, host_token, ip_of

_UNSET = re.compile(r"[0-]*")


def own_host(secret: str, name: str, addresses: Iterable[str], root: Path = Path("/")) -> HostTokens | None:
    """Tokens of this machine for a network with this secret and name; None if nothing is known.

    `addresses`: those that our profile publishes. Only these can become tokens, so a token shows no new address.
    """
    key = host_key(secret, name)
    boot = _identifier(root / "proc/sys/kernel/random/boot_id")
    machine = _identifier(root / "etc/machine-id") or _identifier(root / "var/lib/dbus/machine-id")
    network = _namespace(root / "proc/self/ns/net")
    tokens = HostTokens(
        boot=None if boot is None else host_token(key, "boot", boot),
        machine=None if machine is None else host_token(key, "machine", machine),
        # The number of a namespace means something only under one kernel.
        network=None if boot is None or network is None else host_token(key, "network", f"{boot} {network}"),
        addresses=tuple(host_token(key, "address", one) for one in _own_public(addresses)[:HOST_ADDRESSES_MAX]),
    )
    return None if tokens == HostTokens() else tokens


def _identifier(place: Path) -> str | None:
    """The id in a file, in lower-case hexadecimal; None without the file, and before the system has set the id."""
    try:
        text = place.read_text(encoding="ascii").strip().lower()
    except (OSError, UnicodeDecodeError):
        return None
    digits = text.replace("-", "")
    return digits if re.fullmatch(r"[0-9a-f]{32}", digits) and not _UNSET.fullmatch(text) else None


def _namespace(place: Path) -> str | None:
    try:
        return os.readlink(place)
    except OSError:
        return None


def _own_public(addresses: Iterable[str]) -> list[str]:
    """Public addresses among these that an interface of this machine holds."""
    try:
        held = {one.address.partition("%")[0] for each in psutil.net_if_addrs().values() for one in each}
    except OSError:
        return []
    public = {str(known) for one in addresses if (known := ip_of(one)) is not None and known.is_global}
    return sorted(public & held)
