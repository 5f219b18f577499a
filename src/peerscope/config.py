"""The operator's settings: defaults, then the TOML file, then the environment, then options of the command line.

Each part declares its own section beside the code that reads it; this module combines and loads them. A variable
`PEERSCOPE_SECTION__KEY` overrides one value, and `PEERSCOPE_HEALTH__CPU__DEGRADED=0.9` one in a sub-table.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from peerscope.alerts.incidents import IncidentConfig
from peerscope.alerts.rules import AlertConfig, Rule, effective_rules, parse_rules
from peerscope.errors import ConfigError
from peerscope.export.config import ExportConfig
from peerscope.history.retention import HistoryConfig
from peerscope.host.addresses import is_address, is_loopback, split_address
from peerscope.host.logs import LogConfig
from peerscope.host.secret_files import Secret
from peerscope.mesh.config import PeerConfig
from peerscope.mesh.coordinates.vivaldi import CoordinateConfig
from peerscope.mesh.crawling.answers import CrawlConfig
from peerscope.mesh.detection.checks import HealthConfig
from peerscope.mesh.detection.detector import DetectorConfig
from peerscope.mesh.dissemination.anti_entropy import SyncConfig
from peerscope.mesh.dissemination.gossip import GossipConfig
from peerscope.mesh.limits.rate_limit import LimitConfig
from peerscope.mesh.membership.admission import NetworkConfig
from peerscope.mesh.membership.neighbours import NeighbourConfig
from peerscope.mesh.report import ReportConfig
from peerscope.mesh.zoning.names import ZoneConfig
from peerscope.notify.settings import NotifyConfig, decode_secret, refuse_written
from peerscope.records.identity import PeerId
from peerscope.records.ledger import LedgerConfig
from peerscope.sources.node import NodeConfig
from peerscope.threats.threats import ThreatConfig
from peerscope.transport.relay import DISABLED, TransportConfig
from peerscope.views.places import CLUSTER_MARK
from peerscope.views.regions import RegionConfig

ENVIRONMENT_PREFIX = "PEERSCOPE_"
TOKEN_CHARACTERS_MIN = 16
LISTS = frozenset(
    {"join", "allowed_hosts", "proxies", "sources", "allow", "operators", "blocked", "trust", "to", "trusted"}
)
"""Keys of lists: their values in the environment are separated by commas."""


class SelfConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """This peer."""

    listen: str = "127.0.0.1:0"
    """Address for other peers, "host:port"; port 0 takes any free one. 0.0.0.0 to be reached from other machines. The
    host may be a name of this machine."""
    join: tuple[str, ...] = ()
    """Peers to start from: tickets, or ids with addresses or names (`transport/joining.py`)."""
    region: str | None = None
    """Name of the place of this peer; free text of up to 64 characters. It may not begin with `~`."""
    geo: bool = True
    """Without a region: publish the country of this peer's own public addresses, where the extra `geo` is installed."""
    geo_database: str = ""
    """Path of an .mmdb file to look the country up in; empty for the table inside `iptocc`."""

    def __post_init__(self) -> None:
        split_address(self.listen, "peer.listen")
        if self.region is not None and (not 1 <= len(self.region) <= 64 or not self.region.isprintable()):
            raise ConfigError(f"peer.region is {self.region!r}; must be 1 to 64 printable characters")
        if self.region is not None and self.region.startswith(CLUSTER_MARK):
            raise ConfigError(
                f"peer.region is {self.region!r}; names with {CLUSTER_MARK!r} in front are for derived regions"
            )


class WebConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Dashboard and API."""

    listen: str = "127.0.0.1:8080"
    """Address of the dashboard, "host:port", or "off"."""
    token: str = ""
    """If set, all requests need it. Required when `listen` is not a loopback address."""
    allowed_hosts: tuple[str, ...] = ()
    """Further host names of the dashboard; others are refused, against DNS rebinding."""
    update_interval_s: float = 5.0
    """Seconds between updates of the live feed; verdicts come at once."""
    tls_cert: str = ""
    """Path of a PEM file with the certificate and its chain. With it the dashboard uses only TLS."""
    tls_key: str = ""
    """Path of its private key, PEM, without a password."""
    proxies: tuple[str, ...] = ()
    """Addresses of reverse proxies whose `X-Forwarded-For` counts."""

    def __post_init__(self) -> None:
        if bool(self.tls_cert) != bool(self.tls_key):
            given, wanting = ("tls_cert", "tls_key") if self.tls_cert else ("tls_key", "tls_cert")
            raise ConfigError(f"web.{given} is set but web.{wanting} is not; TLS needs both")
        for proxy in self.proxies:
            if not is_address(proxy):
                raise ConfigError(f"web.proxies has {proxy!r}; must be IP addresses or networks, as 10.0.0.0/8")
        if self.token and len(self.token) < TOKEN_CHARACTERS_MIN:
            raise ConfigError(f"web.token is too short; use {TOKEN_CHARACTERS_MIN} characters or more")
        if not 0.1 <= self.update_interval_s <= 3600:
            raise ConfigError(f"web.update_interval_s is {self.update_interval_s}; must lie between 0.1 and 3600")
        if self.listen == "off":
            return
        host, _ = split_address(self.listen, "web.listen")
        if not is_loopback(host) and not self.token:
            raise ConfigError(
                f"web.listen is {self.listen}: reachable from other machines, but web.token is empty; set a token "
                "(PEERSCOPE_WEB__TOKEN, `openssl rand -hex 16` makes one) or listen on 127.0.0.1"
            )


class Config(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All settings of an agent."""

    peer: SelfConfig = SelfConfig()
    network: NetworkConfig = NetworkConfig()
    web: WebConfig = WebConfig()
    health: HealthConfig = HealthConfig()
    report: ReportConfig = ReportConfig()
    detector: DetectorConfig = DetectorConfig()
    links: NeighbourConfig = NeighbourConfig()
    gossip: GossipConfig = GossipConfig()
    sync: SyncConfig = SyncConfig()
    ledger: LedgerConfig = LedgerConfig()
    regions: RegionConfig = RegionConfig()
    crawl: CrawlConfig = CrawlConfig()
    coordinates: CoordinateConfig = CoordinateConfig()
    limits: LimitConfig = LimitConfig()
    node: NodeConfig = NodeConfig()
    history: HistoryConfig = HistoryConfig()
    notify: NotifyConfig = NotifyConfig()
    alerts: AlertConfig = AlertConfig()
    incidents: IncidentConfig = IncidentConfig()
    export: ExportConfig = ExportConfig()
    zones: ZoneConfig = ZoneConfig()
    threats: ThreatConfig = ThreatConfig()
    log: LogConfig = LogConfig()
    transport: TransportConfig = TransportConfig()

    @classmethod
    def load(
        cls,
        path: str | Path | None = None,
        *,
        environment: Mapping[str, str] | None = None,
        options: Mapping[str, Mapping[str, Any]] | None = None,
    ) -> Config:
        """Settings from a TOML file (or none), the environment, and options by section.

        Raises `ConfigError`, which names the file, the key and the valid values.
        """
        values: dict[str, Any] = msgspec.to_builtins(cls())  # so that a part of a sub-table keeps the other defaults
        layers = (
            (f"{path}: ", _read(Path(path)) if path is not None else {}),
            ("environment: ", _from_environment(os.environ if environment is None else environment)),
            ("", options or {}),
        )
        try:
            refuse_written(layers[0][1])
        except ConfigError as error:
            raise ConfigError(f"{path}: {error}") from None
        config = cls()
        for where, layer in layers:  # check each by itself, so that the error names the right layer
            if layer:
                _overlay(values, layer)
                config = _convert(values, where)
        try:
            config.check()
            config.alert_rules()
        except ConfigError as error:
            raise ConfigError(f"{path}: {error}" if path is not None else str(error)) from None
        return config

    def check(self) -> None:
        """Raise `ConfigError` if sections conflict. Call it after all layers, since one may correct another."""
        host, _ = split_address(self.peer.listen, "peer.listen")
        has_relay = self.transport.relay != DISABLED
        if not ((is_loopback(host) and not has_relay) or self.network.open or self.network.is_closed):
            key, value = ("transport.relay", self.transport.relay) if has_relay else ("peer.listen", self.peer.listen)
            raise ConfigError(
                f"{key} is {value}: reachable from other machines, but nothing says who may join. Set "
                "network.secret (PEERSCOPE_NETWORK__SECRET, `openssl rand -hex 16` makes one), network.allow (ids of "
                "peers) or network.operators (`peerscope admit keygen` makes one). Set network.open = true to let "
                "anybody in, or listen on this machine alone: --listen 127.0.0.1:0"
            )

    def alert_rules(self) -> tuple[Rule, ...]:
        """All alert rules: those of the package, with the operator's additions and changes. Raises `ConfigError`."""
        place = self.alerts.rules_file
        try:
            more = parse_rules(Path(place).read_text(encoding="utf-8"), place) if place else ()
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"alerts.rules_file: {place} cannot be read: {error}") from None
        return effective_rules(self.alerts, more)

    def plain(self) -> dict[str, Any]:
        """All plain values, with secrets: to compare settings and to hide secrets, never to show."""
        values: dict[str, Any] = msgspec.to_builtins(self, enc_hook=_revealed)
        return values

    def core(self) -> PeerConfig:
        """The settings of the protocol core."""
        return PeerConfig(
            network=self.network,
            ledger=self.ledger,
            links=self.links,
            detector=self.detector,
            gossip=self.gossip,
            sync=self.sync,
            report=self.report,
            health=self.health,
            crawl=self.crawl,
            coordinates=self.coordinates,
            zones=self.zones,
            limits=self.limits,
            obeyed=self.notify.obeyed(is_public=self.network.public),
            trusted=frozenset((*self.threats.trusted, *(PeerId(bytes.fromhex(one)) for one in self.notify.trusted))),
        )


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such file; `peerscope init` writes one") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read: {error}") from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path}: not TOML: {error}") from None


