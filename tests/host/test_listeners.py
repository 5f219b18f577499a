"""Whose a listening socket is."""

import os
import socket
from pathlib import Path

import pytest

from peerscope.host import listeners
from peerscope.host.listeners import Listener, owner_uids, peer_uid, port_of

HEAD = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode"
linux = pytest.mark.skipif(not Path("/proc/net/tcp").exists(), reason="only Linux says it")


def known(monkeypatch: pytest.MonkeyPatch, *sockets: Listener) -> None:
    monkeypatch.setattr(listeners, "listeners", lambda: frozenset(sockets))


@linux
@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "0.0.0.0", "::"])
def test_an_own_socket_is_ours(host: str) -> None:
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as server:
        server.bind((host, 0))
        server.listen()
        port = server.getsockname()[1]
        near = "::1" if ":" in host else "127.0.0.1"
        assert owner_uids(near, port) == {os.geteuid()}
        assert owner_uids("localhost", port) == {os.geteuid()}
    assert owner_uids(near, port) == frozenset()


def test_all_that_may_answer_count(monkeypatch: pytest.MonkeyPatch) -> None:
    known(monkeypatch, Listener("0.0.0.0", 80, 1), Listener("::", 80, 2), Listener("::1", 80, 3), Listener("::", 81, 4))
    assert owner_uids("127.0.0.1", 80) == {1, 2}
    assert owner_uids("::1", 80) == {1, 2, 3}
    assert owner_uids("localhost", 80) == {1, 2, 3}
    known(monkeypatch, Listener("::ffff:127.0.0.1", 80, 5), Listener("127.0.0.2", 80, 6))
    assert owner_uids("127.0.0.1", 80) == {5}


def test_a_user_that_a_container_does_not_know_is_nobody_known(monkeypatch: pytest.MonkeyPatch) -> None:
    known(monkeypatch, Listener("127.0.0.1", 80, listeners.UNMAPPED))
    monkeypatch.setattr(Path, "read_text", lambda *_, **__: "         0     100000      65536\n")
    assert owner_uids("127.0.0.1", 80) is None
    monkeypatch.setattr(Path, "read_text", lambda *_, **__: "         0          0 4294967295\n")
    assert owner_uids("127.0.0.1", 80) == {listeners.UNMAPPED}


def test_a_system_that_does_not_say_is_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listeners, "TABLES", ("nothing",))
    monkeypatch.setattr(Path, "exists", lambda _: False)
    assert listeners.listeners() is None
    assert owner_uids("127.0.0.1", 80) is None


@linux
def test_a_table_that_is_no_table_is_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Path, "read_text", lambda *_, **__: f"{HEAD}\n   0: 0100007F:07E8 x 0A")
    assert listeners.listeners() is None


def test_the_other_end_of_a_unix_socket_has_a_user(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server, socket.socket(socket.AF_UNIX) as client, socket.socket() as tcp:
        server.bind(str(tmp_path / "s"))
        server.listen()
        client.connect(str(tmp_path / "s"))
        assert peer_uid(client) in (os.geteuid(), None)
        assert peer_uid(tcp) != os.geteuid() or os.geteuid() == 0


@pytest.mark.parametrize(
    ("address", "port"),
    [("127.0.0.1:8384", 8384), (":1", 1), ("[::1]:80", 80), ("8384", 8384), ("/run/a:80", None), ("h:0", None)],
)
def test_a_port_of_settings(address: str, port: int | None) -> None:
    assert port_of(address) == port
