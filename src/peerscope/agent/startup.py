"""Finds mistakes in the settings and in the state directory before anything is opened.

`Monitor.start` begins with `prepare`, and `peerscope check-config` ends with `rehearse`, which calls the same. So what
one refuses the other refuses, in the same words. Two questions are left to the start: whether a port
is taken, and whether another agent uses the state directory. `peerscope doctor` asks both.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

from msgspec import Struct

from peerscope.config import Config
from peerscope.core import EVERYTHING, CoreConfig
from peerscope.errors import ConfigError
from peerscope.host.credentials import CredentialFiles
from peerscope.host.signature_files import load_signatures
from peerscope.host.state import KEY_FILE, LOCK_FILE, check_state_version, read_key
from peerscope.mesh.events import Credentials
from peerscope.records.identity import Identity, PeerId
from peerscope.sources.geo import Lookup, country_table
from peerscope.transport.iroh import relay_mode
from peerscope.transport.joining import Start, parse_joins
from peerscope.transport.names import bindable


def core_config(config: Config) -> CoreConfig:
    """The settings of the core. Raises `ConfigError`."""
    return CoreConfig(
        parts=EVERYTHING if config.notify.channels else EVERYTHING - {"messages"},
        rules=config.alert_rules(),
        incidents=config.incidents,
        regions=config.regions,
        threats=config.threats,
        signatures=load_signatures(config.threats.signatures_file),
        notifier=config.notify,
        url=config.notify.url,
    )


class Prepared(Struct, frozen=True):
    """Everything that a start needs of the settings, and has read with them."""

    joins: dict[PeerId, Start]
    listen: str
    """An "ip:port" of this machine, whatever name the settings give it."""
    look_up: Lookup | None
    """For our country, where it is wanted."""
    files: CredentialFiles
    credentials: Credentials


async def prepare(config: Config, me: PeerId | None, state: Path) -> Prepared:
    """Everything of the settings that a start needs. `me`: None where there is no key yet, as before a first start.

    Opens nothing. Raises `ConfigError` that names the key.
    """
    files = CredentialFiles(config.network, me, state)
    credentials = files.first(round(time.time() * 1000))
    joins = parse_joins(config.peer.join)
    wants_country = config.peer.geo and not config.peer.region
    look_up = country_table(config.peer.geo_database) if wants_country else None
    relay_mode(config.transport.relay)
    load_signatures(config.threats.signatures_file)
    listen = await bindable(config.peer.listen, "peer.listen")
    return Prepared(joins, listen, look_up, files, credentials)


async def rehearse(config: Config, state: Path, construct: Callable[[Config, Path], object]) -> None:
    """Refuse whatever `run` would refuse with this state directory, and leave no trace. Raises `ConfigError`.

    `construct`: `Monitor`, which imports this module.
    """
    import tempfile

    me = _identity(state)
    with tempfile.TemporaryDirectory() as scratch:  # a monitor makes its directory
        construct(config, Path(scratch))
    await prepare(config, me, state)


def _identity(state: Path) -> PeerId | None:
    """The peer of a state directory; None where it has no key yet. Raises `ConfigError` where an agent cannot run on
    it."""
    try:
        is_there = state.exists()
        if not is_there:
            parent = next(place for place in state.absolute().parents if place.exists())
            if not parent.is_dir() or not os.access(parent, os.W_OK | os.X_OK):
                raise PermissionError(0, f"{parent} cannot be written to")
        elif not state.is_dir():
            raise NotADirectoryError(0, "not a directory")
    except OSError as error:
        raise ConfigError(f"state directory {state}: {error.strerror}; choose another with --state") from None
    if not is_there:
        return None
    lock, key = state / LOCK_FILE, state / KEY_FILE
    if not os.access(lock if lock.exists() else state, os.R_OK | os.W_OK):
        raise ConfigError(f"{lock}: cannot be written: Permission denied; choose another --state")
    check_state_version(state)
    if key.exists():
        return Identity(read_key(key, "restore it from a backup, or move it away to start as a new peer")).peer_id
    if not os.access(state, os.W_OK):
        raise ConfigError(f"{key}: cannot be written: Permission denied")
    return None
