"""`wireguard[:INTERFACE]`: tunnels of WireGuard, as its own tool shows them: `wg show all dump`.

Checked with wireguard-tools 1.0.20210914 and wireguard-go 0.0.20220316. The tool needs CAP_NET_ADMIN, or access to the
socket of a program that runs the tunnel. Its output holds private keys: nothing of them is kept.

WireGuard has no connections. It renews its keys every two minutes while packets flow, and forgets them after three. So
a link that should carry packets and has no handshake of the last 180 seconds is *dead*. A link without traffic and
without `PersistentKeepalive` is merely *idle*, however long ago its handshake was. A dead link shows up to three
minutes late. The tool gives no round-trip times. Its byte counters start anew with the interface.
"""

from __future__ import annotations

import re
import subprocess
import time
from collections.abc import Iterable, Mapping
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from peerscope.errors import ConfigError, SourceError
from peerscope.records.bodies import OverlayLink
from peerscope.records.measures import Measure, NodeMetrics
from peerscope.sources.base import Reading

TOOL = "wg"
TIMEOUT_S = 4.0
DUMP_BYTES_MAX = 4 * 1024 * 1024
DEAD_S = 180
"""After this time keys are forgotten, so that no packet can pass (REJECT_AFTER_TIME of the protocol)."""
INTERFACE = re.compile(r"^[0-9A-Za-z_=+.-]{1,15}\Z")
INTERFACE_FIELDS, PEER_FIELDS = 5, 9
NONE = ("(none)", "off")
NEEDS = "give the agent CAP_NET_ADMIN (AmbientCapabilities= of its unit)"

Key = Annotated[str, Meta(pattern=r"^[0-9A-Za-z+/]{43}=\Z")]
Counter = Annotated[int, Meta(ge=0, le=2**63 - 1)]


class Tunnel(Struct, frozen=True):
    """One peer of one interface."""

    interface: str
    key: Key
    endpoint: str | None
    """Where packets go; None for a peer that has not been heard and has no address in the settings."""
    handshake_at: Counter
    """Unix seconds; 0 for none since the interface came up."""
    received_bytes: Counter
    sent_bytes: Counter
    keepalive_s: Counter
    """0 where it is off."""


class Interfaces(Struct, frozen=True):
    """The answer of the tool."""

    keys: Mapping[str, Key | None]
    """Public key of each interface; None before it has one."""
    tunnels: tuple[Tunnel, ...]


class WireguardSource:
    """All interfaces of this machine, or one."""

    def __init__(self, interface: str = "") -> None:
        """`interface`: empty for all. Raises `ConfigError`."""
        if interface and not INTERFACE.match(interface):
            raise ConfigError(f"{interface!r} is no name of an interface, as in wireguard:wg0")
        self._interface = interface
        self._silent: dict[tuple[str, str], Tunnel] = {}
        """Each link as it was when something last came over it."""

    async def read(self) -> Reading:
        """Run the tool once. Blocks its thread, which is the source's own. Raises `SourceError`."""
        return self.reading(parse(_dump()), time.time())

    def reading(self, found: Interfaces, now: float) -> Reading:
        """Read the values of one answer. `now`: Unix seconds. Raises `SourceError`."""
        name = self._interface
        if not found.keys:
            raise SourceError("no WireGuard interface is up")
        if name and name not in found.keys:
            raise SourceError(f"no interface {name} is up; there are {', '.join(sorted(found.keys))}"[:200])
        tunnels = [tunnel for tunnel in found.tunnels if name in ("", tunnel.interface)]
        self._remember(tunnels)
        keys = {interface: key for interface, key in found.keys.items() if name in ("", interface)}
        alive = [tunnel for tunnel in tunnels if now - tunnel.handshake_at <= DEAD_S]
        dead = [tunnel for tunnel in tunnels if now - tunnel.handshake_at > DEAD_S and self._is_used(tunnel)]
        return Reading(
            node="wireguard",
            node_id=next(iter(keys.values())) if len(keys) == 1 else None,
            metrics=NodeMetrics(
                tunnels=len(tunnels),
                active_connections=len(alive),
                p2p_peers=len({tunnel.key for tunnel in alive}),
                received_bytes=sum(tunnel.received_bytes for tunnel in tunnels),
                sent_bytes=sum(tunnel.sent_bytes for tunnel in tunnels),
            ),
            overlay=tuple(OverlayLink(key) for key in sorted({tunnel.key for tunnel in alive})),
            measures=(Measure("dead_links", len(dead), "links"), Measure("links_configured", len(tunnels), "links")),
            details={
                "interfaces": ", ".join(sorted(keys))[:64],
                "idle_links": float(len(tunnels) - len(alive) - len(dead)),
                "oldest_handshake_s": max((now - tunnel.handshake_at for tunnel in alive), default=None),
            },
        )

    async def close(self) -> None:
        """Nothing stays open: the tool ends each time."""

    def _is_used(self, tunnel: Tunnel) -> bool:
        """Whether packets should pass: we keep the link up, or have sent since something last came."""
        if tunnel.endpoint is None:
            return False
        return tunnel.keepalive_s > 0 or tunnel.sent_bytes > self._silent[tunnel.interface, tunnel.key].sent_bytes

    def _remember(self, tunnels: Iterable[Tunnel]) -> None:
        silent: dict[tuple[str, str], Tunnel] = {}
        for tunnel in tunnels:
            place = (tunnel.interface, tunnel.key)
            before = self._silent.get(place)
            has_heard = before is None or tunnel.received_bytes != before.received_bytes
            silent[place] = tunnel if before is None or has_heard else before
        self._silent = silent


