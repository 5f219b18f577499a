"""Section `[notify]` of the settings: when to notify people, and by which channels.

They are here and not beside the code of each channel, so that reading them loads no mail or HTTP client.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar, Literal, TypeVar

import msgspec
from msgspec import Struct

from peerscope.alerts.heartbeat import HeartbeatConfig
from peerscope.alerts.notifier_config import NotifierConfig
from peerscope.errors import ConfigError
from peerscope.host.addresses import check_url, is_loopback
from peerscope.host.secret_files import Secret, read_secret
from peerscope.records.identity import PeerId

CHANNELS_MAX = 16
NAME = re.compile(r"[a-z0-9]+(_[a-z0-9]+)*\Z")
"""Names that fit into a variable: PEERSCOPE_NOTIFY__CHANNELS__NAME__SECRET."""
HEARTBEAT_URL = "notify.heartbeat.url"
HEARTBEAT_VARIABLE = "PEERSCOPE_NOTIFY__HEARTBEAT__URL"
ADDRESS = re.compile(r"[^@\s<>,;:\"()\[\]\\]{1,64}@[^@\s<>,;:\"()\\]{1,255}\Z")


S = TypeVar("S", bound=Struct)


class ChannelConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of every channel."""

    SECRETS: ClassVar[tuple[str, ...]] = ("secret",)
    """Settings that the settings file may not contain."""

    kind: str
    url: Secret | None = None
    url_file: str = ""
    secret: Secret | None = None
    secret_file: str = ""
    """Path of a file of mode 0600 with the secret."""
    escalation: bool = False
    """Repeat critical alerts here until somebody acknowledges them."""
    timeout_s: float = 10.0  # as Alertmanager gives a webhook by default
    """Time for one delivery."""
    rate_per_minute: float = 60.0  # Slack's limit for an incoming webhook: one a second
    """Average rate of messages; a burst of twenty may go at once."""

    def check(self) -> None:
        """Raises `ConfigError` for values that are wrong by themselves."""
        if not 0.1 <= self.timeout_s <= 60:
            raise ConfigError(f"timeout_s is {self.timeout_s}; must lie between 0.1 and 60")
        if not 1 <= self.rate_per_minute <= 6000:
            raise ConfigError(f"rate_per_minute is {self.rate_per_minute}; must lie between 1 and 6000")


