"""Settings of what other tools get. Secrets stand in files of their own, never here."""

from __future__ import annotations

import re
from typing import Literal
from urllib.parse import urlsplit

from msgspec import Struct

from peerscope.errors import ConfigError

MIB = 2**20
QUEUE_BYTES_MIN = MIB
OWN_HEADERS = frozenset(("authorization", "content-encoding", "content-length", "content-type", "host", "user-agent"))
"""What a request needs to be understood, and the credentials, which stand in files."""

OWN_PREFIX = "x-prometheus-remote-write-"
_ADDRESS = re.compile(r"([0-9A-Za-z._-]+|\[[0-9A-Fa-f:.]+\])(?::([0-9]{1,5}))?")
# Names and values of HTTP headers (RFC 9110 section 5), without the obsolete forms.
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_HEADER_VALUE = re.compile(r"[\x21-\x7e]([\x20-\x7e]*[\x21-\x7e])?")


class RemoteWriteConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where samples are written to, and how. Needs the extra `remote-write`."""

    url: str = ""
    """Of a receiver of Prometheus remote write 1.0, as in http://127.0.0.1:8428/api/v1/write; empty for none."""
    mode: Literal["elected", "every"] = "elected"
    """elected: of all peers that have a `url`, one writes what it sees. every: each writes its own series, and one of
    them those of the network as well."""
    interval_s: float = 15.0  # Prometheus's own examples scrape so often
    """Between two samples of a series."""
    headers: dict[str, str] = {}
    """Further headers, such as X-Scope-OrgID for Mimir. Credentials have settings of their own."""
    bearer_token_file: str = ""
    username: str = ""
    password_file: str = ""
    """Files that nobody else can read (mode 0600); they are read again for every request."""
    queue_bytes_max: int = 64 * MIB  # 68 hours of four requests a minute, of 4 KiB or less
    """Of what waits on disk while the receiver is away. Beyond, the oldest is dropped and counted."""
    batch_samples_max: int = 2000  # Prometheus's max_samples_per_send
    """In one request."""
    timeout_s: float = 30.0  # Prometheus's remote_timeout
    """How long a request may take."""

    def __post_init__(self) -> None:
        if self.url:
            _check_url(self.url, "export.remote_write.url")
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
                raise ConfigError(f"export.remote_write.headers: {name!r} or its value cannot stand in a request")
            if name.lower() in OWN_HEADERS or name.lower().startswith(OWN_PREFIX):
                raise ConfigError(
                    f"export.remote_write.headers: {name} is set by peerscope itself; for credentials use "
                    "bearer_token_file, or username and password_file"
                )


class OtlpConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where the ways of messages are told as traces. Needs the extra `otel`."""

    endpoint: str = ""
    """Of an OTLP/HTTP receiver, as in http://127.0.0.1:4318; empty for none. Further headers come from the
    environment, OTEL_EXPORTER_OTLP_HEADERS."""
    sample_ratio: float = 0.1  # a guess: a peer of a thousand hears some hundred urgent messages a minute
    """Share of the messages that are told."""

    def __post_init__(self) -> None:
        if self.endpoint:
            _check_url(self.endpoint, "export.otlp.endpoint")
        if not 0 <= self.sample_ratio <= 1:
            raise ConfigError(f"export.otlp.sample_ratio is {self.sample_ratio}; must lie between 0 and 1")


class ExportConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What other tools get."""

    address: str = ""
    """Where others reach this peer's /metrics, "host" or "host:port"; "off" tells nobody. Empty: as `web.listen` says,
    unless that is a loopback address."""
    per_peer: bool = False
    """Series of every peer in /metrics and remote write: about thirty for each."""
    remote_write: RemoteWriteConfig = RemoteWriteConfig()
    otlp: OtlpConfig = OtlpConfig()

    def __post_init__(self) -> None:
        if self.address not in ("", "off"):
            host_and_port(self.address, 0)


def host_and_port(address: str, port: int) -> str:
    """ "host:port" of `export.address`, with this port where it names none. Raises `ConfigError`."""
    found = _ADDRESS.fullmatch(address)
    if found is None or int(found[2] or 0) > 65535:
        raise ConfigError(f'export.address is {address!r}; must be "host" or "host:port", or "off"')
    return f"{found[1]}:{found[2] or port}"


def _check_url(url: str, key: str) -> None:
    place = urlsplit(url)
    try:
        is_good = place.scheme in ("http", "https") and place.hostname and place.port != 0
    except ValueError:  # a port that is no number
        is_good = False
    if place.username is not None or place.password is not None:
        raise ConfigError(f"{key} holds a user name or a password; those have settings and files of their own")
    if not is_good:
        raise ConfigError(f"{key} is {url!r}; must be a URL of http or https")


class AsideView(Struct, frozen=True):
    """Samples that the receiver does not take, for one reason."""

    reason: str
    samples: int
    example: str
    """Name and date of the last one."""


class RemoteWriteView(Struct, frozen=True):
    """What was sent, waits and was lost since the agent started."""

    elected: bool
    """This peer writes for all."""
    sent_samples: int
    queue_samples: int
    held_samples: int
    """Of those that wait: dated after the network's clock."""
    dropped_samples: int
    """Lost, since the queue was full or the disk failed."""
    aside: tuple[AsideView, ...]
    failing: str | None
    """Why the last request was not taken; null where it was."""
    last_sent_age_s: float | None
    """null before the first."""
