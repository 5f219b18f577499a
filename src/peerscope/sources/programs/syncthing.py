"""A Syncthing node, asked at its REST interface with its API key. Checked with Syncthing 1.19.2 and 1.30.0.

As a source (`syncthing:URL#token_file=FILE`), the devices that are connected form the layer "syncthing" on the map.
Without options, the key comes from the node's own `config.xml`, where this agent may read it.

Syncthing is late or wrong in this:
- It lists its own id among the connections, as disconnected. The source leaves it out.
- The entry of a device that is gone equals that of a device never seen. Only `/rest/stats/device` knows the difference.
- A device that hangs stays connected for up to five minutes. Syncthing sends a ping after 90 s without other messages.
  So the source counts a connection as a dead link after 180 s without a byte, from its own start on.
- It measures no round-trip times.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, TypeVar
from xml.etree import ElementTree

import msgspec
import psutil
from msgspec import Meta, Struct

from peerscope.errors import SourceError
from peerscope.host.clock import monotonic
from peerscope.host.listeners import port_of
from peerscope.host.regular_files import read_regular
from peerscope.mesh.detection.checks import printable
from peerscope.records.bodies import ADDRESSES_MAX, OverlayLink
from peerscope.records.measures import Count, Measure, NodeMetrics
from peerscope.records.texts import Name
from peerscope.sources.base import Reading
from peerscope.sources.endpoint import OPTIONS, TOKEN, Endpoint
from peerscope.sources.neighbours import is_address, reach
from peerscope.sources.place import NodePlace, parse_place

DEFAULT = "http://127.0.0.1:8384"
DEVICES_MAX = 4096
SILENCE_S = 180.0
"""Two of Syncthing's pings (`PingSendInterval`, 90 s); its own limit is 300 s (`ReceiveTimeout`)."""
CONFIG_BYTES_MAX = 16 * 1024 * 1024
HOME = re.compile("\0--?(?:home|config)[=\0]([^\0]+)")
T = TypeVar("T")
Word = Annotated[str, Meta(max_length=400)]
DeviceId = Annotated[str, Meta(pattern=r"^[A-Z2-7-]{52,63}\Z")]


class ConfiguredDevice(Struct, frozen=True, rename="camel"):
    """One other device, as the node sees it. Its bytes are those of all connections to it."""

    connected: bool = False
    paused: bool = False
    in_bytes_total: Count = 0
    type: Word = ""
    """Such as "tcp-client", "quic-server" or "relay-client"."""
    secondary: tuple[msgspec.Raw, ...] = ()
    """Further connections to the same device (since 1.25)."""


class _ByteTotal(Struct, frozen=True, rename="camel"):
    in_bytes_total: Count
    out_bytes_total: Count


class _DeviceConnections(Struct, frozen=True):
    connections: Annotated[dict[str, ConfiguredDevice], Meta(max_length=DEVICES_MAX)]
    total: _ByteTotal


class SyncthingService(Struct, frozen=True, rename="camel"):
    """One kind of discovery, or one address on which the node listens."""

    error: Word | None = None
    lan_addresses: tuple[Word, ...] | None = None
    wan_addresses: tuple[Word, ...] | None = None
    """URLs of a listener, such as "tcp://192.0.2.1:22000"."""


class _SyncthingStatus(Struct, frozen=True, rename="camel"):
    my_id: DeviceId = msgspec.field(name="myID")
    discovery_status: dict[Word, SyncthingService] | None = None
    discovery_errors: dict[Word, Word | None] | None = None
    """Until 1.2."""
    connection_service_status: dict[Word, SyncthingService] | None = None
    """By the address on which it listens."""


class _SyncthingVersion(Struct, frozen=True):
    version: Name


class _FolderCompletion(Struct, frozen=True, rename="camel"):
    completion: Annotated[float, Meta(ge=0.0, le=100.0)] | None = None
    global_items: int | None = None
    need_bytes: int | None = None


class _SeenDevice(Struct, frozen=True, rename="camel"):
    last_seen: Word = ""


class SyncthingSource:
    """One node's REST interface as a source."""

    def __init__(self, argument: str) -> None:
        """`argument`: "URL#token_file=FILE"; empty for the node of this user. Raises `ConfigError`."""
        place = parse_place(argument, OPTIONS)
        self._key_from_config = not {"token_file", "user"} & place.options.keys()
        options = dict(place.options)
        if "token_file" in options:
            options.setdefault("header", "X-API-Key")
        # The certificate that Syncthing makes for itself names no address.
        self._endpoint = Endpoint(NodePlace(place.address or DEFAULT, "", options), DEFAULT, named=False)
        self._last_bytes: dict[str, tuple[int, float]] = {}
        """By device: bytes received from it, and when these last grew."""

    async def read(self) -> Reading:
        """Read devices, bytes, completion and discovery. Raises `SourceError`."""
        headers = {}
        if self._key_from_config:
            found = own_key()
            self._endpoint.check_listener(found.file, TOKEN, ports=() if found.port is None else (found.port,))
            headers = {"X-API-Key": found.key}
        status = self._ask("system/status", _SyncthingStatus, headers)
        known = self._ask("system/connections", _DeviceConnections, headers)
        version = self._ask("system/version", _SyncthingVersion, headers).version
        completion = self._ask("db/completion", _FolderCompletion, headers)
        seen = self._ask("stats/device", dict[str, _SeenDevice], headers)
        others = {name: one for name, one in known.connections.items() if name != status.my_id}
        up = {name: one for name, one in others.items() if one.connected}
        never = sum(seen.get(name, _SeenDevice()).last_seen.startswith("1970-") for name in others.keys() - up.keys())
        return Reading(
            node="syncthing",
            node_id=status.my_id,
            version=version,
            metrics=NodeMetrics(
                active_connections=sum(1 + len(one.secondary) for one in up.values()),
                p2p_peers=len(up),
                received_bytes=known.total.in_bytes_total,
                sent_bytes=known.total.out_bytes_total,
            ),
            overlay=tuple(OverlayLink(name) for name in sorted(up)),
            addresses=_addresses(status.connection_service_status or {}),
            measures=_measures(others, status, completion, self._silent(up, monotonic())),
            details={
                "devices_paused": float(sum(one.paused for one in others.values())),
                "devices_never_seen": float(never),
                "need_bytes": completion.need_bytes,
                "listeners_failing": _failing(status.connection_service_status),
                **_kinds(up),
            },
        )

    async def close(self) -> None:
        """Nothing stays open."""

    def _ask(self, path: str, kind: type[T], headers: Mapping[str, str]) -> T:
        return self._endpoint.json(f"/rest/{path}", kind, headers=headers)

    def _silent(self, up: Mapping[str, ConfiguredDevice], now: float) -> int:
        """Count connections that have received nothing for too long."""
        last = self._last_bytes
        self._last_bytes = {
            name: last[name] if name in last and last[name][0] == one.in_bytes_total else (one.in_bytes_total, now)
            for name, one in up.items()
        }
        return sum(now - when > SILENCE_S for _, when in self._last_bytes.values())


