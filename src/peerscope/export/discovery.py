"""The exporters of a network: the address that each peer publishes, and the list that Prometheus fetches.

https://prometheus.io/docs/prometheus/latest/http_sd/. A peer publishes an address in its profile only if others can
reach it, since each target that cannot be scraped raises a false alarm. A scraper on the same machine also reaches an
exporter on loopback, so a peer lists itself for it.
"""

from __future__ import annotations

import ipaddress
import socket
from urllib.parse import urlsplit

import psutil
from msgspec import Struct

from peerscope.export.config import ExportConfig, host_and_port
from peerscope.host.addresses import is_loopback, split_address
from peerscope.mesh.detection.verdicts import Verdict
from peerscope.records.identity import ref, short
from peerscope.views.snapshot import Snapshot

META = "__meta_peerscope_"
INTERNET = (socket.AF_INET, socket.AF_INET6)


class Target(Struct, frozen=True):
    """One exporter."""

    targets: tuple[str, ...]
    labels: dict[str, str]


def targets(snapshot: Snapshot, network: str, own: str | None = None) -> list[Target]:
    """List the exporter of every peer that publishes one, also of peers that are down: then `up` is 0.

    `own`: where this scraper reaches this peer, if this peer publishes no address.
    """
    found = []
    for peer in snapshot.peers:
        profile, verdict = snapshot.profiles[peer], snapshot.verdict(peer)
        exporter = profile.exporter or (own if peer == snapshot.me else None)
        if exporter is None or verdict is Verdict.LEFT:
            continue
        about = {
            "peer": ref(peer).hex(),
            "peer_id": peer.hex(),
            "short_id": short(peer),
            "network": network,
            "zone": profile.zone,
            "region": snapshot.places[peer].region or "",
            "node": profile.node or "",
            "version": profile.version,
            "verdict": verdict.value,
        }
        found.append(Target((exporter,), {META + name: value for name, value in about.items()}))
    return found


def exporter_address(config: ExportConfig, http: str | None, reached: tuple[str, ...]) -> str | None:
    """Where others reach our /metrics, "host:port"; None where they cannot.

    `http`: URL of our web server. `reached`: where other peers reach us. If the web server listens on all addresses,
    the first of these counts that is not a loopback address.
    """
    if http is None or config.address == "off":
        return None
    place = urlsplit(http)
    host, port = place.hostname or "", place.port or 80
    if config.address:
        return host_and_port(config.address, port)
    if _is_any(host):
        hosts = (split_address(address, "address")[0] for address in reached)
        host = next((other for other in hosts if not _is_any(other) and not is_loopback(other)), "")
    if not host or is_loopback(host):
        return None
    return host_and_port(f"[{host}]" if ":" in host else host, port)


def local_address(config: ExportConfig, http: str | None) -> str | None:
    """Where a scraper on this machine reaches our /metrics, "host:port"; None where it cannot, or for "off"."""
    if http is None or config.address == "off":
        return None
    place = urlsplit(http)
    host, port = place.hostname or "", place.port or 80
    if _is_any(host):
        host = "::1" if ":" in host else "127.0.0.1"
    return host_and_port(f"[{host}]" if ":" in host else host, port)


def scraped_as(config: ExportConfig, host: str) -> tuple[str, ...]:
    """Names that scrapers may use for our web server on `host`, none of which a stranger could point at us.

    These are the host of `export.address` and, if the server listens on all addresses, the addresses of this machine.
    """
    names = (
        [split_address(host_and_port(config.address, 0), "export.address")[0]]
        if config.address not in ("", "off")
        else []
    )
    if _is_any(host):
        names += [
            one.address for interface in psutil.net_if_addrs().values() for one in interface if one.family in INTERNET
        ]
    return tuple(names)


def _is_any(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_unspecified
    except ValueError:
        return False