def _from_environment(environment: Mapping[str, str]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for name in sorted(environment):
        if not name.startswith(ENVIRONMENT_PREFIX) or "__" not in name:
            continue
        *tables, key = name.removeprefix(ENVIRONMENT_PREFIX).lower().split("__")
        place = values
        for table in tables:
            if not isinstance(place.setdefault(table, {}), dict):
                raise ConfigError(f"environment: {name}: {'.'.join(tables)} is already set as a whole")
            place = place[table]
        text = environment[name]
        try:
            (name + text).encode()
        except UnicodeEncodeError:
            raise ConfigError(f"environment: {name!r} is not UTF-8 text") from None
        place[key] = tuple(filter(None, text.split(","))) if key in LISTS else text
    return values


def _overlay(values: dict[str, Any], over: Mapping[str, Any]) -> None:
    for key, value in over.items():
        if isinstance(value, Mapping) and isinstance(values.get(key), dict):
            _overlay(values[key], value)
        elif isinstance(value, Mapping):
            values[key] = {}
            _overlay(values[key], value)
        else:
            values[key] = value


def _convert(values: dict[str, Any], where: str) -> Config:
    try:
        # not strict: the environment holds text only
        return msgspec.convert(values, Config, strict=False, dec_hook=decode_secret)
    except ConfigError as error:
        raise ConfigError(f"{where}{error}") from None
    except msgspec.ValidationError as error:
        raise ConfigError(f"{where}{_explained(str(error))}") from None


def _explained(message: str) -> str:
    """Rewrite msgspec's message: the key first, with a similar valid key."""
    text, _, place = message.partition(" - at `$")
    place = place.rstrip("`").removeprefix(".")
    unknown = re.search(r"unknown field `(.*)`", text)
    if unknown is None:
        return f"{place}: {text}" if place else text
    key = unknown.group(1)
    known = _fields(place)
    from difflib import get_close_matches  # for mistakes alone

    guess = get_close_matches(key, known, n=1)
    hint = f"did you mean `{guess[0]}`?" if guess else f"known here: {', '.join(known)}"
    return f"unknown key `{key}` in {f'[{place}]' if place else 'the file'}; {hint}"


def _revealed(value: Any) -> str:
    if not isinstance(value, Secret):
        raise NotImplementedError(type(value).__name__)
    return value.reveal()


def _fields(place: str) -> list[str]:
    kind: type[Struct] = Config
    for name in filter(None, place.split(".")):
        found = next((f.type for f in msgspec.structs.fields(kind) if f.name == name), None)
        if not (isinstance(found, type) and issubclass(found, Struct)):
            return []
        kind = found
    return [f.name for f in msgspec.structs.fields(kind)]
