"""The debug console of Nebula: both forms of its answers, and answers that are none."""

import os
from pathlib import Path

import pytest

from peerscope.errors import ConfigError, SourceError
from peerscope.sources.programs.nebula import Console, NebulaSource

GIVEN = {"ssh": "127.0.0.1:2222", "ssh_user": "ops", "ssh_key": "/k"}
OLD_HOSTS = '[{"vpnIp":"10.9.0.1","localIndex":2,"remoteIndex":17},{"vpnIp":"10.9.0.4","localIndex":3,"remoteIndex":0}]'
NEW_HOSTS = '[{"vpnAddrs":["10.9.0.1","fd00::1"],"localIndex":2,"remoteIndex":17}]'
OLD_CERT = '{"details":{"ips":["10.9.0.2/24"],"name":"host2"},"fingerprint":"7c"}'
NEW_CERT = '{"details":{"networks":["10.9.0.2/24"],"name":"host2"},"version":1}'
BOTH_CERTS = f'[{{"details":{{"networks":["fd00::2/64","10.9.0.2/24"]}},"version":2}},{NEW_CERT}]'


@pytest.fixture
def console(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Console:
    """Asks a program `ssh` that prints the file named like the command, or fails without one."""
    tool = tmp_path / "ssh"
    tool.write_text(f'#!/bin/sh\nfor last; do :; done\ncat "{tmp_path}/$last" || exit 255\n')
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    return Console(GIVEN)


@pytest.mark.parametrize("answer", [OLD_HOSTS, NEW_HOSTS])
def test_hosts_are_those_whose_handshake_is_complete(console: Console, answer: str, tmp_path: Path) -> None:
    (tmp_path / "list-hostmap -json").write_text(answer)
    assert console.hosts() == ["10.9.0.1"]


def test_a_host_without_tunnels_has_no_neighbours(console: Console, tmp_path: Path) -> None:
    for nothing in ("[]", "null"):
        (tmp_path / "list-hostmap -json").write_text(nothing)
        assert console.hosts() == []


@pytest.mark.parametrize(
    ("answer", "address"), [(OLD_CERT, "10.9.0.2"), (NEW_CERT, "10.9.0.2"), (BOTH_CERTS, "fd00::2")]
)
def test_the_certificate_names_this_host(console: Console, answer: str, address: str, tmp_path: Path) -> None:
    (tmp_path / "print-cert -json").write_text(answer)
    assert console.own() == address


@pytest.mark.parametrize("answer", ["", "hello", "{}", '[{"vpnIp":7}]', NEW_HOSTS[:-9], "[" * 100_000])
def test_garbage_is_an_error_that_says_so(console: Console, answer: str, tmp_path: Path) -> None:
    (tmp_path / "list-hostmap -json").write_text(answer)
    with pytest.raises(SourceError, match="something unexpected"):
        console.hosts()


def test_a_console_that_refuses_is_an_error_with_its_reason(console: Console, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"at 127.0.0.1:2222 refuses: .*No such file"):
        console.own()
    (tmp_path / "print-cert -json").write_text('{"details":{}}')
    with pytest.raises(SourceError, match="names no address"):
        console.own()


@pytest.mark.parametrize(
    ("argument", "reason"),
    [
        ("http://127.0.0.1:1/metrics#ssh=127.0.0.1:2", "needs the option ssh_key, ssh_user too"),
        ("http://127.0.0.1:1/metrics#ssh=h&ssh_user=o&ssh_key=k", "debug console"),
        ("http://127.0.0.1:1/metrics#ssh=h:1&ssh_user=-oX&ssh_key=k", "no name of a user"),
        ("http://127.0.0.1:1/metrics#kubo", "no option"),
        ("nonsense", "no URL"),
    ],
)
def test_a_wrong_spec_is_refused(argument: str, reason: str) -> None:
    with pytest.raises(ConfigError, match=reason):
        NebulaSource(argument)
