"""A Tor relay or client, asked at its control port (control-spec version 1).

Checked with tor 0.4.9.11. Tor opens the port to a program that can read its cookie file, or knows its password. We
prove that we can read the cookie without sending it (SAFECOOKIE), since any program may listen at that port. One that
passes our proof on to the real tor would be let in by it. So the port must belong to root or to the cookie's owner,
unless the settings name the cookie.

Only a relay has an id (its fingerprint), an address and neighbours here. The neighbours of a client are its guards, and
those of a bridge's or relay's clients are people: they are counted and never named.

How late and how wrong Tor may be:
- It lists one relay several times if it has several connections to it.
- `circuits` counts those that this Tor built for itself. Only its MetricsPort (`prometheus:URL#tor`) counts those that
  pass through it. There, some gauges have names that end in "_total", and listening sockets are opened connections.
- A killed relay is gone at once. A frozen one was still CONNECTED after 330 s.
- Bytes include those of the directory, and start at 0 with the process.
- `flags` are those of the last consensus, up to some hours old.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import hmac
import os
import re
import secrets
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

from peerscope.errors import SourceError
from peerscope.host.addresses import split_address
from peerscope.host.listeners import peer_uid
from peerscope.host.numbers import whole
from peerscope.host.regular_files import read_regular
from peerscope.mesh.detection.checks import printable
from peerscope.records.bodies import OverlayLink
from peerscope.records.measures import COUNT_MAX, Measure, NodeMetrics
from peerscope.sources.base import Reading
from peerscope.sources.neighbours import is_address
from peerscope.sources.own_secrets import check_listener, check_uids
from peerscope.sources.place import parse_place, secret

DEFAULTS = ("/run/tor/control", "127.0.0.1:9051")
"""Debian's socket, and the usual port."""
TIMEOUT_S = 4.0
ANSWER_BYTES_MAX = 16 * 1024 * 1024
LINE_BYTES_MAX = 1024 * 1024
COOKIE_BYTES = 32
SERVER_KEY = b"Tor safe cookie authentication server-to-controller hash"
CLIENT_KEY = b"Tor safe cookie authentication controller-to-server hash"
KEYS = (
    "version",
    "fingerprint",
    "orconn-status",
    "circuit-status",
    "traffic/read",
    "traffic/written",
    "uptime",
    "status/bootstrap-phase",
    "network-liveness",
)
CONNECTION = re.compile(r"\S+ (?:NEW|LAUNCHED|CONNECTED|FAILED|CLOSED)\Z")
CIRCUIT = re.compile(r"[0-9]+ [A-Z_]+(?: |\Z)")
EVENT = "650"
ADVICE = "#cookie_file=PATH"
FINGERPRINT = re.compile(r"[0-9A-F]{40}")
RELAY = re.compile(r"\$([0-9A-F]{40})(?:[~=][0-9A-Za-z]{1,19})?")


class TorSource:
    """One control port as a source."""

    def __init__(self, argument: str) -> None:
        """`argument`: `HOST:PORT` or the path of a socket, `#password_file=PATH` or `#cookie_file=PATH`."""
        place = parse_place(argument, frozenset({"cookie_file", "password_file"}))
        self._place = place.address
        self._options = place.options
        if self._place and "/" not in self._place:
            split_address(self._place, "the control port")

    async def read(self) -> Reading:
        """Read connections, circuits, bytes and the state of the relay. Raises `SourceError`."""
        place = self._place or (DEFAULTS[0] if os.path.exists(DEFAULTS[0]) else DEFAULTS[1])
        try:
            async with asyncio.timeout(TIMEOUT_S):
                return await self._read(place)
        except TimeoutError:
            raise SourceError(f"tor at {place} has not answered for {TIMEOUT_S:g} s") from None

    async def close(self) -> None:
        """Nothing stays open."""

    async def _read(self, place: str) -> Reading:
        async with _control(place) as control:
            await _authenticate(control, self._options)
            found = {key: await control.get_info(key) for key in KEYS}
            if not found["version"]:
                raise SourceError(f"{place} is no control port of tor: it answers without a version")
            fingerprint = found["fingerprint"] or ""
            me = fingerprint if FINGERPRINT.fullmatch(fingerprint) else None
            consensus = await control.get_info(f"ns/id/{me}") if me else None
        return _reading(found, me, consensus)


