"""`nebula:URL#ssh=HOST:PORT&ssh_user=NAME&ssh_key=FILE`: a host of a Nebula mesh: its metrics and its debug console.

Checked with Nebula 1.6.1 and 1.10.3. Its metrics (`stats.type: prometheus`) give counts. Only the debug console
(`sshd.enabled`) knows the hosts: `list-hostmap -json` lists those with a tunnel, `print-cert -json` names this one.
The console is asked through the program `ssh`. Without the option `ssh`, id and neighbours are unknown. A login is
expensive at both ends. So the list is asked again when the count of hosts changes, else twice a minute.

Nebula counts a host that died for another 17 to 37 s, a lighthouse for more than 90 s. It counts no bytes. With the
console, bytes are those of its interface, which carries nothing else. It measures no round trips.
"""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from math import inf
from typing import Annotated, TypeVar

import msgspec
import psutil
from msgspec import Meta, Struct
from msgspec.structs import replace

from peerscope.errors import ConfigError, SourceError
from peerscope.host.addresses import split_address
from peerscope.host.clock import monotonic
from peerscope.records.bodies import OverlayLink
from peerscope.sources.base import Reading
from peerscope.sources.faults import fault
from peerscope.sources.place import parse_place
from peerscope.sources.prometheus import PrometheusSource

DEFAULT = "http://127.0.0.1:8080/metrics"
OPTIONS = frozenset({"ssh", "ssh_user", "ssh_key"})
TIMEOUT_S = 3.0
HOSTS_AGE_S = 30.0
HOSTS_MAX = 65_536

Network = Annotated[str, Meta(pattern=r"^[0-9a-fA-F:.]{2,45}/[0-9]{1,3}\Z")]


class MappedHost(Struct, frozen=True, rename="camel"):
    """One entry of the host map. Since 1.10 a host has several addresses."""

    vpn_ip: str | None = None
    vpn_addrs: tuple[str, ...] = ()
    remote_index: int = 0
    """0 before the handshake is complete."""

    @property
    def address(self) -> str | None:
        return self.vpn_addrs[0] if self.vpn_addrs else self.vpn_ip


class _Details(Struct, frozen=True):
    ips: tuple[Network, ...] = ()
    networks: tuple[Network, ...] = ()


class _Certificate(Struct, frozen=True):
    details: _Details


_Hosts = msgspec.json.Decoder(Annotated[tuple[MappedHost, ...], Meta(max_length=HOSTS_MAX)] | None)
_Certificates = msgspec.json.Decoder(_Certificate | tuple[_Certificate, ...])
T = TypeVar("T")


class NebulaSource:
    """One host."""

    def __init__(self, argument: str = "") -> None:
        """`argument`: URL of the metrics, and where the console is. Raises `ConfigError`."""
        place = parse_place(argument, OPTIONS)
        if place.word:
            raise ConfigError(f"{place.word!r} is no option; known are {', '.join(sorted(OPTIONS))}")
        self._metrics = PrometheusSource(f"{place.address or DEFAULT}#nebula")
        self._console = Console(place.options) if place.options else None
        self._hosts: list[str] = []
        self._own: str | None = None
        self._counted: int | None = None
        self._asked_at = -inf

    async def read(self) -> Reading:
        """Ask both. Blocks its thread, which is the source's own. Raises `SourceError`."""
        counts = await self._metrics.read()
        if self._console is None:
            return counts
        now, counted = monotonic(), counts.metrics.p2p_peers
        if counted != self._counted or now - self._asked_at > HOSTS_AGE_S:
            self._hosts, self._own = self._console.hosts(), self._own or self._console.own()
            self._counted, self._asked_at = counted, now
        received, sent = _moved(self._own)
        return replace(
            counts,
            node_id=self._own,
            metrics=replace(counts.metrics, received_bytes=received, sent_bytes=sent),
            overlay=tuple(OverlayLink(host) for host in self._hosts),
        )

    async def close(self) -> None:
        """Nothing stays open."""


class Console:
    """The debug console, reached through `ssh`."""

    def __init__(self, given: Mapping[str, str]) -> None:
        """`given`: ssh, ssh_user, ssh_key. Raises `ConfigError`."""
        if missing := OPTIONS - given.keys():
            raise ConfigError(f"the debug console needs the option {', '.join(sorted(missing))} too")
        host, port = split_address(given["ssh"], "the debug console")
        user = given["ssh_user"]
        if not user.isidentifier():
            raise ConfigError(f"ssh_user {user!r} is no name of a user")
        self.place = given["ssh"]
        self._command = ["ssh", "-p", str(port), "-i", given["ssh_key"], "-l", user]
        for option in ("BatchMode=yes", "StrictHostKeyChecking=accept-new", "LogLevel=ERROR", "ConnectTimeout=3"):
            self._command += ["-o", option]
        self._command += ["--", host]

    def ask(self, command: str) -> bytes:
        """The answer to one command. Raises `SourceError`."""
        try:
            done = subprocess.run(
                [*self._command, command],
                capture_output=True,
                timeout=TIMEOUT_S,
                check=False,
                stdin=subprocess.DEVNULL,
            )
        except FileNotFoundError:
            raise SourceError("the program ssh is missing; the debug console needs it") from None
        except subprocess.TimeoutExpired:
            raise SourceError(f"the debug console at {self.place} has not answered for {TIMEOUT_S:g} s") from None
        except OSError as error:
            raise SourceError(f"ssh cannot be run: {error.strerror}") from None
        if done.returncode:
            reason = done.stderr.decode("utf-8", "replace").strip().split("\n")[-1][:120]
            raise SourceError(f"the debug console at {self.place} refuses: {reason or 'it closed the connection'}")
        return done.stdout

    def hosts(self) -> list[str]:
        """Addresses of the hosts with a tunnel, sorted. Raises `SourceError`."""
        found = _decoded(self.ask("list-hostmap -json"), _Hosts)
        return sorted({host.address for host in found or () if host.address is not None and host.remote_index})

    def own(self) -> str:
        """The address of this host. Raises `SourceError`."""
        found = _decoded(self.ask("print-cert -json"), _Certificates)
        for one in (found,) if isinstance(found, _Certificate) else found:
            if networks := one.details.networks or one.details.ips:
                return networks[0].partition("/")[0]
        raise SourceError("the certificate of this host names no address")


def _decoded(data: bytes, decoder: msgspec.json.Decoder[T]) -> T:
    try:
        return decoder.decode(data)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise SourceError(f"the debug console answers something unexpected: {fault(error)}") from None


def _moved(address: str | None) -> tuple[int | None, int | None]:
    """Bytes received and sent over the interface with this address; None where it has none, as a lighthouse may."""
    for name, addresses in psutil.net_if_addrs().items():
        if any(one.address == address for one in addresses):
            counted = psutil.net_io_counters(pernic=True).get(name)
            return (None, None) if counted is None else (counted.bytes_recv, counted.bytes_sent)
    return None, None
