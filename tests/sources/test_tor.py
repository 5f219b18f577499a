"""A Tor control port as a source, with answers recorded from tor 0.4.9.11."""

import asyncio
import contextlib
import hashlib
import hmac
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from peerscope.errors import ConfigError, SourceError
from peerscope.records.bodies import OverlayLink
from peerscope.records.measures import Measure, NodeMetrics
from peerscope.sources.base import Reading
from peerscope.sources.programs import tor
from peerscope.sources.programs.tor import TorSource

ME, ONE, TWO = "A" * 40, "B" * 40, "C" * 40
CIRCUITS = [
    f"1 BUILT ${ONE}~one,${TWO}~two BUILD_FLAGS=NEED_CAPACITY PURPOSE=GENERAL TIME_CREATED=2026-11-30T18:41:56.871105",
    f"2 EXTENDED ${ONE}~one PURPOSE=GENERAL",
    "3 LAUNCHED PURPOSE=GENERAL",
    f"4 BUILT ${TWO}~two PURPOSE=HS_VANGUARDS",
]
CONNECTIONS = [
    f"${TWO}~two CONNECTED",
    f"${ONE}~one CONNECTED",
    f"${ONE}~one CONNECTED",
    "127.0.0.1:41450 CONNECTED",
    f"${'D' * 40} LAUNCHED",
]
ANSWERS = {
    "version": "250-version=0.4.9.11 (git-0123)\n250 OK",
    "fingerprint": f"250-fingerprint={ME}\n250 OK",
    "orconn-status": "250+orconn-status=\n" + "\n".join(CONNECTIONS) + "\n.\n250 OK",
    "circuit-status": "250+circuit-status=\n" + "\n".join(CIRCUITS) + "\n.\n250 OK",
    "traffic/read": "250-traffic/read=125609\n250 OK",
    "traffic/written": "250-traffic/written=154983\n250 OK",
    "uptime": "250-uptime=24\n250 OK",
    "status/bootstrap-phase": "250-status/bootstrap-phase=NOTICE BOOTSTRAP PROGRESS=100 TAG=done\n250 OK",
    "network-liveness": "250-network-liveness=up\n250 OK",
    f"ns/id/{ME}": f"250+ns/id/{ME}=\n"
    "r node1 KI4bxqJ1PJjTKzFa3Vgo5WEQWWk ZDltyBjkPq3qQhYdVze7V1VKCNg 2038-01-01 00:00:00 203.0.113.9 9001 0\n"
    "s Fast Guard Running Valid\nw Bandwidth=0\n.\n250 OK",
}
CLIENT = ANSWERS | {"fingerprint": "551 Not running in server mode"}


class ControlPort:
    """A control port with a cookie, whose answers may be changed."""

    def __init__(self, folder: Path) -> None:
        self.answers = dict(ANSWERS)
        self.methods = "COOKIE,SAFECOOKIE"
        self.secret = bytes(range(32))
        self.cookie = folder / 'the "cookie"'
        self.cookie.write_bytes(self.secret)
        self.heard: list[str] = []
        self.place = str(folder / "control")
        self._proof = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            while line := (await reader.readuntil(b"\r\n")).decode().rstrip():
                self.heard.append(line)
                writer.write(self._answer(line).replace("\n", "\r\n").encode("utf-8") + b"\r\n")
                await writer.drain()
        writer.close()

    def _answer(self, line: str) -> str:
        verb, _, rest = line.partition(" ")
        if verb == "PROTOCOLINFO":
            path = str(self.cookie).replace('"', '\\"')
            return f'250-PROTOCOLINFO 1\n250-AUTH METHODS={self.methods} COOKIEFILE="{path}"\n250 OK'
        if verb == "AUTHCHALLENGE":
            message = self.secret + bytes.fromhex(rest.rpartition(" ")[2]) + bytes(32)
            self._proof = hmac.digest(tor.CLIENT_KEY, message, hashlib.sha256).hex()
            server = hmac.digest(tor.SERVER_KEY, message, hashlib.sha256).hex()
            return f"250 AUTHCHALLENGE SERVERHASH={server} SERVERNONCE={'00' * 32}"
        if verb == "AUTHENTICATE":
            right = rest in (self._proof, '"a \\"word\\""') or self.methods == "NULL"
            return "250 OK" if right else "515 Authentication failed"
        return self.answers.get(rest, f'552 Unrecognized key "{rest}"')


