"""TLS from files: the page, the API, the feed and the command line speak it; wrong files are named before the start."""

import datetime
import json
import socket
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
from click.testing import CliRunner
from websockets.sync.client import connect

from certificates import SINCE, UNTIL, certificate
from live import PATIENCE_S, Agent, running, settings, until
from peerscope.agent.monitor import Monitor
from peerscope.cli import cli
from peerscope.errors import ConfigError
from peerscope.web import server
from peerscope.web.listener import WebServer
from peerscope.web.tls import TlsFiles


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return certificate(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory, files: tuple[Path, Path]) -> Iterator[Agent]:
    web = {"tls_cert": str(files[0]), "tls_key": str(files[1])}
    with running(tmp_path_factory.mktemp("secured"), web=web) as agent:
        yield agent


@pytest.fixture
def trust(files: tuple[Path, Path]) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(files[0]))


def test_the_page_the_api_and_the_feed_are_encrypted(secured: Agent, trust: ssl.SSLContext) -> None:
    assert secured.http.startswith("https://127.0.0.1:")
    with httpx.Client(base_url=secured.http, verify=trust, trust_env=False, timeout=PATIENCE_S) as asking:
        assert asking.get("/").status_code == 200
        assert asking.get("/api/v1/self").json()["http"] == secured.http
        assert asking.get("/api/v1/self", headers={"origin": secured.http}).status_code == 200
        assert asking.get("/api/v1/self", headers={"origin": "https://evil.example"}).status_code == 403
    with connect(f"wss{secured.http.removeprefix('https')}/dashboard", ssl=trust, proxy=None) as feed:
        assert "snapshot" in feed.recv(timeout=PATIENCE_S)


