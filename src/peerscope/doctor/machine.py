"""Checks of this machine, with or without a running agent: files, ports, clock, disk.

The checks change nothing, except for a temporary file that tests whether the state directory is writable.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import json
import os
import shutil
import socket
import sqlite3
import sys
import tempfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from msgspec.structs import replace

from peerscope.alerts.expiry import SOON_RATIO, Expiry, date, issue_command, membership
from peerscope.cli.text import size
from peerscope.config import Config
from peerscope.doctor import Diagnosis, bad, ok, unknown, warn
from peerscope.errors import ConfigError, HistoryError
from peerscope.history.schema import FILE, STEPS, check_version
from peerscope.host.addresses import is_loopback, split_address
from peerscope.host.credentials import CredentialFiles
from peerscope.host.damaged_files import damaged_files
from peerscope.host.logs import secrets_in
from peerscope.host.state import (
    CONFIG_FILE,
    KEY_FILE,
    LOCK_FILE,
    NOTICES_FILE,
    ORDERS_FILE,
    PEERS_FILE,
    VERSION_FILE,
    ZONE_FILE,
    check_state_version,
    parse_peers,
    parse_zone,
    read_key,
    version_damage,
)
from peerscope.records.identity import Identity, PeerId
from peerscope.web.tls import file_ending

DISK_BYTES_MIN = 64 * 1024 * 1024
TIME_ERROR = 5
"""adjtimex(2): the clock is not synchronised."""


def is_locked(state: Path) -> bool:
    """Whether an agent uses this directory."""
    try:
        with (state / LOCK_FILE).open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def state_directory(state: Path) -> Diagnosis:
    """Check its permissions, its version, and whether it is writable."""
    name = "state directory"
    if not state.exists():
        return warn(name, f"{state} does not exist", f"create it: peerscope init --state {state}")
    try:
        mode = state.stat().st_mode & 0o777
        check_state_version(state)
        with tempfile.TemporaryFile(dir=state):
            pass
    except ConfigError as error:
        return bad(name, str(error), "use the newer peerscope again, or another --state")
    except OSError as error:
        return bad(name, f"{state} cannot be written: {error.strerror}", "give it to the user that runs the agent")
    if mode & 0o022:
        return bad(name, f"others can write to {state} (mode {mode:04o})", f"chmod 700 {state}")
    used = "in use by an agent" if is_locked(state) else "no agent uses it"
    return ok(name, f"{state} is writable, {used}")


def state_files(state: Path) -> Diagnosis:
    """Find damaged files, which the next start puts aside or an earlier start has put aside."""
    name, parsers = "state files", {PEERS_FILE: parse_peers, ZONE_FILE: parse_zone}
    kept: dict[str, Callable[[bytes], object]] = {**parsers, ORDERS_FILE: json.loads, NOTICES_FILE: json.loads}
    damaged = [VERSION_FILE] if version_damage(state) is not None else []
    for file, parse in kept.items():
        try:
            parse((state / file).read_bytes())
        except FileNotFoundError:
            continue
        except OSError as error:
            reason = f"{state / file} cannot be read: {error.strerror}"
            return bad(name, reason, "give it to the user that runs the agent")
        except (ValueError, RecursionError):
            damaged.append(file)
    if damaged:
        advice = "restore a backup, or start the agent: it puts each file aside and continues without it"
        return warn(name, f"damaged: {', '.join(damaged)}", advice)
    aside = [place.name for place in damaged_files(state)]
    if aside:
        message = f"damaged and put aside: {', '.join(aside)}"
        return warn(name, message, f"examine them in {state}, then delete them")
    return ok(name, "no file is damaged")


def key(state: Path) -> Diagnosis:
    """Check that only the owner can read the identity key."""
    place = state / KEY_FILE
    if not place.exists():
        return warn("identity key", f"{place} does not exist", "the first `peerscope run` or `init` creates it")
    try:
        read_key(place, "restore it from a backup")
    except ConfigError as error:
        is_open = place.exists() and place.stat().st_mode & 0o077
        return bad(
            "identity key", str(error), f"chmod 600 {place}" if is_open else "restore it: peerscope restore FILE"
        )
    return ok("identity key", f"{place}, mode 0600")


def peer_id(state: Path) -> str | None:
    """The peer of this state directory; None if its key cannot be read."""
    try:
        return Identity(read_key(state / KEY_FILE, "")).peer_id.hex()
    except ConfigError:
        return None


def settings_file(config: Config, place: Path | None) -> Diagnosis:
    """Check whether others can read secrets in it."""
    if place is None:
        return ok("settings", "no file; defaults, environment and options apply")
    try:
        mode, text = place.stat().st_mode & 0o777, place.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        return bad("settings", f"{place} cannot be read: {error}", "name another with --config")
    has_secret = any(secret in text for secret in secrets_in(config.plain()))
    if has_secret and mode & 0o077:
        return bad("settings", f"{place} holds a secret and others can read it (mode {mode:04o})", f"chmod 600 {place}")
    return ok("settings", f"{place} is good")


def admission(config: Config) -> Diagnosis:
    """Check which peers may join."""
    network = config.network
    host, _ = split_address(config.peer.listen, "peer.listen")
    if network.open and not is_loopback(host):
        return warn("admission", "any peer may join (network.open)", "set network.secret or network.operators")
    if network.is_closed:
        return ok("admission", "members only")
    return ok("admission", "peers of this machine only: peer.listen is a loopback address")


def certificates(config: Config, state: Path, wall: float) -> list[Diagnosis]:
    """Check how long the member's and the dashboard's certificates are valid. `wall`: Unix seconds."""
    found = []
    if config.network.certificate_file:
        found.append(_membership(config, state, wall))
    if config.web.tls_cert:
        ending = file_ending(config.web.tls_cert)
        found.append(
            bad("dashboard certificate", f"no certificate in {config.web.tls_cert}", "name a PEM file: web.tls_cert")
            if ending is None
            else _ending("dashboard certificate", ending, wall)
        )
    return found


def _membership(config: Config, state: Path, wall: float) -> Diagnosis:
    name, me = "certificate", peer_id(state)
    if me is None:
        return unknown(name, "not checked, since the identity key cannot be read")
    issue = issue_command(bytes.fromhex(me), config.network.name)
    try:
        credentials = CredentialFiles(config.network, PeerId(bytes.fromhex(me)), state)
        ours = credentials.ours()
    except ConfigError as error:
        return bad(name, str(error), f"{issue} -o FILE, then name FILE in network.certificate_file")
    ending = membership(ours)
    place = config.network.certificate_file
    return _ending(name, replace(ending, renewal=f"{ending.renewal} -o FILE, then copy FILE over {place}"), wall)


def _ending(name: str, ending: Expiry, wall: float) -> Diagnosis:
    left, at = ending.left_ratio(wall), date(ending.ends_at)
    if left <= 0:
        return bad(name, f"{ending.name} ended {at}", ending.renewal)
    if left < SOON_RATIO:
        return warn(name, f"{ending.name} ends {at}", ending.renewal)
    return ok(name, f"{ending.name} is valid until {at}")


def ports(config: Config) -> list[Diagnosis]:
    """Check that the ports are free, without a running agent, which uses them itself."""
    found = [_port("port for peers", config.peer.listen, socket.SOCK_DGRAM, "--listen")]
    if config.web.listen != "off":
        found.append(_port("port of the dashboard", config.web.listen, socket.SOCK_STREAM, "--http"))
    return found


def _port(name: str, address: str, kind: socket.SocketKind, option: str) -> Diagnosis:
    host, port = split_address(address, name)
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        with socket.socket(family, kind) as probe:
            if kind is socket.SOCK_STREAM:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, port))
    except OSError as error:
        taken = error.errno == errno.EADDRINUSE
        advice = f"end the program that uses it (`ss -lnp`), or choose another: {option} HOST:PORT"
        return bad(name, f"{address} {'is taken' if taken else f'cannot be used: {error.strerror}'}", advice)
    return ok(name, f"{address} is free" if port else f"any free port of {host}")


def clock() -> Diagnosis:
    """Ask the kernel whether the clock is synchronised."""
    name = "clock"
    if not sys.platform.startswith("linux"):
        return unknown(name, "this system does not report whether its clock is synchronised")
    try:
        # A zeroed `struct timex` of some 208 bytes changes nothing; only the return value counts.
        answer = ctypes.CDLL(None, use_errno=True).adjtimex(ctypes.create_string_buffer(1024))
    except (OSError, AttributeError):
        answer = -1
    if answer < 0:
        return unknown(name, "the kernel does not report whether the clock is synchronised")
    if answer == TIME_ERROR:
        advice = "run chrony or systemd-timesyncd; in a container, on its host"
        return warn(name, "not synchronised, by the kernel", advice)
    return ok(name, "synchronised, by the kernel")


def disk(config: Config, state: Path) -> Diagnosis:
    """Check the free space of the state directory."""
    name = "disk"
    place = next(place for place in (state, *state.absolute().parents) if place.exists())
    usage = shutil.disk_usage(place)
    usable = usage.used + usage.free  # as in the storage check: without the system's reserve
    used = usage.used / usable if usable else 0.0
    message = f"{size(usage.free)} free of {size(usage.total)} under {place}"
    if usage.free < DISK_BYTES_MIN:
        return bad("disk", message, "free some space: the agent can store neither history nor state")
    if used >= config.health.storage.degraded:
        return warn(name, message, f"free some space, or lower history.max_bytes ({size(config.history.max_bytes)})")
    return ok(name, message)


def store(config: Config, state: Path) -> Diagnosis:
    """Check the schema, integrity and size of the history file."""
    name, place = "history", state / FILE
    if not config.history.enabled:
        return ok(name, "history.enabled is false")
    if not place.exists():
        return ok(name, "empty")
    try:
        with closing(sqlite3.connect(f"{place.absolute().as_uri()}?mode=ro", uri=True, timeout=5.0)) as db:
            schema = check_version(db, place)
            (verdict,) = db.execute("PRAGMA quick_check(1)").fetchone()
    except HistoryError as error:
        return bad(name, str(error), "upgrade this agent; until then it keeps the history in memory")
    except sqlite3.Error as error:
        return bad(name, f"{place}: {error}", "start the agent: it puts this file aside and begins a new one")
    used = place.stat().st_size
    message = f"{place}: {size(used)}, schema {schema} of {len(STEPS)}"
    if verdict != "ok":
        return bad(name, f"{place} is damaged: {verdict}", "restore a backup, or move the file away")
    if used > 1.2 * config.history.max_bytes:
        return warn(
            name, message, f"larger than history.max_bytes ({size(config.history.max_bytes)}); it shrinks slowly"
        )
    return ok(name, message + ", intact")


def config_file(state: Path, given: Path | None) -> Path | None:
    """The settings file that `run` reads."""
    return given or (place if (place := state / CONFIG_FILE).exists() and os.access(place, os.R_OK) else None)
