"""Looks for P2P programs on this machine: takes the snapshot for `detection.py`, asks, and tries the sources.

It only reads. It dials loopback alone, at most `CANDIDATES_MAX` sockets at once, each for a second and 256 KiB. It
follows no redirect, uses no proxy and tries no password. A program counts as readable once its own source has read it,
with the program's own key only where `own_secrets.py` lets it go.
"""

from __future__ import annotations

import asyncio
import contextlib
import glob
import os
import random
import re
import ssl
from collections.abc import Iterator
from ipaddress import ip_address
from pathlib import Path

import psutil
from msgspec import Struct
from msgspec.structs import replace

from peerscope.errors import PeerscopeError
from peerscope.host.addresses import join_address
from peerscope.host.listeners import listeners
from peerscope.sources.attachment import Attachment
from peerscope.sources.base import known_sources, make_source
from peerscope.sources.detection import (
    DENIED,
    Address,
    Candidate,
    LocalMachine,
    LocalNode,
    LocalProcess,
    ProbeAnswer,
    candidates,
    findings,
    program_of,
    proven,
)
from peerscope.sources.place import shown
from peerscope.sources.programs.table import HOST, PROGRAMS

ASK_S = 1.0
"""For the whole answer of a socket. A node on loopback answers within milliseconds."""
ANSWER_BYTES_MAX = 256 * 1024
READ_S = 5.0
"""For one answer of a source."""
NAMES = frozenset(name for program in PROGRAMS for name in program.processes)
PATTERNS = tuple(pattern for program in PROGRAMS for pattern in program.paths)


class NodeSearch(Struct, frozen=True):
    """One look at this machine."""

    found: tuple[LocalNode, ...]
    notes: tuple[str, ...]
    """Limits of this look."""


def look(read_s: float = READ_S) -> NodeSearch:
    """Find the P2P programs of this machine. Blocks, for some seconds at most where programs hang."""
    machine = snapshot()
    places = candidates(machine)
    if not places:
        return NodeSearch(findings(machine, (), {}), machine.notes)
    machine = with_sources(machine)
    answers, read = asyncio.run(_ask_all(machine, places, read_s))
    return NodeSearch(findings(machine, answers, read), machine.notes)


def snapshot() -> LocalMachine:
    """Take the snapshot of this machine. It notes its own limits."""
    processes = tuple(_processes())
    listening = _listening()
    own = frozenset[Address]()
    with contextlib.suppress(psutil.Error, OSError):
        own = frozenset(_listens(psutil.Process()))
    return LocalMachine(
        user=_user(),
        processes=processes,
        listening=listening,
        own=own,
        paths=tuple(_paths()),
        interfaces=tuple(_interfaces()),
        notes=tuple(_notes(processes)),
    )


def with_sources(machine: LocalMachine) -> LocalMachine:
    """The snapshot, with the installed sources, whose list takes a while to load."""
    # No `importlib.resources` here: it would cost each agent half a megabyte.
    names = frozenset(file.stem for file in (Path(__file__).parent / "presets").glob("*.toml"))
    return replace(machine, sources=known_sources(), presets=names)


async def ask(candidate: Candidate) -> ProbeAnswer:
    """Ask one candidate. Never raises, and never dials anything but loopback."""
    address = candidate.address
    probe = program_of(candidate.program).probe
    if address is None or probe is None:
        return ProbeAnswer(is_absent=True)
    if not isinstance(address, str) and not ip_address(address[0]).is_loopback:
        return ProbeAnswer(reason="not on loopback")
    data = bytearray()
    try:
        async with asyncio.timeout(ASK_S):
            reader, writer = await _connect(address, is_tls=probe.tls)
            try:
                place = address if isinstance(address, str) else join_address(*address)
                writer.write(probe.request.replace(HOST, place.encode()))
                while len(data) < ANSWER_BYTES_MAX and (chunk := await reader.read(65536)):
                    data += chunk
                    if not probe.request.startswith((b"GET", b"POST")) and re.search(probe.answer, data):
                        break  # such sockets stay open
            finally:
                writer.transport.abort()
    except TimeoutError:
        # A server may keep the connection open, whatever it was asked.
        return ProbeAnswer(bytes(data)) if data else ProbeAnswer(reason=f"it has not answered for {ASK_S:g} s")
    except PermissionError:
        return ProbeAnswer(reason=DENIED)
    except (ConnectionRefusedError, FileNotFoundError):
        return ProbeAnswer(is_absent=True, reason="nobody listens there")
    except (OSError, ValueError) as error:
        return ProbeAnswer(bytes(data)) if data else ProbeAnswer(reason=f"it does not answer: {error}")
    return ProbeAnswer(bytes(data))