@contextlib.asynccontextmanager
async def control_port(folder: Path) -> AsyncIterator[ControlPort]:
    port = ControlPort(folder)
    server = await asyncio.start_unix_server(port.serve, port.place)
    try:
        yield port
    finally:
        server.close()


def read(folder: Path, options: str = "", **changes: object) -> Reading:
    async def reading() -> Reading:
        async with control_port(folder) as port:
            for name, value in changes.items():
                setattr(port, name, value)
            return await TorSource(port.place + options).read()

    return asyncio.run(reading())


def test_it_reads_connections_circuits_bytes_and_flags_of_a_relay(tmp_path: Path) -> None:
    reading = read(tmp_path)
    assert (reading.node, reading.node_id, reading.version) == ("tor", ME, "0.4.9.11")
    assert reading.metrics == NodeMetrics(active_connections=4, p2p_peers=2, received_bytes=125609, sent_bytes=154983)
    assert reading.overlay == (OverlayLink(ONE), OverlayLink(TWO))
    assert reading.addresses == ("203.0.113.9:9001",)
    assert reading.measures == (
        Measure("circuits", 2, "circuits"),
        Measure("orconn", 4, "connections"),
        Measure("bootstrap", 1.0, "ratio"),
    )
    assert reading.details == {
        "kind": "relay",
        "flags": "Fast Guard Running Valid",
        "liveness": "up",
        "uptime_s": 24.0,
        "unnamed_connections": 1.0,
    }


def test_a_client_counts_its_guards_and_never_names_them(tmp_path: Path) -> None:
    reading = read(tmp_path, answers=CLIENT)
    assert (reading.node_id, reading.overlay, reading.addresses) == (None, (), ())
    assert (reading.metrics.p2p_peers, reading.details["kind"]) == (2, "client")


def test_the_address_of_a_client_of_a_relay_is_nowhere(tmp_path: Path) -> None:
    assert "41450" not in repr(read(tmp_path))


def test_a_fresh_tor_has_no_connections_and_no_circuits(tmp_path: Path) -> None:
    empty = {"orconn-status": "250-orconn-status=\n250 OK", "circuit-status": "250-circuit-status=\n250 OK"}
    reading = read(tmp_path, answers=ANSWERS | empty)
    assert (reading.metrics.active_connections, reading.metrics.p2p_peers) == (0, 0)
    assert reading.measures[0].value == 0


def test_keys_that_an_old_tor_does_not_know_are_unknown(tmp_path: Path) -> None:
    reading = read(tmp_path, answers={"version": ANSWERS["version"]})
    assert reading.metrics == NodeMetrics()
    assert {one.value for one in reading.measures} == {None}