class Control:
    """One connection to a control port."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, place: str) -> None:
        self.place = place
        self._reader = reader
        self._writer = writer
        self._bytes = 0

    def check_owner(self, cookie: Path) -> None:
        """Raises `SourceError` unless this end belongs to somebody who may read this cookie."""
        if "/" not in self.place:
            check_listener(cookie, *split_address(self.place, "the control port"), ADVICE)
            return
        uid = peer_uid(self._writer.get_extra_info("socket"))
        check_uids(cookie, None if uid is None else {uid}, self.place, ADVICE)

    async def ask(self, command: str) -> tuple[str, list[str]]:
        """The code and the lines of an answer, without their codes. The data of a line follow it after a newline."""
        self._writer.write(command.encode() + b"\r\n")
        while True:
            code, lines = await self._answer()
            if code != EVENT:  # nobody asked for it, so it answers nothing
                return code, lines

    async def _answer(self) -> tuple[str, list[str]]:
        lines = []
        while True:
            line = await self._line()
            if len(line) < 4 or whole(line[:3]) is None or line[3] not in "-+ ":
                raise SourceError(f"{self.place} is no control port of tor: it answers {printable(line)[:40]!r}")
            code, kind, text = line[:3], line[3], line[4:]
            if kind == "+":
                data = []
                while (part := await self._line()) != ".":
                    data.append(part[1:] if part.startswith(".") else part)
                text = "\n".join([text, *data])
            lines.append(text)
            if kind == " ":
                return code, lines

    async def get_info(self, key: str) -> str | None:
        """A value; None if this Tor does not know it or has none."""
        code, lines = await self.ask(f"GETINFO {key}")
        if code != "250" or len(lines) != 2 or not lines[0].startswith(f"{key}="):
            return None
        return lines[0].removeprefix(f"{key}=").removeprefix("\n")

    async def _line(self) -> str:
        try:
            line = await self._reader.readuntil(b"\n")
        except asyncio.IncompleteReadError:
            raise SourceError(f"{self.place} closed the connection in the middle of an answer") from None
        except (asyncio.LimitOverrunError, OSError) as error:
            raise SourceError(f"{self.place} broke off: {error}") from None
        self._bytes += len(line)
        if self._bytes > ANSWER_BYTES_MAX:
            raise SourceError(f"{self.place} answers more than {ANSWER_BYTES_MAX} bytes")
        return line.decode("latin-1").rstrip("\r\n")


@contextlib.asynccontextmanager
async def _control(place: str) -> AsyncIterator[Control]:
    try:
        if "/" in place:
            reader, writer = await asyncio.open_unix_connection(place, limit=LINE_BYTES_MAX)
        else:
            host, port = split_address(place, "the control port")
            reader, writer = await asyncio.open_connection(host, port, limit=LINE_BYTES_MAX)
    except PermissionError:
        raise SourceError(f"{place}: no permission; add the agent's user to tor's group (debian-tor)") from None
    except OSError as error:
        reason = error.strerror or str(error)
        raise SourceError(
            f"no control port at {place}: {reason}; set ControlPort 9051 and CookieAuthentication 1 in torrc"
        ) from None
    try:
        yield Control(reader, writer, place)
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


async def _authenticate(control: Control, options: Mapping[str, str]) -> None:
    _, lines = await control.ask("PROTOCOLINFO 1")
    offer = next((line for line in lines if line.startswith("AUTH METHODS=")), "")
    methods = offer.removeprefix("AUTH METHODS=").partition(" ")[0].split(",")
    if "password_file" in options:
        word = secret(options["password_file"]).replace("\\", "\\\\").replace('"', '\\"')
        code, _ = await control.ask(f'AUTHENTICATE "{word}"')
        problem = f"it does not accept the password in {options['password_file']}"
    elif "NULL" in methods:
        code, _ = await control.ask("AUTHENTICATE")
        problem = "it does not let us in"
    elif "SAFECOOKIE" in methods:
        path = options.get("cookie_file") or _unquoted(offer.partition(" COOKIEFILE=")[2])
        if "cookie_file" not in options:
            _cookie(path)  # a file that cannot be read has its own advice
            control.check_owner(Path(path))
        code = await _prove(control, _cookie(path))
        problem = f"it does not accept the cookie in {path}"
    else:
        raise SourceError(f"tor at {control.place} wants a password; name its file, as in #password_file=PATH")
    if code != "250":
        raise SourceError(f"tor at {control.place}: {problem}")


async def _prove(control: Control, cookie: bytes) -> str:
    """Prove to each other that both ends know the cookie; the code of the last answer."""
    ours = secrets.token_bytes(32)
    code, lines = await control.ask(f"AUTHCHALLENGE SAFECOOKIE {ours.hex()}")
    match = re.fullmatch(r"AUTHCHALLENGE SERVERHASH=([0-9A-Fa-f]{64}) SERVERNONCE=([0-9A-Fa-f]{64})", lines[0])
    if code != "250" or match is None:
        return code if code != "250" else "500"
    theirs = bytes.fromhex(match[2])
    message = cookie + ours + theirs
    if not hmac.compare_digest(hmac.digest(SERVER_KEY, message, hashlib.sha256), bytes.fromhex(match[1])):
        raise SourceError(
            f"{control.place} does not know the cookie: another program listens there, or it is an old file"
        )
    code, _ = await control.ask(f"AUTHENTICATE {hmac.digest(CLIENT_KEY, message, hashlib.sha256).hex()}")
    return code


def _cookie(path: str) -> bytes:
    try:
        data = read_regular(Path(path), COOKIE_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise SourceError(
            f"the cookie {printable(path)[:60]} cannot be read: {reason}; set CookieAuthFileGroupReadable 1 and join"
            " tor's group"
        ) from None
    if len(data) != COOKIE_BYTES:
        raise SourceError(f"the file {printable(path)[:80]} is no cookie of tor")
    return data


def _unquoted(text: str) -> str:
    match = re.match(r'"((?:[^"\\]|\\.)*)"', text)
    return re.sub(r"\\(.)", r"\1", match[1]) if match else ""


def _reading(found: dict[str, str | None], me: str | None, consensus: str | None) -> Reading:
    connections = _known_rows(found["orconn-status"], CONNECTION)
    targets = [line.rpartition(" ")[0] for line in connections or () if line.endswith(" CONNECTED")]
    relays = sorted({match[1] for target in targets if (match := RELAY.fullmatch(target))} - {me})
    circuits = _known_rows(found["circuit-status"], CIRCUIT)
    built = None if circuits is None else sum(line.split(" ")[1] == "BUILT" for line in circuits)
    progress = re.search(r" PROGRESS=([0-9]{1,3})\b", found["status/bootstrap-phase"] or "")
    address, flags = _consensus(consensus)
    uptime_s = _count(found["uptime"])
    return Reading(
        node="tor",
        node_id=me,
        version=printable(found["version"] or "").partition(" ")[0][:64] or None,
        metrics=NodeMetrics(
            active_connections=None if connections is None else len(targets),
            p2p_peers=None if connections is None else len(relays),
            received_bytes=_count(found["traffic/read"]),
            sent_bytes=_count(found["traffic/written"]),
        ),
        overlay=tuple(OverlayLink(relay) for relay in relays) if me else (),
        addresses=(address,) if address else (),
        measures=(
            Measure("circuits", built, "circuits"),
            Measure("orconn", None if connections is None else len(targets), "connections"),
            Measure("bootstrap", int(progress[1]) / 100 if progress and int(progress[1]) <= 100 else None, "ratio"),
        ),
        details={
            "kind": "relay" if me else "client",
            "flags": flags,
            "liveness": printable(found["network-liveness"] or "")[:16] or None,
            "uptime_s": None if uptime_s is None else float(uptime_s),
            "unnamed_connections": None
            if connections is None
            else float(sum(RELAY.fullmatch(target) is None for target in targets)),
        },
    )


def _consensus(text: str | None) -> tuple[str | None, str | None]:
    """Address and flags of a relay in the consensus; None if it is not in it."""
    address = flags = None
    for line in _rows(text):
        words = line.split(" ")
        if words[0] == "r" and len(words) >= 8 and is_address(f"{words[-3]}:{words[-2]}"):
            address = f"{words[-3]}:{words[-2]}"
        elif words[0] == "s":
            flags = printable(" ".join(words[1:]))[:64]
    return address, flags


def _known_rows(text: str | None, form: re.Pattern[str]) -> list[str] | None:
    """The rows of a list; None if any is not of its form, since then nothing is known of the others."""
    rows = _rows(text)
    return None if text is None or not all(map(form.match, rows)) else rows


def _rows(text: str | None) -> list[str]:
    return [line for line in (text or "").split("\n") if line]


def _count(text: str | None) -> int | None:
    return int(text) if text is not None and re.fullmatch(r"[0-9]{1,15}", text) and int(text) <= COUNT_MAX else None