async def _ask_all(
    machine: LocalMachine, places: list[Candidate], read_s: float
) -> tuple[list[tuple[Candidate, ProbeAnswer]], dict[str, str]]:
    answers = list(zip(places, await asyncio.gather(*map(ask, places)), strict=True))
    sure = [known for one, answer in answers if (known := proven(one, answer, machine.presets)) is not None]
    specs = [one.spec for one in sure if program_of(one.program).source in machine.sources]
    reasons = await asyncio.gather(*(_try(spec, read_s) for spec in specs))
    return answers, dict(zip(specs, reasons, strict=True))


async def _try(spec: str, limit_s: float) -> str:
    """Why the source of this spec cannot read its node; "" if it can."""
    try:
        source = make_source(spec)
        await Attachment(spec, source, interval_s=limit_s, limit_s=limit_s, rng=random.Random(0)).once()
    except PeerscopeError as error:
        return str(error).removeprefix(f"node.sources: {shown(spec)!r}: ") or type(error).__name__
    return ""


async def _connect(address: Address | str, *, is_tls: bool) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    if isinstance(address, str):
        return await asyncio.open_unix_connection(address)
    context = None
    if is_tls:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return await asyncio.open_connection(*address, ssl=context)


def _processes() -> Iterator[LocalProcess]:
    """Processes of known names."""
    ours = _network_of(os.getpid())
    for one in psutil.process_iter(["name"]):
        name = one.info["name"]
        if name not in NAMES:
            continue
        listens: tuple[Address, ...] | None
        with contextlib.suppress(psutil.NoSuchProcess):
            if one.status() == psutil.STATUS_ZOMBIE:
                continue
            try:
                listens = tuple(_listens(one))
            except (psutil.AccessDenied, OSError):
                listens = None
            try:
                user = one.username()
            except (psutil.Error, KeyError):
                user = None
            theirs = _network_of(one.pid)
            yield LocalProcess(one.pid, name, one.ppid(), user, listens, None not in (ours, theirs) and ours != theirs)
    psutil.process_iter.cache_clear()  # it would keep an object for each process of the machine


def _listens(process: psutil.Process) -> Iterator[Address]:
    for one in process.net_connections("tcp"):
        if one.status == psutil.CONN_LISTEN and one.laddr:
            yield one.laddr.ip, one.laddr.port


def _network_of(pid: int) -> int | None:
    """The network namespace of a process; None where it is unknown."""
    try:
        return os.stat(f"/proc/{pid}/ns/net").st_ino
    except OSError:
        return None


def _listening() -> frozenset[Address] | None:
    """All TCP sockets that listen here, also those of processes that this user cannot see. Linux only."""
    known = listeners()
    return None if known is None else frozenset((one.host, one.port) for one in known)


def _paths() -> Iterator[tuple[str, str]]:
    seen = set()
    for pattern in PATTERNS:
        for path in sorted(glob.glob(pattern))[:8]:
            real = os.path.realpath(path)  # /var/run is often /run
            if real not in seen:
                seen.add(real)
                yield pattern, path


def _interfaces() -> Iterator[tuple[str, str]]:
    """Kind and name, where the kernel names a kind."""
    for place in sorted(Path("/sys/class/net").glob("*/uevent"))[:256]:
        with contextlib.suppress(OSError, UnicodeDecodeError):
            for line in place.read_text(encoding="utf-8").splitlines():
                if line.startswith("DEVTYPE="):
                    yield line.partition("=")[2], place.parent.name


def _notes(processes: tuple[LocalProcess, ...]) -> Iterator[str]:
    inside = "KUBERNETES_SERVICE_HOST" in os.environ or "container" in os.environ
    if inside or any(Path(mark).exists() for mark in ("/.dockerenv", "/run/.containerenv")):
        yield "this runs in a container: only programs that share its processes and its loopback can be seen"
    if Path("/proc").is_dir() and not Path("/proc/1").exists():
        yield "the processes of other users are hidden (hidepid): default ports and sockets are asked all the same"
    hidden = sorted({one.name for one in processes if one.listens is None})
    if hidden:
        yield f"the sockets of {', '.join(hidden)} belong to other users: only default ports are asked; root sees all"


def _user() -> str:
    try:
        return psutil.Process().username()
    except (psutil.Error, KeyError, OSError):  # a container may give its user no name
        return str(os.getuid())