class OwnKey(Struct, frozen=True):
    """The API key of this user's node."""

    key: str
    file: Path
    port: int | None
    """The port of its GUI, where its settings name one."""


def own_key() -> OwnKey:
    """The API key in the settings of this user's node. Raises `SourceError`, which never shows the key."""
    tried = [folder / "config.xml" for folder in config_folders()]
    for file in tried:
        try:
            text = read_regular(file, CONFIG_BYTES_MAX)
        except OSError:
            continue
        if b"<!ENTITY" in text:
            raise SourceError(f"{file} declares entities, so it is not Syncthing's")
        try:
            settings = ElementTree.fromstring(text)
            key = settings.findtext("gui/apikey") or ""
        except (ElementTree.ParseError, ValueError, LookupError):
            raise SourceError(f"{file} is not Syncthing's configuration") from None
        if not key.isprintable() or not key.isascii() or not key:
            raise SourceError(f"{file} holds no API key; name a file with the key, as in #token_file=PATH")
        return OwnKey(key, file, port_of(settings.findtext("gui/address") or ""))
    naming = f"name a file with the key, as in {TOKEN}"
    if homes := _homes():
        raise SourceError(f"no API key: syncthing runs with its settings in {', '.join(homes)}; {naming}")
    places = ", ".join(str(file) for file in tried)
    raise SourceError(f"no API key: none of {places} can be read; {naming}")


def _homes() -> list[str]:
    """The folders of settings in the command lines of running nodes."""
    found: set[str] = set()
    for one in psutil.process_iter(["name", "cmdline"]):
        if one.info["name"] == "syncthing":
            words = HOME.findall("\0".join(one.info["cmdline"] or ()))
            found.update(printable(word)[:200] for word in words)
    psutil.process_iter.cache_clear()  # it would keep an object for each process of the machine
    return sorted(found)[:3]


def config_folders() -> list[Path]:
    """Where Syncthing keeps its settings, in its own order."""
    home, named = Path.home(), os.environ.get("STHOMEDIR") or os.environ.get("STCONFDIR")
    state = Path(os.environ.get("XDG_STATE_HOME") or home / ".local/state")
    config = Path(os.environ.get("XDG_CONFIG_HOME") or home / ".config")
    usual = [state / "syncthing", config / "syncthing", home / "Library/Application Support/Syncthing"]
    return [Path(named), *usual] if named else usual


def _measures(
    others: Mapping[str, ConfiguredDevice], status: _SyncthingStatus, completion: _FolderCompletion, dead_links: int
) -> tuple[Measure, ...]:
    errors = _failing(status.discovery_status)
    if errors is None and status.discovery_errors is not None:
        errors = sum(bool(error) for error in status.discovery_errors.values())
    # A node without files calls itself complete.
    is_known = completion.completion is not None and completion.global_items != 0
    share = round(completion.completion / 100, 6) if is_known and completion.completion is not None else None
    return (
        Measure("dead_links", dead_links),
        Measure("devices_configured", len(others)),
        Measure("devices_connected", sum(one.connected for one in others.values())),
        Measure("discovery_errors", errors),
        Measure("folder_completion", share, "ratio"),
    )


def _addresses(listeners: Mapping[str, SyncthingService]) -> tuple[str, ...]:
    """Where it listens by TCP. Others learn these from discovery."""
    urls = {url for one in listeners.values() for url in (*(one.wan_addresses or ()), *(one.lan_addresses or ()))}
    found = {url.partition("://")[2] for url in urls if url.startswith("tcp")}
    named = [one for one in sorted(found) if is_address(one) and not one.startswith(("0.0.0.0:", "[::]:"))]
    return tuple(sorted(named, key=reach)[:ADDRESSES_MAX])


def _failing(services: Mapping[str, SyncthingService] | None) -> int | None:
    return None if services is None else sum(bool(one.error) for one in services.values())


def _kinds(up: Mapping[str, ConfiguredDevice]) -> dict[str, float | str | None]:
    """Count devices by the kind of their connection. A relayed one is slow."""
    found = Counter(one.type.partition("-")[0] for one in up.values())
    return {f"devices_by_{kind}": float(found[kind]) for kind in ("tcp", "quic", "relay")}
