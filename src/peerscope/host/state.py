"""The state directory: the identity key, the settings file, the peers remembered from earlier lives, and a lock."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import secrets
from pathlib import Path

import msgspec

from peerscope.errors import ConfigError
from peerscope.host.damaged_files import put_damaged_aside
from peerscope.host.numbers import whole
from peerscope.mesh.zoning.names import WHOLE
from peerscope.records.identity import PEER_ID_BYTES, Identity, PeerId, short
from peerscope.records.texts import Name

KEY_FILE = "identity.key"
CONFIG_FILE = "peerscope.toml"
PEERS_FILE = "peers.json"
ZONE_FILE = "zone"
ORDERS_FILE = "orders.json"
NOTICES_FILE = "notices.json"
LOCK_FILE = "lock"
VERSION_FILE = "state-version"
STATE_VERSION = 1
"""Grows when an older agent would misread or spoil what a newer one left; never for what it merely does not know."""
SECRET_BYTES = 32


def default_state() -> Path:
    """Where an agent keeps its state when nobody says."""
    base = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(base) / "peerscope"


class StateDirectory:
    """One agent's directory."""

    def __init__(self, path: Path) -> None:
        """Make the directory (mode 0700) if it is not there. Raises `ConfigError`."""
        self.path = path
        try:
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigError(f"state directory {path}: {error.strerror}; choose another with --state") from None
        self._lock: int | None = None

    @property
    def config_file(self) -> Path:
        """The settings file, whether or not it exists."""
        return self.path / CONFIG_FILE

    def lock(self, *, any_version: bool = False) -> None:
        """Keep other agents out until this process ends.

        Raises `ConfigError` if one is here already, or, unless `any_version`, if a later peerscope has been.
        """
        place = self.path / LOCK_FILE
        try:
            handle = _open_lock(place)
        except OSError as error:
            raise ConfigError(f"{place}: cannot be written: {error.strerror}; choose another --state") from None
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(handle)
            raise ConfigError(
                f"state directory {self.path} is in use by another agent; give each agent its own --state"
            ) from None
        self._lock = handle
        try:
            if not any_version:
                check_state_version(self.path)
            if (reason := version_damage(self.path)) is not None:
                put_damaged_aside(self.path / VERSION_FILE, reason, f"taken for version {STATE_VERSION}")
            with contextlib.suppress(OSError):  # of a directory that cannot be written the parts say so themselves
                _write_version(self.path)
        except ConfigError:
            self.unlock()
            raise

    def unlock(self) -> None:
        """Let others in."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def secret(self) -> bytes:
        """The identity's seed: made at the first call, then never changed.

        Raises `ConfigError` if others can read it, or if it is damaged.
        """
        place = self.path / KEY_FILE
        try:
            return make_key(place)
        except FileExistsError:
            return read_key(place, "restore it from a backup, or move it away to start as a new peer")

    def identity(self) -> Identity:
        """The key pair of this directory."""
        return Identity(self.secret())

    def renew_identity(self) -> Path | None:
        """Put the key aside, for a new one at the next call of `secret`; where it lies now, None where there was none.
        So are orders that the old identity gave: it goes on to give them where it lives.

        Raises `ConfigError` if an agent runs here, or if the key is of no use.
        """
        place = self.path / KEY_FILE
        self.lock()
        try:
            if not place.exists():
                return None
            old = Identity(read_key(place, "move it away, and run this again")).peer_id
            if (self.path / ORDERS_FILE).exists():
                put_aside(self.path / ORDERS_FILE, old)
            return put_aside(place, old)
        except OSError as error:
            raise ConfigError(f"{place}: cannot be moved: {error.strerror}") from None
        finally:
            self.unlock()

    def remember(self, peers: dict[PeerId, tuple[str, ...]]) -> None:
        """Keep addresses of peers for the next start; written whole or not at all."""
        known = [{"peer_id": peer.hex(), "addresses": list(addresses)} for peer, addresses in peers.items()]
        self.keep(PEERS_FILE, json.dumps(known).encode())

    def remembered(self) -> dict[PeerId, tuple[str, ...]]:
        """Peers of earlier lives; nothing where there are none. A damaged file is put aside: it is a convenience."""
        data = self.kept(PEERS_FILE)
        try:
            return parse_peers(data) if data is not None else {}
        except ValueError as error:
            loss = "no peer is remembered, so only tickets lead to others"
            put_damaged_aside(self.path / PEERS_FILE, str(error), loss)
            return {}

    def remember_zone(self, zone: str) -> None:
        """Keep the zone that we belong to, for the next start. Raises OSError."""
        self.keep(ZONE_FILE, zone.encode())

    def remembered_zone(self) -> str:
        """The zone of an earlier life; "" where there was none. A damaged file is put aside."""
        try:
            return parse_zone(self.kept(ZONE_FILE) or b"")
        except ValueError as error:
            put_damaged_aside(self.path / ZONE_FILE, str(error), "the network says where this peer belongs")
            return WHOLE

    def keep(self, name: str, data: bytes) -> None:
        """Write a file of this directory, whole or not at all. Raises OSError."""
        place = self.path / name
        draft = place.with_suffix(".new")
        draft.write_bytes(data)
        os.replace(draft, place)

    def kept(self, name: str) -> bytes | None:
        """What was kept under a name; None where there is nothing that can be read."""
        try:
            return (self.path / name).read_bytes()
        except IsADirectoryError:
            put_damaged_aside(self.path / name, "it is a directory", "taken for missing")
            return None
        except OSError:
            return None


def _open_lock(place: Path) -> int:
    try:
        return os.open(place, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        if error.errno != errno.EROFS:
            raise
        return os.open(place, os.O_RDONLY | os.O_CLOEXEC)  # of an earlier life; it can be locked all the same


def parse_peers(data: bytes) -> dict[PeerId, tuple[str, ...]]:
    """What the file of remembered peers says. Raises ValueError."""
    try:
        found = msgspec.json.decode(data, type=tuple[_Remembered, ...])
    except (msgspec.MsgspecError, RecursionError) as error:
        raise ValueError(str(error)) from None
    known = {PeerId(bytes.fromhex(one.peer_id)): one.addresses for one in found}
    if any(len(peer) != PEER_ID_BYTES for peer in known):
        raise ValueError(f"a peer id that is not {PEER_ID_BYTES} bytes long")
    return known


def parse_zone(data: bytes) -> str:
    """What the file of our zone says. Raises ValueError."""
    try:
        return msgspec.convert(data.decode(), Name)
    except msgspec.ValidationError as error:
        raise ValueError(str(error)) from None


class _Remembered(msgspec.Struct, frozen=True):
    """One peer in the file."""

    peer_id: str
    addresses: tuple[str, ...]


def _version_text(path: Path) -> str | None:
    """What the file of the version says; None where there is none, or it cannot be read."""
    try:
        with (path / VERSION_FILE).open("rb") as file:
            return file.read(64).decode("ascii", "replace").strip()
    except IsADirectoryError:
        return "a directory"
    except OSError:
        return None


def version_damage(path: Path) -> str | None:
    """What is wrong with the file of the version; None where nothing is, or there is none."""
    text = _version_text(path)
    if text is None or whole(text) is not None:
        return None
    return f"{text[:20]!r} is no version"


def check_state_version(path: Path) -> None:
    """Raise `ConfigError` if a state directory was written by a later peerscope, which this one could spoil."""
    text = _version_text(path)
    if text is None or version_damage(path) is not None:
        return  # from before there were versions, nothing is there, or damaged
    if int(text) > STATE_VERSION:
        raise ConfigError(
            f"state directory {path} was written by a later peerscope (state version {text}, this one knows "
            f"{STATE_VERSION}); upgrade, or restore a backup from before with `peerscope restore`"
        )


def _write_version(path: Path) -> None:
    place = path / VERSION_FILE
    if not place.exists():
        draft = place.with_suffix(".new")
        draft.write_text(f"{STATE_VERSION}\n", encoding="ascii")
        os.replace(draft, place)


def put_aside(place: Path, owner: PeerId) -> Path:
    """Rename a file of the state directory after the peer it belongs to. Raises OSError."""
    aside = place.with_name(f"{place.name}.of-{short(owner)}")
    os.replace(place, aside)
    return aside


def make_key(place: Path) -> bytes:
    """A new seed in a file that only its owner can read. Raises `FileExistsError`, and `ConfigError` otherwise."""
    try:
        handle = os.open(place, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise
    except OSError as error:
        raise ConfigError(f"{place}: cannot be written: {error.strerror}") from None
    secret = secrets.token_bytes(SECRET_BYTES)
    with os.fdopen(handle, "w") as file:
        file.write(secret.hex() + "\n")
        file.flush()
        os.fsync(file.fileno())
    return secret


def read_key(place: Path, mend: str) -> bytes:
    """The seed in a file. Raises `ConfigError` if others can read it, or if it is damaged: then with this mend."""
    try:
        mode = place.stat().st_mode
        text = place.read_text(encoding="ascii").strip()
        secret = bytes.fromhex(text)
    except OSError as error:
        raise ConfigError(f"{place}: cannot be read: {error.strerror}") from None
    except ValueError:
        secret = b""
    if mode & 0o077:
        raise ConfigError(
            f"{place} can be read by others (mode {mode & 0o777:04o}); whoever has it can speak as its owner. "
            f"Run: chmod 600 {place}"
        )
    if len(secret) != SECRET_BYTES:
        raise ConfigError(f"{place} is damaged: not {SECRET_BYTES} bytes of hexadecimal; {mend}")
    return secret
