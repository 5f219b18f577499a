"""Settings of the exports to other tools, and the state of remote write. Secrets stay in files of their own."""

from __future__ import annotations

import re
from typing import Literal

from msgspec import Struct

from peerscope.errors import ConfigError
from peerscope.host.addresses import check_url

MIB = 2**20
QUEUE_BYTES_MIN = MIB
OWN_HEADERS = frozenset(("authorization", "content-encoding", "content-length", "content-type", "host", "user-agent"))
"""Headers that peerscope sets itself, and credentials, which belong into files."""

OWN_PREFIX = "x-prometheus-remote-write-"
_ADDRESS = re.compile(r"([0-9A-Za-z._-]+|\[[0-9A-Fa-f:.]+\])(?::([0-9]{1,5}))?")
# Names and values of HTTP headers (RFC 9110 section 5), without the obsolete forms.
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_HEADER_VALUE = re.compile(r"[\x21-\x7e]([\x20-\x7e]*[\x21-\x7e])?")


class RemoteWriteConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of remote write. Needs the extra `remote-write`."""

    url: str = ""
    """URL of a receiver of Prometheus remote write 1.0, as in http://127.0.0.1:8428/api/v1/write; empty for none."""
    mode: Literal["elected", "every"] = "elected"
    """elected: one of all peers with a `url` writes everything that it sees.

    every: each peer writes its own series, and the elected one those of the network too.
    """
    interval_s: float = 15.0  # Prometheus's own examples scrape so often
    """Between two samples of a series."""
    headers: dict[str, str] = {}
    """Further headers, such as X-Scope-OrgID for Mimir. Credentials have settings of their own."""
    bearer_token_file: str = ""
    username: str = ""
    password_file: str = ""
    """Files of mode 0600. The agent reads them again for every request."""
    queue_bytes_max: int = 64 * MIB  # 68 hours of four requests a minute, of 4 KiB or less
    """Limit of the queue on disk while the receiver is away. Beyond it, the oldest samples are dropped and counted."""
    batch_samples_max: int = 2000  # Prometheus's max_samples_per_send
    """Samples in one request."""
    timeout_s: float = 30.0  # Prometheus's remote_timeout
    """Time for one request."""

    def __post_init__(self) -> None:
        if self.url:
            check_url(self.url, "export.remote_write.url")
        if not 1 <= self.interval_s <= 3600:
            raise ConfigError(f"export.remote_write.interval_s is {self.interval_s}; must lie between 1 and 3600")
        if not 1 <= self.timeout_s <= 600:
            raise ConfigError(f"export.remote_write.timeout_s is {self.timeout_s}; must lie between 1 and 600")
        if self.queue_bytes_max < QUEUE_BYTES_MIN:
            raise ConfigError(
                f"export.remote_write.queue_bytes_max is {self.queue_bytes_max}; must be {QUEUE_BYTES_MIN} (1 MiB) "
                "or more"
            )
        if not 1 <= self.batch_samples_max <= 100_000:
            raise ConfigError(
                f"export.remote_write.batch_samples_max is {self.batch_samples_max}; must lie between 1 and 100000"
            )
        if bool(self.username) != bool(self.password_file):
            raise ConfigError("export.remote_write.username and password_file go together; set both or none")
        if self.bearer_token_file and self.username:
            raise ConfigError("export.remote_write has a bearer_token_file and a username; a request carries only one")
        for name, value in self.headers.items():
            if not _HEADER_NAME.fullmatch(name) or not _HEADER_VALUE.fullmatch(value):  # the value may be a secret
                raise ConfigError(f"export.remote_write.headers: {name!r} or its value is not valid in a request")
            if name.lower() in OWN_HEADERS or name.lower().startswith(OWN_PREFIX):
                raise ConfigError(
                    f"export.remote_write.headers: {name} is set by peerscope itself; for credentials use "
                    "bearer_token_file, or username and password_file"
                )


class OtlpConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of traces: the paths of messages. Needs the extra `otel`."""

    endpoint: str = ""
    """URL of an OTLP/HTTP receiver, as in http://127.0.0.1:4318; empty for none. Further headers come from the
    environment, OTEL_EXPORTER_OTLP_HEADERS."""
    sample_ratio: float = 0.1  # a guess: a peer of a thousand hears some hundred urgent messages a minute
    """Share of the messages to export."""

    def __post_init__(self) -> None:
        if self.endpoint:
            check_url(self.endpoint, "export.otlp.endpoint")
        if not 0 <= self.sample_ratio <= 1:
            raise ConfigError(f"export.otlp.sample_ratio is {self.sample_ratio}; must lie between 0 and 1")


class ExportConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of all exports."""

    address: str = ""
    """Where others reach this peer's /metrics, "host" or "host:port"; "off" publishes no address. Empty: that of
    `web.listen`, unless it is a loopback address."""
    per_peer: bool = False
    """Export series of every peer in /metrics and remote write: about thirty per peer."""
    remote_write: RemoteWriteConfig = RemoteWriteConfig()
    otlp: OtlpConfig = OtlpConfig()

    def __post_init__(self) -> None:
        if self.address not in ("", "off"):
            host_and_port(self.address, 0)


def host_and_port(address: str, port: int) -> str:
    """Make "host:port" of `export.address`, with this port where it has none. Raises `ConfigError`."""
    found = _ADDRESS.fullmatch(address)
    if found is None or int(found[2] or 0) > 65535:
        raise ConfigError(f'export.address is {address!r}; must be "host" or "host:port", or "off"')
    return f"{found[1]}:{found[2] or port}"


class AsideView(Struct, frozen=True):
    """Samples that the receiver refuses, for one reason."""

    reason: str
    samples: int
    example: str
    """Name and date of the last one."""


class RemoteWriteView(Struct, frozen=True):
    """The state of remote write. All counts begin with the start of the agent."""

    elected: bool
    """Whether this peer writes for all."""
    sent_samples: int
    queue_samples: int
    held_samples: int
    """Samples in the queue that are dated after the network's clock."""
    dropped_samples: int
    """Samples that were lost because the queue was full or the disk failed."""
    aside: tuple[AsideView, ...]
    failing: str | None
    """Why the last request failed; null where it succeeded."""
    last_sent_age_s: float | None
    """null before the first."""
