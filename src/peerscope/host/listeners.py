"""TCP sockets that listen on this machine, and whose they are, as `/proc/net/tcp` shows them to every user (proc(5)).

A user who takes the usual port of a program first would be given its password. So a secret that nobody named in the
settings goes only to a socket of root, or of the user whose file holds it.
"""

from __future__ import annotations

import socket
import sys
from ipaddress import IPv6Address, ip_address
from pathlib import Path

from msgspec import Struct

from peerscope.host.numbers import whole

LISTEN = "0A"
"""State of a listening socket."""
TABLES = ("tcp", "tcp6")
UNMAPPED = 65534
"""Stands for all users that a container does not know (user_namespaces(7)); elsewhere it is the user nobody."""
ALL_USERS = ["0", "0", "4294967295"]
"""The map of a process that knows all users."""


class Listener(Struct, frozen=True):
    """One listening socket."""

    host: str
    port: int
    uid: int


def listeners() -> frozenset[Listener] | None:
    """All that listen here, also of processes that this user cannot see; None where the system does not say."""
    found: set[Listener] = set()
    try:
        for name in TABLES:
            place = Path("/proc/net", name)
            if not place.exists():  # a system without IPv6
                continue
            for line in place.read_text(encoding="ascii").splitlines()[1:]:
                fields = line.split()
                if fields[3] == LISTEN:
                    found.add(Listener(*_decoded(fields[1]), int(fields[7])))
    except (OSError, ValueError, IndexError):
        return None
    return frozenset(found) if Path("/proc/net/tcp").exists() else None


def owner_uids(host: str, port: int) -> frozenset[int] | None:
    """The users whose sockets may answer at this address; None where the system does not say.

    Several where one socket takes an address for itself and another one takes the rest.
    """
    known = listeners()
    if known is None:
        return None
    wanted = {"127.0.0.1", "::1"} if host == "localhost" else {str(ip_address(host))}
    uids = frozenset(one.uid for one in known if one.port == port and _is_reached(one.host, wanted))
    return None if UNMAPPED in uids and not _knows_all_users() else uids


def peer_uid(connection: socket.socket) -> int | None:
    """The user who listens at the other end of a Unix socket; None where the system does not say."""
    try:
        data = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
    except (OSError, AttributeError):
        return None
    uid = int.from_bytes(data[4:8], sys.byteorder)
    return None if uid == UNMAPPED and not _knows_all_users() else uid


def port_of(address: str) -> int | None:
    """The port in a program's own settings, such as "127.0.0.1:8384" or ":8384"; None for a path or anything else."""
    port = whole(address.rpartition(":")[2]) if "/" not in address else None
    return port if port is not None and 0 < port <= 65535 else None


def _knows_all_users() -> bool:
    try:
        return Path("/proc/self/uid_map").read_text(encoding="ascii").split() == ALL_USERS
    except (OSError, ValueError):
        return False


def _is_reached(listening: str, wanted: set[str]) -> bool:
    ip = ip_address(listening)
    if isinstance(ip, IPv6Address) and ip.ipv4_mapped is not None:
        ip = ip.ipv4_mapped
    return ip.is_unspecified or str(ip) in wanted


def _decoded(text: str) -> tuple[str, int]:
    """An address as the kernel writes it: words of four bytes in the order of the machine."""
    host, _, port = text.partition(":")
    raw = bytes.fromhex(host)
    if sys.byteorder == "little":
        raw = b"".join(raw[at : at + 4][::-1] for at in range(0, len(raw), 4))
    family = socket.AF_INET if len(raw) == 4 else socket.AF_INET6
    return socket.inet_ntop(family, raw), int(port, 16)