def parse(text: str) -> Interfaces:
    """Read the output of the tool: lines of fields between tabs. Raises `SourceError`."""
    keys: dict[str, Key | None] = {}
    tunnels: list[Tunnel] = []
    try:
        for line in text.removesuffix("\n").split("\n") if text else []:
            fields = line.split("\t")
            if len(fields) == INTERFACE_FIELDS:
                keys[fields[0]] = None if fields[2] in NONE else msgspec.convert(fields[2], Key)
            elif len(fields) == PEER_FIELDS:
                tunnels.append(_tunnel(fields))
            else:
                raise ValueError(f"a line of {len(fields)} fields")
    except ValueError as error:
        raise SourceError(f"{TOOL} shows something unexpected: {error}") from None
    return Interfaces(keys, tuple(tunnels))


def _tunnel(fields: list[str]) -> Tunnel:
    interface, key, _preshared, endpoint, _allowed, handshake, received, sent, keepalive = fields
    made = {
        "interface": interface,
        "key": key,
        "endpoint": None if endpoint in NONE else endpoint,
        "handshake_at": int(handshake),
        "received_bytes": int(received),
        "sent_bytes": int(sent),
        "keepalive_s": 0 if keepalive in NONE else int(keepalive),
    }
    return msgspec.convert(made, Tunnel)


def _dump() -> str:
    try:
        done = subprocess.run(
            [TOOL, "show", "all", "dump"], capture_output=True, timeout=TIMEOUT_S, check=False, stdin=subprocess.DEVNULL
        )
    except FileNotFoundError:
        raise SourceError(f"the program {TOOL} is missing; install wireguard-tools") from None
    except subprocess.TimeoutExpired:
        raise SourceError(f"{TOOL} has not answered for {TIMEOUT_S:g} s") from None
    except OSError as error:
        raise SourceError(f"{TOOL} cannot be run: {error.strerror}") from None
    if done.returncode:
        reason = done.stderr.decode("utf-8", "replace").strip().split("\n")[0][:120]
        needs = f"; {NEEDS}" if "ermi" in reason else ""  # "Permission denied", "Operation not permitted"
        raise SourceError(f"{TOOL} says: {reason or 'nothing'}{needs}")
    if len(done.stdout) > DUMP_BYTES_MAX:
        raise SourceError(f"{TOOL} shows more than {DUMP_BYTES_MAX} bytes")
    return done.stdout.decode("utf-8", "replace")
