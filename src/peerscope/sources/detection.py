"""Finds the P2P programs of this machine in a snapshot of it. Pure: `probing.py` takes the snapshot and asks.

Three steps: `candidates` says what may be asked, the shell asks, and `findings` says what the answers mean. Only
loopback is ever asked, and of it only ports and sockets that belong to a known process or are the default of one.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from ipaddress import ip_address

from msgspec import Struct
from msgspec.structs import replace

from peerscope.host.addresses import join_address
from peerscope.sources.programs.table import LIBP2P_MAPPINGS, PROGRAMS, Program

Address = tuple[str, int]
PORTS_MAX = 8
"""Ports of one process that are asked."""
CANDIDATES_MAX = 64
DENIED = "permission denied"
READABLE, REFUSED, CLOSED, UNSUPPORTED = "readable", "refused", "closed", "unsupported"


class LocalProcess(Struct, frozen=True):
    """A process of a known name."""

    pid: int
    name: str
    parent: int | None = None
    user: str | None = None
    listens: tuple[Address, ...] | None = None
    """None: this user may not see them."""
    is_elsewhere: bool = False
    """It runs in another network namespace, so that its loopback is not ours."""


class LocalMachine(Struct, frozen=True, kw_only=True):
    """A snapshot."""

    user: str = ""
    processes: tuple[LocalProcess, ...] = ()
    listening: frozenset[Address] | None = None
    """TCP sockets of everybody; None where the system does not say."""
    own: frozenset[Address] = frozenset()
    """Those of this process."""
    paths: tuple[tuple[str, str], ...] = ()
    """Existing paths, each with the pattern in the table that it fits."""
    interfaces: tuple[tuple[str, str], ...] = ()
    """Kind and name of network interfaces."""
    sources: frozenset[str] = frozenset()
    """Installed sources."""
    presets: frozenset[str] = frozenset()
    """Mappings of `prometheus`."""
    notes: tuple[str, ...] = ()
    """Limits of this look, for people."""


class Candidate(Struct, frozen=True):
    """A place where a program may be."""

    program: str
    place: str
    spec: str
    """That would read it."""
    address: Address | str | None = None
    """TCP address or path to ask; None where there is nothing to ask, or where it is not on loopback."""
    pid: int | None = None


class ProbeAnswer(Struct, frozen=True):
    """Outcome of asking one candidate."""

    data: bytes = b""
    reason: str = ""
    """Why there is none; empty where there is one."""
    is_absent: bool = False
    """Nobody listens there."""


class LocalNode(Struct, frozen=True):
    """One program of this machine."""

    program: str
    place: str
    """Address, path, or "" where none is known."""
    pid: int | None
    spec: str | None
    state: str
    """readable, refused (the source cannot read it), closed (its interface does not answer), or unsupported."""
    reason: str = ""
    advice: str = ""


def candidates(machine: LocalMachine) -> list[Candidate]:
    """All places to ask, in the order of the table."""
    found: list[Candidate] = []
    taken = {address for one in machine.processes for address in one.listens or ()}
    for program in PROGRAMS:
        found += _by_process(program, machine)
        found += _by_port(program, machine, taken)
        found += _by_path(program, machine)
    first = {(one.program, one.address or one.spec): one for one in reversed(found)}
    return [one for one in found if first[one.program, one.address or one.spec] is one][:CANDIDATES_MAX]


def proven(candidate: Candidate, answer: ProbeAnswer, presets: frozenset[str] = frozenset()) -> Candidate | None:
    """The candidate, with its final spec, if the answer is one of its program; else None."""
    program = program_of(candidate.program)
    if candidate.address is None or program.probe is None:
        return candidate if program.probe is None else None
    if answer.reason or not re.search(program.probe.answer, answer.data):
        return None
    if program.source != "prometheus":
        return candidate
    fitting = (name for mark, names in LIBP2P_MAPPINGS if re.search(mark, answer.data) for name in names)
    preset = next((name for name in fitting if name in presets), "generic")
    return replace(candidate, spec=program.spec_of(candidate.place, stem=preset))


def findings(
    machine: LocalMachine, answers: Sequence[tuple[Candidate, ProbeAnswer]], read: Mapping[str, str]
) -> tuple[LocalNode, ...]:
    """All programs of this machine, in the order of the table.

    `read`: by spec why its source cannot read it, "" where it can.
    """
    found: list[LocalNode] = []
    for program in PROGRAMS:
        mine = [(one, answer) for one, answer in answers if one.program == program.name]
        sure = [(one, known) for one, answer in mine if (known := proven(one, answer, machine.presets)) is not None]
        found += [_judged(program, known, machine, read) for _, known in sure]
        known_pids = {one.pid for one, _ in sure}
        for one, answer in mine:
            if one.pid in known_pids - {None} or not _is_worth_a_word(one, answer):
                continue
            is_denied = answer.reason == DENIED
            state, advice = (REFUSED, program.refused) if is_denied else (CLOSED, program.closed)
            reason = answer.reason
            if one.address is None:
                reason = f"it listens at {one.place}, and only loopback is asked"
            found.append(_said(program, one, machine, state, reason, advice))
            known_pids.add(one.pid)
        is_usual = any(_is_usual(program, one) for one, answer in mine if not answer.is_absent)
        found += _silent(program, machine, known_pids, is_there=bool(sure), is_usual=is_usual)
    return tuple(found)


def choice(found: Sequence[LocalNode]) -> LocalNode | None:
    """The program to attach where the settings name none: the first one that can be read."""
    return next((one for one in found if one.state == READABLE), None)


def program_of(name: str) -> Program:
    """The row of the table."""
    return next(program for program in PROGRAMS if program.name == name)


def loopback(address: Address) -> Address | None:
    """Where loopback reaches a listening socket; None where it does not."""
    host, port = address
    ip = ip_address(host.partition("%")[0])
    if ip.is_unspecified:
        return "127.0.0.1", port
    return (str(ip), port) if ip.is_loopback else None


def _by_process(program: Program, machine: LocalMachine) -> list[Candidate]:
    found = []
    own = {loopback(one) for one in machine.own} - {None}
    for process in machine.processes:
        if process.name not in program.processes or process.is_elsewhere:
            continue
        if program.probe is None and not program.paths:
            found.append(Candidate(program.name, "", program.source, None, process.pid))
            continue
        listens = sorted(process.listens or (), key=lambda one: (one[1] not in program.ports, one))
        usual = [one for one in listens if one[1] in program.ports]
        # Other ports of a node that has its interface where it belongs are for its P2P network.
        for address in _one_a_port(usual or listens)[:PORTS_MAX]:
            near = loopback(address)
            if near in own:
                continue
            if near is not None and program.probe is not None and program.ports:
                found.append(_at(program, near, process.pid))
            elif near is None and usual:
                spec = program.spec_of(join_address(*address), stem="generic")
                found.append(Candidate(program.name, join_address(*address), spec, None, process.pid))
    return found


def _by_port(program: Program, machine: LocalMachine, taken: set[Address]) -> list[Candidate]:
    """Default ports of nobody known: their process may be hidden, or have another name."""
    if program.probe is None:
        return []
    found = []
    own = {loopback(one) for one in machine.own}
    for port in program.ports:
        listening = machine.listening if machine.listening is not None else {("127.0.0.1", port)}
        here = sorted(one for one in listening - taken if one[1] == port)
        near = {place: None for one in here if (place := loopback(one)) is not None and place not in own}
        found += [_at(program, place, None) for place in near]
    return found


def _by_path(program: Program, machine: LocalMachine) -> list[Candidate]:
    found = []
    pids = [process.pid for process in machine.processes if process.name in program.processes]
    pid = pids[0] if len(pids) == 1 else None
    for pattern, path in machine.paths:
        if pattern in program.paths:
            stem = (
                path[len(pattern.partition("*")[0]) :].removesuffix(pattern.partition("*")[2]) if "*" in pattern else ""
            )
            spec = program.spec_of(path, stem=stem)
            found.append(Candidate(program.name, path, spec, path if program.probe else None, pid))
    names = [name for kind, name in machine.interfaces if kind == program.interfaces]
    if names:
        spec = program.source if len(names) > 1 else program.spec_of(names[0], stem=names[0])
        found.append(Candidate(program.name, ", ".join(names), spec))
    return found


def _one_a_port(addresses: Sequence[Address]) -> list[Address]:
    """The first address of each port, on loopback where there is one: a program may listen by IPv4 and by IPv6."""
    by_port: dict[int, Address] = {}
    for address in sorted(addresses, key=lambda one: loopback(one) is None):
        by_port.setdefault(address[1], address)
    return [address for address in addresses if by_port[address[1]] == address]


def _at(program: Program, near: Address, pid: int | None) -> Candidate:
    place = join_address(*near)
    is_default = near == ("127.0.0.1", program.ports[0])
    return Candidate(program.name, place, program.spec_of(place, is_default=is_default, stem="generic"), near, pid)


def _judged(program: Program, one: Candidate, machine: LocalMachine, read: Mapping[str, str]) -> LocalNode:
    if program.source not in machine.sources:
        reason = f"no source {program.source!r} is installed"
        return LocalNode(one.program, one.place, one.pid, None, UNSUPPORTED, reason)
    reason = read.get(one.spec, "")
    if not reason:
        return LocalNode(one.program, one.place, one.pid, one.spec, READABLE)
    return _said(program, one, machine, REFUSED, reason, program.refused)


def _said(program: Program, one: Candidate, machine: LocalMachine, state: str, reason: str, advice: str) -> LocalNode:
    mine = [process for process in machine.processes if process.name in program.processes]
    owners = {process.user for process in mine if one.pid in (None, process.pid)}
    owner = owners.pop() if len(owners) == 1 else None
    full = program.spec_of(one.place, stem="generic") if one.place and one.spec == program.source else one.spec
    words = advice.format(user=machine.user or "USER", owner=owner or "its user", spec=full)
    return LocalNode(one.program, one.place, one.pid, one.spec, state, reason, words)


def _is_worth_a_word(one: Candidate, answer: ProbeAnswer) -> bool:
    """Whether a candidate that is not proven says something: its process is known, or it may not be opened."""
    if one.address is None:
        return one.pid is not None
    return bool(answer.reason) and not answer.is_absent and (one.pid is not None or isinstance(one.address, str))


def _is_usual(program: Program, one: Candidate) -> bool:
    """Whether it is a place where the interface of the program usually is."""
    return isinstance(one.address, str) or (one.address is not None and one.address[1] in program.ports)


def _silent(
    program: Program, machine: LocalMachine, known: set[int | None], *, is_there: bool, is_usual: bool
) -> list[LocalNode]:
    """Processes of a program that nothing was found of. A program may be a parent and its child.

    `is_usual`: somebody listens where the interface usually is.
    """
    found = []
    mine = [process for process in machine.processes if process.name in program.processes]
    parents = {process.parent for process in mine}
    for process in mine:
        is_part = process.pid in parents or process.parent in known
        is_hidden = is_there and (process.listens is None or program.probe is None)
        if process.pid in known or is_part or is_hidden:
            continue
        reason = "it runs, and its interface does not answer"
        if not is_usual and program.probe is not None:
            reason = "it runs, and its interface is at none of the usual places"
        if process.is_elsewhere:
            reason = "it runs in another network namespace, such as a container; publish its port on 127.0.0.1"
        elif process.listens is None:
            reason = (
                f"it runs as {process.user or 'another user'}, whose sockets {machine.user or 'this user'} cannot see"
            )
        one = Candidate(program.name, "", program.source, None, process.pid)
        advice = "" if process.is_elsewhere else program.closed
        found.append(_said(program, one, machine, CLOSED, reason, advice))
    return found