class WebhookConfig(ChannelConfig, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """JSON to any URL, signed if there is a `secret`."""


class SlackConfig(ChannelConfig, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A Slack-compatible incoming webhook. Its URL is a secret."""

    SECRETS = ("secret", "url")


class AlertmanagerConfig(ChannelConfig, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An Alertmanager, by its base URL. `secret` is the bearer token of a proxy before it."""


class AppriseConfig(ChannelConfig, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Any service of apprise, by its apprise URL, which often holds a password."""

    SECRETS = ("secret", "url")


class SmtpConfig(ChannelConfig, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Mail; `secret` is the password."""

    host: str = ""
    port: int = 0
    """0 for the default: 587, or 465 for `tls`."""
    security: Literal["starttls", "tls", "none"] = "starttls"
    username: str = ""
    sender: str = ""
    to: tuple[str, ...] = ()
    ca_file: str = ""
    """Certificates to trust instead of the system's."""

    def check(self) -> None:
        super().check()
        if not self.host or not self.host.isprintable() or any(character.isspace() for character in self.host):
            raise ConfigError("host is missing: the name of the mail server")
        if not 0 <= self.port <= 65535:
            raise ConfigError(f"port is {self.port}; must lie between 0 and 65535")
        if not 1 <= len(self.to) <= 32:
            raise ConfigError("to must list 1 to 32 addresses")
        for address in (self.sender, *self.to):
            if not ADDRESS.match(address) or not address.isprintable():
                raise ConfigError(f'{address!r} is no mail address; sender and to take "name@example.org"')
        if self.username and self.security == "none" and not is_loopback(self.host):
            raise ConfigError('security is "none": the password would cross the network in the clear; use "starttls"')


class HeartbeatSettings(HeartbeatConfig, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A URL outside that expects heartbeats, as of healthchecks.io. Its URL is a secret."""

    url: Secret | None = None
    url_file: str = ""
    """Path of a file of mode 0600 with the URL."""
    method: Literal["POST", "GET"] = "POST"
    """`POST` carries the state of the network as JSON."""
    timeout_s: float = 10.0
    """Time for one attempt."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0.1 <= self.timeout_s <= self.interval_s / 3:
            wish = f"must lie between 0.1 and a third of interval_s, {self.interval_s / 3:g}"
            raise ConfigError(f"notify.heartbeat.timeout_s is {self.timeout_s}; {wish}")

    @property
    def is_wanted(self) -> bool:
        return self.url is not None or bool(self.url_file)

    def address(self) -> str:
        """The URL. Raises `ConfigError`, which does not repeat it."""
        given = self.url
        if given is not None and self.url_file:
            raise ConfigError(f"{HEARTBEAT_URL} and {HEARTBEAT_URL}_file are both set; one is enough")
        if self.url_file:
            given = read_secret(self.url_file, f"{HEARTBEAT_URL}_file")
        if given is None:
            raise ConfigError(f"{HEARTBEAT_URL} is missing; set url_file, or {HEARTBEAT_VARIABLE}")
        check_url(given.reveal(), HEARTBEAT_URL)
        return given.reveal()


class HeartbeatView(Struct, frozen=True):
    """The results of this peer's heartbeats."""

    counts: dict[str, int]
    """delivered, failed, dropped."""
    last_error: str | None
    """Error of the last heartbeat; null if it was delivered."""
    delivered_age_s: float | None
    """null if none was delivered since the start."""
    has_role: bool
    """False while its URL fails: another peer sends."""


KINDS: dict[str, type[ChannelConfig]] = {
    "webhook": WebhookConfig,
    "slack": SlackConfig,
    "smtp": SmtpConfig,
    "alertmanager": AlertmanagerConfig,
    "apprise": AppriseConfig,
}


class NotifyConfig(NotifierConfig, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """When to notify people, and by which channels."""

    url: str = ""
    """URL of a dashboard; messages link to it."""
    trusted: tuple[str, ...] = ()
    """Ids of peers whose silences, acknowledgements, orders to forget and notices count here.

    Empty trusts every member; in a public network (`network.public`) it trusts only this peer.
    """
    channels: dict[str, Any] = msgspec.field(default_factory=dict)
    """Channels by name, each a `ChannelConfig` of its kind."""
    heartbeat: HeartbeatSettings = HeartbeatSettings()
    """Heartbeats to somebody outside. Only a peer with channels sends them."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.url:
            check_url(self.url, "notify.url")
        for peer in self.trusted:
            if not re.fullmatch(r"[0-9a-f]{64}", peer):
                raise ConfigError(f"notify.trusted: {peer!r} is no id of a peer: 64 hexadecimal digits")
        if len(self.channels) > CHANNELS_MAX:
            raise ConfigError(f"notify.channels has {len(self.channels)}; at most {CHANNELS_MAX}")
        channels = {name: _channel(name, given) for name, given in self.channels.items()}
        msgspec.structs.force_setattr(self, "channels", channels)

    def trusts(self, me: bytes, *, is_public: bool) -> set[bytes] | None:
        """Peers whose orders and notices count; None for all."""
        obeyed = self.obeyed(is_public=is_public)
        return None if obeyed is None else {me, *obeyed}

    def obeyed(self, *, is_public: bool) -> frozenset[PeerId] | None:
        """Other peers whose orders count; None for all."""
        if not self.trusted and not is_public:
            return None
        return frozenset(PeerId(bytes.fromhex(peer)) for peer in self.trusted)


def refuse_written(file: Mapping[str, Any]) -> None:
    """Raises `ConfigError` if a settings file itself holds a secret of a channel."""
    notify = file.get("notify")
    heartbeat = notify.get("heartbeat") if isinstance(notify, Mapping) else None
    if isinstance(heartbeat, Mapping) and "url" in heartbeat:
        raise ConfigError(
            f"{HEARTBEAT_URL} is a secret and does not belong into this file. Put it into the environment as "
            f"{HEARTBEAT_VARIABLE}, or into a file of mode 0600 that url_file names"
        )
    channels = notify.get("channels") if isinstance(notify, Mapping) else None
    for name, given in channels.items() if isinstance(channels, Mapping) else ():
        if not isinstance(given, Mapping):
            continue
        kind = KINDS.get(str(given.get("kind")), ChannelConfig)
        for key in kind.SECRETS:
            if key in given:
                variable = f"PEERSCOPE_NOTIFY__CHANNELS__{name.upper()}__{key.upper()}"
                raise ConfigError(
                    f"notify.channels.{name}.{key} is a secret and does not belong into this file. Put it into the "
                    f"environment as {variable}, or into a file of mode 0600 that {key}_file names"
                )


def secret_of(config: ChannelConfig, name: str, key: str) -> str | None:
    """The secret under a key of the channel `name`, from the environment or a file. Raises `ConfigError`."""
    where = f"notify.channels.{name}.{key}"
    given: Secret | None = getattr(config, key)
    place: str = getattr(config, f"{key}_file")
    if given is not None and place:
        raise ConfigError(f"{where} and {where}_file are both set; one is enough")
    if place:
        given = read_secret(place, f"{where}_file")
    return given.reveal() if given is not None else None


def url_of(config: ChannelConfig, name: str) -> str:
    """The URL of a channel. Raises `ConfigError`, which does not repeat it."""
    where = f"notify.channels.{name}.url"
    url = secret_of(config, name, "url")
    if url is None:
        way = "set url_file" if "url" in config.SECRETS else "set url"
        raise ConfigError(f"{where} is missing; {way}, or PEERSCOPE_NOTIFY__CHANNELS__{name.upper()}__URL")
    check_url(url, where)
    return url


def _channel(name: str, given: Any) -> ChannelConfig:
    where = f"notify.channels.{name}"
    if isinstance(given, ChannelConfig):
        return given
    if not NAME.match(name) or len(name) > 32:
        raise ConfigError(f"{where}: a channel's name has up to 32 small letters and digits, with single _ between")
    if not isinstance(given, Mapping):
        raise ConfigError(f"{where} must be a table with a `kind`")
    kind = str(given.get("kind", ""))
    if kind not in KINDS:
        raise ConfigError(f"{where}.kind is {kind!r}; {_hint(kind, KINDS)}")
    try:
        config = _converted(given, KINDS[kind], where)
        config.check()
    except ConfigError as error:
        raise ConfigError(str(error) if str(error).startswith(where) else f"{where}: {error}") from None
    return config


def _converted(given: Any, kind: type[S], where: str) -> S:
    """A table of the settings as a struct. Raises `ConfigError` that names the key."""
    try:
        return msgspec.convert(given, kind, strict=False, dec_hook=decode_secret)
    except msgspec.ValidationError as error:
        text, _, place = str(error).partition(" - at `$")
        unknown = re.search(r"unknown field `(.*)`", text)
        if unknown is not None:
            known = [field.name for field in msgspec.structs.fields(kind)]
            raise ConfigError(f"{where}: unknown key `{unknown[1]}`; {_hint(unknown[1], known)}") from None
        raise ConfigError(f"{where}{place.rstrip('`')}: {text}") from None


def _hint(word: str, known: Iterable[str]) -> str:
    from difflib import get_close_matches  # for mistakes alone

    guess = get_close_matches(word, known, n=1)
    return f"did you mean `{guess[0]}`?" if guess else f"known are {', '.join(known)}"


def decode_secret(kind: type, value: Any) -> Any:
    """Make a `Secret` of text."""
    if kind is not Secret:
        raise NotImplementedError(kind.__name__)
    if not isinstance(value, str) or not value:
        raise ValueError("must be text, and not empty")
    return Secret(value)