def test_it_proves_that_it_reads_the_cookie_and_never_sends_it(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with control_port(tmp_path) as port:
            await TorSource(port.place).read()
            assert not any(port.secret.hex() in line.lower() for line in port.heard)
            port.cookie.write_bytes(bytes(32))  # a port that does not know this file, whatever it names
            with pytest.raises(SourceError, match="does not know the cookie"):
                await TorSource(port.place).read()
            assert not any(line.startswith("AUTHENTICATE") for line in port.heard[-2:])
            port.cookie.write_bytes(b"a secret of another program")
            with pytest.raises(SourceError, match="is no cookie of tor"):
                await TorSource(port.place).read()
            port.cookie.unlink()
            with pytest.raises(SourceError, match="CookieAuthFileGroupReadable 1"):
                await TorSource(port.place).read()

    asyncio.run(scenario())


def test_a_password_opens_it_too(tmp_path: Path) -> None:
    (tmp_path / "password").write_text('a "word"\n')
    option = f"#password_file={tmp_path / 'password'}"
    assert read(tmp_path, option, methods="HASHEDPASSWORD").node_id == ME
    with pytest.raises(SourceError, match="wants a password"):
        read(tmp_path, methods="HASHEDPASSWORD")
    (tmp_path / "password").write_text("wrong")
    with pytest.raises(SourceError, match="does not accept the password"):
        read(tmp_path, option, methods="HASHEDPASSWORD")


def test_a_fifo_as_cookie_blocks_nobody(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with control_port(tmp_path) as port:
            port.cookie.unlink()
            os.mkfifo(port.cookie)
            for options in ("", f"#cookie_file={port.cookie}"):
                with pytest.raises(SourceError, match="no regular file"):
                    await TorSource(port.place + options).read()

    asyncio.run(scenario())


def test_a_port_of_another_user_gets_no_proof_since_it_may_pass_it_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario() -> None:
        async with control_port(tmp_path) as port:
            for uid in (os.geteuid() + 7, None):
                monkeypatch.setattr(tor, "peer_uid", lambda _, uid=uid: uid)
                with pytest.raises(SourceError, match=r"no secret is used without #cookie_file=PATH"):
                    await TorSource(port.place).read()
            assert not any(line.startswith("AUTH") for line in port.heard)
            assert (await TorSource(f"{port.place}#cookie_file={port.cookie}").read()).node_id == ME

    asyncio.run(scenario())


def test_a_port_that_says_only_ok_is_no_tor(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="answers without a version"):
        read(tmp_path, methods="NULL", answers=dict.fromkeys(ANSWERS, "250 OK"))


@pytest.mark.parametrize(
    "answer",
    [
        "250 OK",
        "250-circuit-status=\n250 OK",
        "250-orconn-status=garbage\n250 OK",
        f"250+orconn-status=\n{CONNECTIONS[0]}\n<html>\n.\n250 OK",
        "551 no",
    ],
)
def test_connections_that_are_not_answered_are_unknown_and_not_none(tmp_path: Path, answer: str) -> None:
    reading = read(tmp_path, answers=ANSWERS | {"orconn-status": answer})
    assert (reading.metrics.active_connections, reading.metrics.p2p_peers, reading.overlay) == (None, None, ())
    assert {one.name: one.value for one in reading.measures}["orconn"] is None
    assert reading.details["unnamed_connections"] is None
    circuits = read(tmp_path, answers=ANSWERS | {"circuit-status": answer}).measures[0]
    assert circuits.value is None or answer.startswith("250-circuit-status=")


@pytest.mark.parametrize("event", ["650 NOTICE a\n", "650-A\n650 OK\n", "650+A\n250 OK\n.\n650 OK\n"])
def test_an_event_that_nobody_asked_for_shifts_no_answer(tmp_path: Path, event: str) -> None:
    shifted = {key: event + answer for key, answer in ANSWERS.items()}
    assert read(tmp_path, answers=shifted) == read(tmp_path)


def test_an_open_port_needs_neither(tmp_path: Path) -> None:
    assert read(tmp_path, methods="NULL").node_id == ME


@pytest.mark.parametrize(
    "answer",
    ["250+orconn-status=\n$" + "x" * 2_000_000, "HTTP/1.1 400 Bad Request", "", "25", "250+orconn-status=\n.\n"],
)
def test_no_control_protocol_is_refused(tmp_path: Path, answer: str) -> None:
    with pytest.raises(SourceError):
        read(tmp_path, answers=ANSWERS | {"orconn-status": answer})


def test_a_port_that_hangs_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tor, "TIMEOUT_S", 0.2)
    with pytest.raises(SourceError, match="has not answered"):
        read(tmp_path, answers=ANSWERS | {"uptime": "250+uptime=\n24"})


def test_hostile_values_are_unknown_and_never_shown(tmp_path: Path) -> None:
    hostile = {
        "version": "250-version=0.4\x1b[31m\u202e\n250 OK",
        "traffic/read": "250-traffic/read=-5\n250 OK",
        "traffic/written": f"250-traffic/written={10**30}\n250 OK",
        "orconn-status": f"250+orconn-status=\n${'z' * 40}~\x1b[2J CONNECTED\n${ONE}~{'n' * 99} CONNECTED\n.\n250 OK",
        "status/bootstrap-phase": "250-status/bootstrap-phase=NOTICE BOOTSTRAP PROGRESS=999 TAG=x\n250 OK",
        f"ns/id/{ME}": f"250+ns/id/{ME}=\nr a b c d e nowhere\x1b 99999 0\ns \x1b[2J\n.\n250 OK",
    }
    reading = read(tmp_path, answers=ANSWERS | hostile)
    assert (reading.metrics.received_bytes, reading.metrics.sent_bytes, reading.overlay) == (None, None, ())
    assert (reading.addresses, reading.measures[2].value) == ((), None)
    assert "\x1b" not in f"{reading.version}{reading.details['flags']}"


def test_no_control_port_is_said_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="set ControlPort 9051 and CookieAuthentication 1"):
        asyncio.run(TorSource(str(tmp_path / "none")).read())


@pytest.mark.parametrize("argument", ["nowhere", "127.0.0.1:port", "#password=x"])
def test_wrong_arguments_are_refused(argument: str) -> None:
    with pytest.raises(ConfigError):
        TorSource(argument)