def test_nothing_is_said_to_those_who_do_not_encrypt(secured: Agent) -> None:
    place = urlsplit(secured.http)
    with socket.create_connection((place.hostname, place.port), PATIENCE_S) as connection:
        connection.sendall(b"GET /api/v1/self HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert b"HTTP/" not in connection.recv(4096)


def test_tls_of_the_last_century_is_refused(secured: Agent, trust: ssl.SSLContext) -> None:
    trust.set_ciphers("DEFAULT:@SECLEVEL=0")
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        trust.minimum_version = trust.maximum_version = ssl.TLSVersion.TLSv1_1
    place = urlsplit(secured.http)
    with socket.create_connection((place.hostname, place.port), PATIENCE_S) as connection:
        with pytest.raises(ssl.SSLError):
            trust.wrap_socket(connection, server_hostname="127.0.0.1")


def test_a_handshake_that_does_not_come_to_its_end_is_given_up(
    tmp_path: Path, files: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "HANDSHAKE_S", 0.3)
    with running(tmp_path, web={"tls_cert": str(files[0]), "tls_key": str(files[1])}) as agent:
        place = urlsplit(agent.http)
        with socket.create_connection((place.hostname, place.port), PATIENCE_S) as connection:
            connection.sendall(b"\x16\x03\x01")
            assert connection.recv(4096) == b""


# -- the command line --


def said(secured: Agent, *arguments: str, environment: dict[str, str] | None = None) -> str:
    found = CliRunner().invoke(cli, ["peers", "--json", "--api", secured.http, *arguments], env=environment or {})
    return found.stdout if found.exit_code == 0 else str(found.exception)


def test_the_command_line_believes_the_file_that_it_is_given(secured: Agent, files: tuple[Path, Path]) -> None:
    assert json.loads(said(secured, "--ca", str(files[0])))[0]["peer_id"] == secured.peer_id
    assert secured.peer_id in said(secured, environment={"PEERSCOPE_CA": str(files[0])})


def test_the_command_line_believes_nobody_else(secured: Agent, tmp_path: Path) -> None:
    stranger, key = certificate(tmp_path)
    for arguments in ((), ("--ca", str(stranger))):
        told = said(secured, *arguments)
        assert f"the certificate of {secured.http} is not trusted" in told
        assert "--ca FILE" in told
    assert "it holds no certificate" in said(secured, "--ca", str(key))
    assert "No such file" in said(secured, "--ca", str(tmp_path / "none.pem"))


def test_the_token_is_not_carried_elsewhere() -> None:
    with socket.create_server(("127.0.0.1", 0)) as elsewhere:
        address = f"http://127.0.0.1:{elsewhere.getsockname()[1]}"

        def redirect() -> None:
            connection, _ = elsewhere.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(f"HTTP/1.1 302 Found\r\nLocation: {address}/x\r\nContent-Length: 0\r\n\r\n".encode())

        thread = threading.Thread(target=redirect)
        thread.start()
        found = CliRunner().invoke(cli, ["status", "--api", address, "--token", "a secret token 123"])
        thread.join(PATIENCE_S)
    assert f"it redirects to '{address}/x'" in str(found.exception)


# -- wrong files --


def refusal(state: Path, cert: Path | str, key: Path | str) -> str:
    monitor = Monitor(settings(web={"tls_cert": str(cert), "tls_key": str(key)}), state)
    with pytest.raises(ConfigError) as told:
        WebServer(monitor)
    return str(told.value)


def test_wrong_files_are_named(tmp_path: Path, files: tuple[Path, Path]) -> None:
    cert, key = files
    other_cert, other_key = certificate(tmp_path / "other", password=b"hunter2")
    text = tmp_path / "text.pem"
    text.write_text("no certificate\n")
    _, third_key = certificate(tmp_path / "third")
    state = tmp_path / "state"
    assert f"web.tls_cert: cannot read {tmp_path / 'none'}: No such file" in refusal(state, tmp_path / "none", key)
    assert f"web.tls_key: cannot read {tmp_path}: Is a directory" in refusal(state, cert, tmp_path)
    assert f"{text} must hold PEM certificates" in refusal(state, text, key)
    assert f"{text} its PEM private key" in refusal(state, cert, text)
    assert f"web.tls_key: {third_key} is not the key of the certificate in {cert}" in refusal(state, cert, third_key)
    assert f"web.tls_key: {other_key} is encrypted" in refusal(state, other_cert, other_key)


@pytest.mark.parametrize(("given", "wanting"), [("tls_cert", "tls_key"), ("tls_key", "tls_cert")])
def test_one_file_without_the_other_is_a_mistake(given: str, wanting: str) -> None:
    with pytest.raises(ConfigError, match=f"web.{given} is set but web.{wanting} is not"):
        settings(web={given: "x.pem"})


def shown_by(http: str) -> str:
    """The certificate that a new connection is shown."""
    place = urlsplit(http)
    assert place.hostname is not None
    assert place.port is not None
    return ssl.get_server_certificate((place.hostname, place.port), timeout=PATIENCE_S)


def test_a_certificate_that_is_renewed_in_place_is_shown_to_new_connections_and_the_alert_about_its_end_is_over(
    tmp_path: Path,
) -> None:
    soon = datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=3)
    cert, key = certificate(tmp_path / "served", until=soon)
    with running(tmp_path / "state", web={"tls_cert": str(cert), "tls_key": str(key)}) as agent:
        alerts = agent.monitor.alerts

        def ends() -> list[str]:
            return [one.description for one in agent.loop.call(alerts, active_only=True) if one.rule == "tls-end"]

        until(lambda: bool(ends()), "the end is announced")
        assert ends()[0].startswith(f"web.tls_cert ends {soon:%Y-%m-%d %H:%M} UTC; renew it: ")
        assert str(tmp_path) not in ends()[0]  # all members read it
        renewed, other_key = certificate(tmp_path / "renewed")
        renewed.replace(cert)  # for a moment the pair does not fit, as when files are replaced one by one
        agent.loop.call(agent.monitor.tls.reload)  # type: ignore[union-attr]
        other_key.replace(key)
        until(lambda: shown_by(agent.http) == cert.read_text(), "the new one is shown")
        until(lambda: ends() == [], "the alert is over")
        trusting = ssl.create_default_context(cafile=str(cert))
        with httpx.Client(base_url=agent.http, verify=trusting, trust_env=False, timeout=PATIENCE_S) as asking:
            lines = asking.get("/metrics").text.splitlines()
        name = 'peerscope_certificate_end_timestamp_seconds{setting="web.tls_cert"} '
        assert [float(one.removeprefix(name)) for one in lines if one.startswith(name)] == [UNTIL.timestamp()]


def test_files_that_are_gone_or_wrong_leave_what_was_read_before(tmp_path: Path) -> None:
    cert, key = certificate(tmp_path / "served")
    tls = TlsFiles(str(cert), str(key))
    before = tls.ending
    assert before is not None
    assert (before.begins_at, before.ends_at) == (SINCE.timestamp(), UNTIL.timestamp())
    cert.write_text("no certificate")
    tls.reload()
    assert tls.ending == before
    key.unlink()
    tls.reload()
    assert tls.ending == before
