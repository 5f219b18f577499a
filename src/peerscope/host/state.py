"""The state directory: the identity key, the settings file, peers of earlier runs, and a lock."""

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
"""Grows only if an older agent would misread or spoil the files of a newer one, not for files that it ignores."""
SECRET_BYTES = 32


def default_state() -> Path:
    """The default state directory."""
    base = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(base) / "peerscope"


class StateDirectory:
    """The directory of one agent."""

    def __init__(self, path: Path) -> None:
        """Make the directory (mode 0700) if it is missing. Raises `ConfigError`."""
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
        """Lock other agents out until this process ends.

        Raises `ConfigError` if an agent holds the lock or, unless `any_version`, if a later peerscope used it.
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
                put_damaged_aside(self.path / VERSION_FILE, reason, f"treated as version {STATE_VERSION}")
            with contextlib.suppress(OSError):  # other parts report a directory that is not writable
                if not (self.path / VERSION_FILE).exists():
                    self.keep(VERSION_FILE, f"{STATE_VERSION}\n".encode("ascii"))
        except ConfigError:
            self.unlock()
            raise

    def unlock(self) -> None:
        """Release the lock."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def secret(self) -> bytes:
        """The seed of the identity. The first call makes it; it never changes.

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
        """Rename the key, so that the next call of `secret` makes a new one. Returns the new path; None without a key.

        The orders of the old identity are renamed too, since only that identity may repeat them.

        Raises `ConfigError` if an agent runs here, or if the key is damaged.
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
        """Save addresses of peers for the next start, whole or not at all."""
        known = [{"peer_id": peer.hex(), "addresses": list(addresses)} for peer, addresses in peers.items()]
        self.keep(PEERS_FILE, json.dumps(known).encode())

    def remembered(self) -> dict[PeerId, tuple[str, ...]]:
        """Peers of earlier runs; empty without any. A damaged file is put aside: the agent does not need it."""
        data = self.kept(PEERS_FILE)
        try:
            return parse_peers(data) if data is not None else {}
        except ValueError as error:
            loss = "no peer is remembered, so only peer.join leads to others"
            put_damaged_aside(self.path / PEERS_FILE, str(error), loss)
            return {}

    def remember_zone(self, zone: str) -> None:
        """Save our zone for the next start. Raises OSError."""
        self.keep(ZONE_FILE, zone.encode())

    def remembered_zone(self) -> str:
        """Our zone of an earlier run; "" without one. A damaged file is put aside."""
        try:
            return parse_zone(self.kept(ZONE_FILE) or b"")
        except ValueError as error:
            put_damaged_aside(self.path / ZONE_FILE, str(error), "the network assigns a zone again")
            return WHOLE

    def keep(self, name: str, data: bytes) -> None:
        """Write a file of this directory, whole or not at all. Raises OSError."""
        write_whole(self.path / name, data)

    def kept(self, name: str) -> bytes | None:
        """Read a file of this directory; None if it is missing or unreadable."""
        try:
            return (self.path / name).read_bytes()
        except IsADirectoryError:
            put_damaged_aside(self.path / name, "it is a directory", "treated as missing")
            return None
        except OSError:
            return None


def _open_lock(place: Path) -> int:
    try:
        return os.open(place, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        if error.errno != errno.EROFS:
            raise
        return os.open(place, os.O_RDONLY | os.O_CLOEXEC)  # a file of an earlier run can still be locked


def parse_peers(data: bytes) -> dict[PeerId, tuple[str, ...]]:
    """Parse the file of remembered peers. Raises ValueError."""
    try:
        found = msgspec.json.decode(data, type=tuple[_Remembered, ...])
    except (msgspec.MsgspecError, RecursionError) as error:
        raise ValueError(str(error)) from None
    known = {PeerId(bytes.fromhex(one.peer_id)): one.addresses for one in found}
    if any(len(peer) != PEER_ID_BYTES for peer in known):
        raise ValueError(f"a peer id that is not {PEER_ID_BYTES} bytes long")
    return known


def parse_zone(data: bytes) -> str:
    """Parse the file of our zone. Raises ValueError."""
    try:
        return msgspec.convert(data.decode(), Name)
    except msgspec.ValidationError as error:
        raise ValueError(str(error)) from None


class _Remembered(msgspec.Struct, frozen=True):
    """One peer in the file."""

    peer_id: str
    addresses: tuple[str, ...]


def _version_text(path: Path) -> str | None:
    """The text of the version file; None if it is missing or unreadable."""
    try:
        with (path / VERSION_FILE).open("rb") as file:
            return file.read(64).decode("ascii", "replace").strip()
    except IsADirectoryError:
        return "a directory"
    except OSError:
        return None


def version_damage(path: Path) -> str | None:
    """The damage of the version file; None if it is intact or missing."""
    text = _version_text(path)
    if text is None or whole(text) is not None:
        return None
    return f"{text[:20]!r} is no version"


def check_state_version(path: Path) -> None:
    """Raise `ConfigError` if a later peerscope wrote the directory, since this one could spoil it."""
    text = _version_text(path)
    if text is None or version_damage(path) is not None:
        return  # of a release without versions, missing, or damaged
    if int(text) > STATE_VERSION:
        raise ConfigError(
            f"state directory {path} was written by a later peerscope (state version {text}, this one knows "
            f"{STATE_VERSION}); upgrade, or restore a backup from before with `peerscope restore`"
        )


def write_whole(place: Path, data: bytes) -> None:
    """Write a file as a whole or not at all. Raises OSError."""
    draft = place.with_suffix(".new")
    draft.write_bytes(data)
    os.replace(draft, place)


def put_aside(place: Path, owner: PeerId) -> Path:
    """Rename a file of the state directory after the peer it belongs to. Raises OSError."""
    aside = place.with_name(f"{place.name}.of-{short(owner)}")
    os.replace(place, aside)
    return aside


def make_key(place: Path) -> bytes:
    """Write a new seed to a file that only its owner can read. Raises `FileExistsError` or `ConfigError`."""
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
    """Read a seed. Raises `ConfigError` if others can read it, or, with this advice, if it is damaged."""
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
            f"{place} can be read by others (mode {mode & 0o777:04o}); anybody with this key can act as its owner. "
            f"Run: chmod 600 {place}"
        )
    if len(secret) != SECRET_BYTES:
        raise ConfigError(f"{place} is damaged: not {SECRET_BYTES} bytes of hexadecimal; {mend}")
    return secret
