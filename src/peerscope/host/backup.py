"""Backs a state directory up to one file, and restores it.

The file is a tar archive whose first member lists the others with their lengths and hashes. It holds the identity key,
with which anybody can act as this peer. A backup of a running agent is consistent: SQLite copies its own files, and the
agent replaces all others as a whole. Symbolic links to files are followed: a key or settings may lie elsewhere, like
secrets of Kubernetes. `backup` reads the archive back to check it.

Left out are the queue of remote write, which two agents would send, the lock, damaged files, and files that are about
to be renamed.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import sqlite3
import stat
import tarfile
import tempfile
import time
from contextlib import closing
from hashlib import sha256
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from peerscope.errors import ConfigError
from peerscope.history.schema import FILE as HISTORY_FILE
from peerscope.host.damaged_files import MARK
from peerscope.host.state import KEY_FILE, LOCK_FILE, STATE_VERSION, VERSION_FILE, StateDirectory, put_aside, read_key
from peerscope.host.version import __version__
from peerscope.records.identity import Identity, short

CONTENTS = "contents.json"
FILES_MAX = 64
CONTENTS_BYTES_MAX = 64 * 1024
FILE_BYTES_MAX = 16 * 1024 * 1024 * 1024
CHUNK_BYTES = 1024 * 1024
LEFT_OUT = (LOCK_FILE, f"{HISTORY_FILE}-wal", f"{HISTORY_FILE}-shm", f"{HISTORY_FILE}-journal")
_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL
_NAME = re.compile(r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}\Z")


class ArchiveMember(Struct, frozen=True):
    """One file of the state directory."""

    name: Annotated[str, Meta(pattern=_NAME.pattern)]
    bytes: Annotated[int, Meta(ge=0, le=FILE_BYTES_MAX)]
    sha256: str


class Contents(Struct, frozen=True):
    """List of the content of a backup."""

    state_version: int
    peerscope: str
    peer_id: str
    at: float
    """Unix seconds."""
    files: Annotated[tuple[ArchiveMember, ...], Meta(max_length=FILES_MAX)]


def backup(state: Path, place: Path) -> Contents:
    """Write a backup to a new file of mode 0600. Raises `ConfigError`, and then leaves no file."""
    peer = Identity(read_key(state / KEY_FILE, "there is nothing to back up")).peer_id
    try:
        handle = os.open(place, _NEW_FILE, 0o600)
    except FileExistsError:
        raise ConfigError(f"{place} is there already; name a new file") from None
    except OSError as error:
        raise ConfigError(f"{place}: cannot be written: {error.strerror}") from None
    try:
        with os.fdopen(handle, "wb") as file, tempfile.TemporaryDirectory(dir=place.absolute().parent) as scratch:
            copies = _copies(state, Path(scratch))
            members = tuple(ArchiveMember(one.name, one.stat().st_size, _hash(one)) for one in copies)
            contents = Contents(STATE_VERSION, __version__, peer.hex(), time.time(), members)
            with tarfile.open(fileobj=file, mode="w") as archive:
                _add(archive, CONTENTS, io.BytesIO(data := msgspec.json.encode(contents)), len(data))
                for copy in copies:
                    with copy.open("rb") as source:
                        _add(archive, copy.name, source, copy.stat().st_size)
            file.flush()
            os.fsync(file.fileno())
        if _unpacked(place, None) != contents:
            raise ConfigError("the written file differs from its content")
    except BaseException as error:
        place.unlink(missing_ok=True)
        if isinstance(error, OSError | sqlite3.Error | ConfigError):
            raise ConfigError(f"the backup failed: {error}; nothing was kept") from None
        raise
    return contents


def restore(place: Path, state: Path, *, force: bool = False) -> Contents:
    """Restore a backup into a state directory without a running agent. Raises `ConfigError`, and then changes nothing.

    `force`: replace another identity too, and keep its key as `identity.key.of-ID`.
    """
    target = StateDirectory(state)
    target.lock(any_version=True)  # allow a return from a later peerscope to an earlier one
    try:
        with tempfile.TemporaryDirectory(dir=state, prefix=".restore-") as scratch:
            contents = _unpacked(place, Path(scratch))
            key = Identity(read_key(Path(scratch) / KEY_FILE, "the backup is of no use"))
            if key.peer_id.hex() != contents.peer_id:
                raise ConfigError(f"{place} is damaged: its key is not that of the peer it names")
            _make_way(state, key, force=force)
            for stale in (*LEFT_OUT[1:], VERSION_FILE):  # of another history, which SQLite would mix in
                (state / stale).unlink(missing_ok=True)
            # The key comes last, so that a second attempt starts from the same state.
            for member in sorted(contents.files, key=lambda member: member.name == KEY_FILE):
                os.replace(Path(scratch) / member.name, state / member.name)
    except OSError as error:
        raise ConfigError(f"the backup could not be put into {state}: {error.strerror}; try again") from None
    finally:
        target.unlock()
    return contents


def _copies(state: Path, scratch: Path) -> list[Path]:
    found: list[Path] = []
    for source in sorted(state.iterdir()):
        if source.name in LEFT_OUT or source.suffix == ".new" or source.name.startswith(".") or MARK in source.name:
            continue
        copy = scratch / source.name
        if source.is_symlink() and not source.exists():
            raise ConfigError(f"{source} is a broken symbolic link; mend it or remove it")
        with contextlib.suppress(FileNotFoundError):  # the agent has just replaced or removed it
            if not stat.S_ISREG(source.stat().st_mode):
                continue
            if _NAME.fullmatch(source.name) is None:
                raise ConfigError(f"{source} is not a file of an agent; move it elsewhere")
            if source.name == HISTORY_FILE:
                with closing(sqlite3.connect(f"{source.absolute().as_uri()}?mode=ro", uri=True)) as db:
                    with closing(sqlite3.connect(copy)) as other:
                        db.backup(other)
            else:
                copy.write_bytes(source.read_bytes())
            found.append(copy)
    return found


def _add(archive: tarfile.TarFile, name: str, source: io.BufferedIOBase, length: int) -> None:
    member = tarfile.TarInfo(name)
    member.size, member.mode, member.mtime = length, 0o600, int(time.time())
    archive.addfile(member, source)


def _unpacked(place: Path, scratch: Path | None) -> Contents:
    """Check all members against the list, and unpack them to `scratch` if given. Ignores their paths and modes."""
    try:
        with tarfile.open(place, "r:") as archive:
            contents = _contents(archive, place)
            for member in contents.files:
                _extract(archive, member, scratch, place)
    except (tarfile.TarError, OSError, EOFError) as error:
        raise ConfigError(f"{place} is no backup, or damaged: {error}") from None
    if KEY_FILE not in {member.name for member in contents.files}:
        raise ConfigError(f"{place} is damaged: it holds no {KEY_FILE}")
    return contents


def _contents(archive: tarfile.TarFile, place: Path) -> Contents:
    first = archive.next()
    source = archive.extractfile(first) if first is not None and first.name == CONTENTS and first.isfile() else None
    if source is None:
        raise ConfigError(f"{place} is no backup of `peerscope backup`")
    try:
        contents = msgspec.json.decode(source.read(CONTENTS_BYTES_MAX), type=Contents)
    except msgspec.MsgspecError as error:
        raise ConfigError(f"{place} is damaged: {CONTENTS}: {error}") from None
    if contents.state_version > STATE_VERSION:
        raise ConfigError(
            f"{place} was made by a later peerscope, {contents.peerscope} (state version {contents.state_version}, "
            f"this one knows {STATE_VERSION}); upgrade first"
        )
    return contents


def _extract(archive: tarfile.TarFile, member: ArchiveMember, scratch: Path | None, place: Path) -> None:
    found = archive.next()
    source = archive.extractfile(found) if found is not None and found.isfile() else None
    if source is None or found is None or (found.name, found.size) != (member.name, member.bytes):
        raise ConfigError(f"{place} is damaged: {member.name} is not in its place")
    hashed = sha256()
    target = Path(os.devnull) if scratch is None else scratch / member.name
    with os.fdopen(os.open(target, os.O_WRONLY if scratch is None else _NEW_FILE, 0o600), "wb") as copy:
        while chunk := source.read(CHUNK_BYTES):
            hashed.update(chunk)
            copy.write(chunk)
    if hashed.hexdigest() != member.sha256:
        raise ConfigError(f"{place} is damaged: {member.name} has another content")


def _make_way(state: Path, key: Identity, *, force: bool) -> None:
    place = state / KEY_FILE
    if not place.exists():
        return
    here = Identity(read_key(place, "move it away")).peer_id
    if here == key.peer_id:
        return
    if not force:
        raise ConfigError(
            f"{state} belongs to another peer, {short(here)}; the backup is of {short(key.peer_id)}. Choose another "
            f"--state, or --force to put it here all the same (the key of {short(here)} is kept beside)"
        )
    put_aside(place, here)


def _hash(place: Path) -> str:
    with place.open("rb") as file:
        hashed = sha256()
        while chunk := file.read(CHUNK_BYTES):
            hashed.update(chunk)
    return hashed.hexdigest()
